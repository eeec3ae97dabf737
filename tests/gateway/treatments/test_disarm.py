# ruff: noqa: E501 - a hostile sample is read on one line
"""Neutralised HTML runs and fetches nothing, keeps its text, and a mail that may not be altered is held instead."""

from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config import Route
from gateway.treatments.disarm import rewritten
from gateway.treatments.table import UNALTERABLE, Unmet, apply, obstacles
from policies.decision import Decision, Treatment
from scanners.html_tokens import Kind, tokens
from scanners.text import read
from tests.cost import least_s

AT = datetime(2026, 11, 22, tzinfo=UTC)
ROUTE = Route("*", "smtp://127.0.0.1:25")
DISARM = Treatment("disarm")
HOSTILE = [
    "<script>alert(1)</script>", "<SCRIPT/x>alert(1)</SCRIPT >", "<scr<script>ipt>alert(1)</script>", "<script>alert(1)",
    "<form action=http://x.test><input name=p><button>go</button></form>", "<iframe src=http://x.test></iframe>",
    "<iframe srcdoc='<script>alert(1)</script>'>", "<p onclick=alert(1)>t</p>", "<p/onmouseover=alert(1)>t</p>",
    "<img src=x onerror=alert(1)>", "<body onload=alert(1)>", '<meta http-equiv=refresh content="0;url=http://x.test">',
    "<base href=http://x.test/>", "<link rel=stylesheet href=http://x.test>", "<a href=javascript:alert(1)>t</a>",
    "<a href=' java\nscript:alert(1)'>t</a>", "<a href=&#106;avascript&colon;alert(1)>t</a>", "<a href=JAVASCRIPT:alert(1)>t</a>",
    "<a href=data:text/html;base64,PHNjcmlwdD4=>t</a>", "<a href=vbscript:x>t</a>", "<a href=\x01javascript:x>t</a>",
    "<a href=file://x/y>t</a>", "<a href=//x.test>t</a>", "<svg onload=alert(1)><script>alert(1)</script></svg>",
    "<math><mtext><style><img src=x onerror=alert(1)></style></mtext></math>", "<object data=x></object><embed src=x>",
    "<p style='&#" + "1" * 5_000 + ";&#" + "0" * 5_000 + ";url(http://x.test)'>t</p>", "<a href='&#" + "9" * 5_000 + ";'>t</a>",
    "<style>@import 'http://x.test'</style>", "<style>p{background:url(http://x.test)}</style>",
    "<p style=\"background:url('http://x.test')\">t</p>", "<p style='width:expression(alert(1))'>t</p>",
    "<p style='behavior&#58;u\\72l(x)'>t</p>", "<!--[if mso]><script>alert(1)</script><![endif]-->",
    "<template><script>alert(1)</script></template>", "<noscript><p title='</noscript><img src=x onerror=alert(1)>'></noscript>",
    "<textarea></textarea><script>alert(1)</script>", "<title><img src=x onerror=alert(1)></title>", "<xmp><script>alert(1)</script></xmp>",
    "<plaintext><script>alert(1)</script>", '<p title="&quot;><script>alert(1)</script>">t</p>', "<p title='\"><script>alert(1)</script>'>t",
    "<a href=\"http://x.test\" onclick='alert(1)'>t</a>", "<img src='data:image/svg+xml;base64,AAAA'>", "<img srcset=http://x.test>",
    "<video poster=http://x.test><source src=x onerror=alert(1)></video>", "<a ping=http://x.test href=http://y.test>t</a>",
    "<p><b<script>alert(1)</script>", "<\0script>alert(1)</script>", "< script>alert(1)</script>", "<a href='http://x.test'",
]  # fmt: skip
FORBIDDEN = {"script", "form", "input", "button", "iframe", "object", "embed", "base", "link", "svg", "math", "video", "template", "textarea", "frame"}  # fmt: skip


def assert_harmless(page: str) -> None:
    for number, token in enumerate(tokens(page)):
        assert token.name not in FORBIDDEN, token
        if token.name == "meta":
            assert number <= 1
            assert dict(token.attributes) == {"charset": "utf-8"}
        for name, value in token.attributes.items():
            assert not name.startswith("on"), token
            assert name not in ("srcset", "srcdoc", "action", "ping", "formaction", "background", "poster"), token
            if name in ("href", "src"):
                assert (
                    value.lower()
                    .strip()
                    .startswith(("http://", "https://", "mailto:", "tel:", "#", "cid:", "data:image/"))
                ), token
                assert "svg" not in value
            assert "url(" not in value
        if token.kind is Kind.RAW:
            assert (token.name, "url(" in token.text, "@import" in token.text) == ("style", False, False)


@pytest.mark.parametrize("source", HOSTILE)
def test_hostile_html_runs_and_fetches_nothing(source: str) -> None:
    page = rewritten(f"<html><body><p>before</p>{source}</body></html>")
    assert_harmless(page)
    assert "before" in page
    assert rewritten(page) == page


@settings(max_examples=300)
@given(st.lists(st.sampled_from([*HOSTILE, "<", ">", "'", '"', "<!--", "-->", "<a ", "</", "=", "x", "<style>", "</style>", "&lt;script&gt;"])))  # fmt: skip
def test_any_mixture_is_harmless_and_a_second_time_changes_nothing(pieces: list[str]) -> None:
    page = rewritten("".join(pieces))
    assert_harmless(page)
    assert rewritten(page) == page


def test_text_and_layout_stay() -> None:
    source = (
        '<!DOCTYPE html><html><head><title>t</title><style>p{color:red}</style></head><body><table border=1><tr><td colspan=2 style="color:#333">'
        'a &lt; b &amp; 价格</td></tr></table><a href="https://x.test/?a=1&amp;b=2">link</a><img src="cid:1" alt="logo"></body></html>'
    )
    page = rewritten(source)
    for kept in ("<!DOCTYPE html>", "<style>p{color:red}</style>", 'colspan="2"', "a &lt; b &amp; 价格", 'href="https://x.test/?a=1&amp;b=2"', 'src="cid:1"'):  # fmt: skip
        assert kept in page
    assert read(page).visible == read(source).visible


def test_remote_pictures_go_when_asked() -> None:
    source = "<img src=http://x.test/a.png><img src=cid:1>"
    assert "x.test" in rewritten(source)
    assert rewritten(source, remote_images=False).count("src=") == 1


@pytest.mark.parametrize(
    "piece", ["<a b='", "<p onclick=", "<svg>", "<!--", "</", "<style>", "<a href=javascript:", "<title>"]
)
def test_it_is_linear(piece: str) -> None:
    assert least_s(lambda: rewritten(piece * 50_000), 5) < 5


def mail(subtype: str = "alternative") -> EmailMessage:
    made = EmailMessage(policy=policy.SMTP)
    made["From"], made["To"], made["Subject"] = "a@x.test", "b@corp.test", "s"
    made.set_content("plain text 你好\r\n")
    made.add_alternative(
        "<html><body><p>你好</p><script>x()</script></body></html>", subtype="html", charset="gb18030", cte="base64"
    )
    made.add_attachment(
        b"<html><script>smuggle()</script>", maintype="application", subtype="octet-stream", filename="a.html"
    )
    made.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="a.pdf")
    return made


def done(raw: bytes) -> bytes:
    pieces = apply(raw, (DISARM,), ROUTE, message_id="M", at=AT)
    assert not isinstance(pieces, Unmet)
    return b"".join(pieces.pieces)


def test_every_page_of_a_mail_and_nothing_else() -> None:
    raw = mail().as_bytes()
    parsed = message_from_bytes(done(raw), policy=policy.default)
    assert not parsed.defects
    parts = {part.get_filename() or part.get_content_type(): part for part in parsed.walk() if not part.is_multipart()}
    assert "你好" in parts["text/html"].get_content()
    assert "script" not in parts["text/html"].get_content()
    assert b"smuggle" not in parts["a.html"].get_payload(decode=True)  # type: ignore[operator]
    assert parts["a.pdf"].get_content() == b"%PDF"
    assert "你好" in parts["text/plain"].get_content()
    assert done(done(raw)) == done(raw)


def test_without_html_the_bytes_stay() -> None:
    raw = b"Subject: x\r\n\r\n<script> is what I wrote\r\n"
    assert done(raw) == raw


def test_what_may_not_be_altered_is_held_and_may_be_let_go_without() -> None:
    signed = mail().as_bytes().replace(b"multipart/mixed", b"multipart/signed", 1)
    forwarded = EmailMessage(policy=policy.SMTP)
    forwarded["Subject"] = "x"
    forwarded.set_content("see")
    forwarded.add_attachment(mail())
    doubtful = b"Content-Type: text/html; charset=x-unknown\r\n\r\n<p>\xff\xfe\xfd\xba\xcf\r\n"
    for raw in (signed, forwarded.as_bytes(), doubtful):
        (reason,) = obstacles(Decision(treatments=frozenset({DISARM})), raw, ROUTE)
        assert (reason.rule, reason.version, reason.waivable) == ("treatment.disarm", UNALTERABLE, True)
        assert isinstance(apply(raw, (DISARM,), ROUTE, message_id="M", at=AT), Unmet)
        assert b"".join(apply(raw, (DISARM,), ROUTE, message_id="M", at=AT, waived=frozenset({"disarm"})).pieces) == raw  # type: ignore[union-attr]
