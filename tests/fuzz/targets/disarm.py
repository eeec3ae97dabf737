"""A page, alone and inside a mail, into the treatment that writes HTML anew."""

from collections.abc import Iterator

from gateway.treatments import disarm, surgery
from scanners.html_tokens import Kind, tokens
from scanners.mime import parse
from tests.fuzz.target import Target
from tests.fuzz.targets import html, treatments
from tests.scanners.letters import envelope

_RUNS = (
    "script",
    "iframe",
    "object",
    "embed",
    "form",
    "base",
    "link",
    "svg",
    "math",
    "frame",
    "applet",
    "template",
    "input",
    "button",
)
GROWTH = 12
"""Bytes out for one in: a quote or angle becomes a reference of at most six, twice over."""


def run(data: bytes) -> None:
    """What comes out holds nothing that runs, is bounded by what went in, and is its own result; in a mail it still reads one way."""
    page = data.decode("utf-8", "replace")
    for remote in (True, False):
        made = disarm.rewritten(page, remote_images=remote)
        inert(made, remote=remote)
        assert len(made) <= GROWTH * len(page) + 100, "it grows"
        assert disarm.rewritten(made, remote_images=remote) == made, "the second time it is another page"
    _mailed(data)


def inert(page: str, *, remote: bool) -> None:
    """No element, attribute or address that does something, as our own tokens tell."""
    for token in tokens(page):
        if token.kind is Kind.RAW:
            assert token.name == "style", f"raw {token.name}"
            continue
        if token.kind is Kind.TEXT:
            continue
        assert token.name not in _RUNS, f"<{token.name}> stays"
        for name, value in token.attributes.items():
            assert not name.startswith("on"), f"{name}= stays"
            assert name not in ("srcdoc", "action", "formaction", "background", "ping", "http-equiv", "srcset"), (
                f"{name}= stays"
            )
            if name in ("href", "src"):
                plain = "".join(one for one in value.lower() if one > " ")
                assert not plain.startswith(("javascript:", "vbscript:", "data:text", "file:")), f"{name}={plain[:40]}"
                assert remote or name != "src" or not plain.startswith(("http:", "https:", "//")), (
                    "a remote picture stays"
                )


def _mailed(data: bytes) -> None:
    raw = data.replace(b"\0", b"").replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    for mail in (raw, b"Subject: x\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + raw):
        root = surgery.structure(mail)
        if root is None or disarm.obstructed(mail, root):
            continue
        made = disarm.disarmed(mail, root, "")
        assert made is not None, "obstructed and not said"
        again = surgery.structure(made)
        assert again is not None, "it no longer reads one way"
        pages = {node.path for node in disarm.pages(root)}
        assert pages == {node.path for node in disarm.pages(again)}, "other pages than before"
        before = {part.path: part for part in parse(envelope(), mail).parts}
        for part in parse(envelope(), made).parts:
            if part.path in pages:
                inert(part.content.decode("utf-8"), remote=True)
            elif "~" not in part.path:
                assert part.content == before[part.path].content, "a part that is no page was changed"
        assert disarm.disarmed(made, again, "") in (made, None), (
            "the second time it is another mail"
        )  # None: ``~{`` could be HZ


def seeds() -> Iterator[bytes]:
    """Pages that do something, and mails with pages."""
    yield b"<!DOCTYPE html><html><body onload=x()><script>alert(1)</script><p style='color:red'>text</p></body></html>"
    yield b'<a href="java\tscript:x()">a</a><a href="&#106;avascript:x()">b</a><a href=" https://x.test/?a=1&amp;b=2">c</a>'
    yield b"<svg><script>x</script></svg><math><mi xlink:href=x></math><object data=x><embed src=x></object>after"
    yield b'<img src="https://x.test/a.png" srcset=x><img src="cid:1"><img src="data:image/png;base64,AA"><img src=//x.test/b>'
    yield b"<style>p{color:red}</style><style>@import 'x';</style><p style=\"background:url(x)\">t</p>"
    yield b"<form action=x><input name=a><button formaction=y>go</button></form><meta http-equiv=refresh content=0;url=x>"
    yield b"<scr<script>ipt>x</script><<b>b</b>&lt;script&gt;<textarea><script>x</script></textarea><title><b></title>"
    yield b"<iframe srcdoc='<script>x</script>'></iframe><noscript><p title='</noscript><img src=x onerror=y>'></noscript>"
    yield from html.seeds()
    yield from treatments.seeds()


def target() -> Target:
    """For the runner."""
    return Target("disarm", run, seeds)
