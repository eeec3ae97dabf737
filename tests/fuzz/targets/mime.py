"""Raw mail into ``scanners.mime.parse``, and all that hangs on a Message without opening attachments."""

from collections.abc import Iterator
from zlib import crc32

from scanners.message import Message
from scanners.mime import parse
from scanners.mime_reader import MAX_PARTS
from tests.fuzz.target import Target, declared
from tests.scanners.letters import envelope

MOST_PARTS = 16 * MAX_PARTS
"""Parts over all readings of one message."""


def run(data: bytes) -> None:
    """Never raises, says the same twice, and everything in it can be written down."""
    message = parse(envelope(), data)
    if crc32(data) % 4 == 0:
        assert parse(envelope(), data) == message, "two readings of the same bytes differ"
    _check(message)


def _check(message: Message) -> None:
    declared(message.defects)
    for finding in message.defects:
        assert finding.about != "reader", f"the reader raised: {finding.summary}"
    paths = [part.path for part in message.parts]
    assert len(paths) == len(set(paths)), "two parts have one path"
    assert len(paths) <= MOST_PARTS
    assert 0 <= message.header_length <= len(message.raw)
    for part in message.parts:
        f"{part.path}{part.media_type}{part.filename}{part.disposition}".encode()
        assert not part.content or part.size == len(part.content)
        assert part.text is None or isinstance(part.text, str)
    for header in message.headers:
        assert header.name.strip() or not header.name
        header.text.encode()
    for reading in message.readings:
        reading.normal.data.decode()


def seeds() -> Iterator[bytes]:
    """The structures that the tests of the parser are about, and a mail of every kind."""
    from tests.scanners import test_mime

    for case in test_mime.AMBIGUOUS.values():
        yield case[0].replace("\n", "\r\n").encode()
    plain = "From: a@acme.test\r\nMIME-Version: 1.0\r\nSubject: =?gb2312?B?us/Nr7a=?= =?utf-8?Q?=E5=90=88?=\r\n"
    yield (
        plain + "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nU3ViamVjdDogeA0KDQp4\r\n"
    ).encode()
    yield (plain + "Content-Type: text/html; charset=hz\r\n\r\n<div style='display:none'>~{<:Ky2;~}</div>").encode()
    yield (
        plain + "\r\nbegin 644 a.txt\r\n#0V%T\r\n`\r\nend\r\n=ybegin line=128 size=3 name=b\r\nabc\r\n=yend size=3\r\n"
    ).encode()
    yield (plain + "Content-Type: application/x; name*0*=gbk''%BA%CF; name*1*=%CD%AC; name*2=.doc\r\n\r\nx").encode()
    yield (
        plain + "Content-Type: multipart/digest; boundary=a\r\n\r\n--a\r\n\r\nSubject: y\r\n\r\nz\r\n--a--\r\n"
    ).encode()
    yield (plain + 'Content-Type: message/partial; number=1; total=2; id="x"\r\n\r\nSubject: y\r\n\r\nz\r\n').encode()


def target() -> Target:
    """For the runner."""
    return Target("mime", run, seeds)
