"""Mail as SMTP lets it in into the treatments that rewrite it: banner on, banner off, parts taken out."""

from collections.abc import Iterator

from gateway.treatments import banner, strip, surgery
from gateway.treatments.surgery import Node
from scanners.message import Message
from scanners.mime import parse
from tests.fuzz.target import Target
from tests.fuzz.targets import mime
from tests.scanners.letters import envelope

ID = "01KAMCT5HZ0000000000000000"
_CHANGED = ("content-type", "content-transfer-encoding", "content-disposition", "mime-version")


def run(data: bytes) -> None:
    """What is rewritten still reads one way, says what it should, and keeps everything else."""
    raw = data.replace(b"\0", b"").replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    root = surgery.structure(raw)
    if root is None:
        return
    before = parse(envelope(), raw)
    surgery.sealed(root, raw)
    paths = {part.path for part in before.parts}
    assert {node.path for node in root.walk() if not node.children} <= paths, (
        "the surgeon sees other parts than the reader"
    )
    _banner(raw, root, before)
    _strip(raw, root, before)


def _again(raw: bytes, before: Message) -> tuple[Node, Message]:
    """The rewritten mail, read: one way, with CRLF alone, and with every other header field."""
    assert raw.count(b"\n") == raw.count(b"\r") == raw.count(b"\r\n"), "a bare line end"
    root = surgery.structure(raw)
    assert root is not None, "it no longer reads one way"
    after = parse(envelope(), raw)
    kept = [(one.name, one.raw) for one in after.headers if one.key not in _CHANGED]
    assert kept == [(one.name, one.raw) for one in before.headers if one.key not in _CHANGED], "header fields differ"
    return root, after


def _banner(raw: bytes, root: Node, before: Message) -> None:
    bodies = {node.path for node in banner.bodies(root)}
    added = banner.added(raw, root, "")
    if added is None or not bodies:
        assert added in (None, raw)
        return
    new_root, after = _again(added, before)
    texts = {part.path: part for part in after.parts}
    for part in before.parts:
        if "~" in part.path:  # what was found inside a text that is now written otherwise
            continue
        now = texts[part.path]
        if part.path in bodies:
            assert banner.SIGN.encode() in now.content, "no banner"
        else:
            assert (now.content, now.filename, now.media_type) == (part.content, part.filename, part.media_type)
    if banner.SIGN not in "".join(part.text or "" for part in before.parts):
        without = banner.removed(added, new_root)
        assert without is not None
        assert banner.SIGN.encode() not in b"".join(part.content for part in parse(envelope(), without).parts)


def _strip(raw: bytes, root: Node, before: Message) -> None:
    taken = {node.path for node in strip.chosen(root, "")}
    stripped = strip.stripped(raw, root, "", ID)
    if not taken:
        assert stripped == raw
        return
    _, after = _again(stripped, before)
    texts = {part.path: part for part in after.parts}
    for part in before.parts:
        if part.path in taken:
            assert texts[part.path].filename == "removed.txt"
            assert ID.encode() in texts[part.path].content
        elif part.path in texts:
            assert texts[part.path].content == part.content


def seeds() -> Iterator[bytes]:
    """Mail that reads one way, and what the parser is given."""
    yield b"Subject: x\r\n\r\nhello\r\n"
    yield b"Subject: x\r\nContent-Type: text/html; charset=gbk\r\nContent-Transfer-Encoding: base64\r\n\r\nPGI+us/NrDwvYj4=\r\n"
    yield b"Subject: x\r\nContent-Type: application/zip; name=a.zip\r\nContent-Transfer-Encoding: base64\r\n\r\nUEsDBA==\r\n"
    inner = b'--i\r\n\r\nplain\r\n--i\r\nContent-Type: text/html\r\n\r\n<!doctype html><body class="a">x</body>\r\n--i--\r\n'
    yield (
        b"From: a@acme.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n"
        b"Content-Type: multipart/alternative; boundary=i\r\n\r\n"
        + inner
        + b"--o\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\n"
        b"text\r\n--o\r\nContent-Disposition: attachment; filename*=utf-8''%E5%90%88.exe\r\n\r\nMZ\r\n--o--\r\n"
    )
    yield from mime.seeds()


def target() -> Target:
    """For the runner."""
    return Target("treatments", run, seeds)
