"""What other servers said and what came with the mail, into a notification that we write ourselves."""

from collections.abc import Iterator

from gateway.custody import bounce
from gateway.custody.bounce import Action, Fate, Notice
from gateway.smtp.reply import Reply
from scanners.message import Recipient
from scanners.mime import parse
from scanners.mime_reader import Budget, Options, Reader
from tests.fuzz.target import Target
from tests.scanners.letters import AT, envelope

SEPARATOR = b"\xff\x00"
"""Between the fields of an input."""
_TOP = ("from", "to", "subject", "date", "message-id", "auto-submitted", "mime-version", "content-type")


def run(data: bytes) -> None:
    """The notification reads one way, has our fields alone and three parts, and stays within lines of 998."""
    fields = (data.split(SEPARATOR, 7) + [b""] * 8)[:8]
    sender, address, orcpt, envid, remote, said, flags, original = fields
    words = [
        one.decode("utf-8", "surrogateescape").encode("utf-8", "replace").decode()
        for one in (sender, address, orcpt, envid, remote, said)
    ]
    flag = flags[0] if flags else 0
    reply = Reply((250, 450, 550, 554)[flag & 3], ("", "5.1.1", "4.4.1", "2.0.0")[flag >> 2 & 3], words[5])
    to = Recipient(words[1], orcpt=words[2], notify=("SUCCESS", "FAILURE", "DELAY"))
    notice = Notice(
        tuple(Action)[(flag >> 4) % 3], "01KAMCT5HZ0000000000000000", "01KAMCT5HZ0000000000000001", AT, "mx.corp.test",
        "postmaster@corp.test", words[0], (Fate(to, reply, words[4]),), original, AT, "FULL" if flag & 0x40 else "HDRS", words[3], AT,
    )  # fmt: skip
    made = bounce.dsn(notice)
    if made is None:
        return
    head, _, _ = made.partition(b"\r\n\r\n")
    names = [line.partition(b":")[0].lower().decode() for line in head.split(b"\r\n") if line[:1] not in b" \t"]
    assert tuple(names) == _TOP, f"fields {names}"
    whole = flag & 0x40 and notice.action is Action.FAILED
    own = made if not whole else made.replace(original, b"")
    if b"\n" in original or not whole:
        assert max(map(len, own.split(b"\r\n"))) <= 998 or max(map(len, original.split(b"\r\n"))) > 998, (
            "a line over 998"
        )
    _parts(made, original, whole=bool(whole))


def _parts(made: bytes, original: bytes, *, whole: bool) -> None:
    message = parse(envelope(), made)
    top = [part for part in message.parts if part.path in ("1", "2", "3") or part.path.count(".") == 0]
    kinds = [part.media_type for part in top]
    assert kinds[:2] == ["text/plain", "message/delivery-status"], f"parts {kinds}"
    status = next(part for part in message.parts if (part.media_type) == "message/delivery-status")
    assert status.content.isascii(), "a status beyond ASCII"
    assert status.content.count(b"\r\n\r\n") == 1, "another recipient's fields"
    if whole:
        assert original in made, "not the whole message"
        return
    reader = Reader(Options(), Budget())
    reader.read(made)
    assert not reader.doubts, f"two readings: {reader.doubts}"


def seeds() -> Iterator[bytes]:
    """Ordinary and unruly notices."""
    mail = b"From: a@acme.test\r\nSubject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n--b--\r\n"
    for flag in (2, 0x42, 0x16, 0x29):
        yield SEPARATOR.join(
            (
                b"a@acme.test",
                b"b@corp.test",
                b"rfc822;b+2Bx@corp.test",
                b"id+3D1",
                b"mx.corp.test",
                b"5.1.1 unknown",
                bytes([flag]),
                mail,
            )
        )
    yield SEPARATOR.join(
        (
            "甲@例子.test".encode(),
            "乙@corp.test".encode(),
            b"utf-8;\\x{4E59}",
            b"+0D+0A+0D+0AAction: x",
            b"h\r\nX: y",
            "拒\r\n收".encode(),
            b"\x46",
            mail,
        )
    )
    yield SEPARATOR.join((b"a@acme.test", b"b@corp.test", b"", b"", b"", b"x" * 3_000, b"\x02", b"X: " + b"y" * 70_000))
    yield SEPARATOR.join(
        (b"a@acme.test", b"b@corp.test", b"", b"", b"", b"no", b"\x42", b"--=_01KAMCT5HZ0000000000000000_0\r\n\r\n")
    )


def target() -> Target:
    """For the runner."""
    return Target("bounce", run, seeds)
