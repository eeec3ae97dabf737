"""A label and bytes into charset decoding; header values into encoded words and parameters; bodies into transfer encodings."""

from collections.abc import Iterator

from scanners import charset, encoded, transfer
from tests.fuzz.target import Target

GROWTH = transfer.MAX_PADDED
ENCODINGS = ("base64", "quoted-printable", "x-uuencode", "7bit", "binary", "x-base64", "")


def run(data: bytes) -> None:
    """``label`` LF ``bytes``: every reader takes them, and what comes out grows no faster than the bytes."""
    label, _, content = data.partition(b"\n")
    decoded = charset.decode(content, label.decode("latin-1"))
    assert decoded == charset.decode(content, label.decode("latin-1"))
    assert len(decoded.text) + len(decoded.other) <= 8 * len(content) + 8
    words = encoded.text_of(content)
    words.encode()
    assert len(words) <= 8 * len(content) + 8
    found = encoded.parameters(content)
    assert found == encoded.parameters(content)
    for name, value in found.items:
        f"{name}{value}".encode()
    assert len(encoded.lenient_base64(content)) <= len(content)
    for encoding in ENCODINGS:
        for other in (False, True):
            transferred = transfer.transferred(content, encoding, other=other)
            assert len(transferred.content) <= GROWTH * len(content) + 63
    for file in transfer.embedded(content):
        file.name.encode()
        assert len(file.content) <= GROWTH * len(content) + 63


def seeds() -> Iterator[bytes]:
    """Each codec with text of its own, and each way to write a header value."""
    text = "合同总价 USD 120,000.00 身份证 110101199003070014 ｶﾀｶﾅ 한글"
    for label, codec in sorted(charset.CODECS.items()):
        try:
            yield label.encode() + b"\n" + text.encode(codec, "replace")
        except LookupError:
            yield label.encode() + b"\n\x1b$)A\x0e:OM,\x0f"
    yield from (
        b"\n =?gb2312?B?us/Nr7a=?= =?gb2312?B?pvus=?=",
        b"\n =?utf-8?q?=E5=90=88_a?= x =?utf-7?Q?+VAhUDA-?=",
        b'\nattachment; filename*0*=gbk\'\'%BA%CF; filename*1*=%CD%AC; filename*2=.doc; filename="a\\"b"',
        b'\ntext/plain (a (b) c); charset="gbk" ; name==?big5?B?pliwdg==?=',
        b"\nbegin 644 a.txt\r\n#0V%T\r\n`\r\nend\r\n",
        b"\nbegin-base64 644 a\r\nQ0FU\r\n====\r\n",
        b"\n=ybegin line=128 size=3 name=b\r\nabc=\x7d\r\n=yend size=3\r\n",
        b"\nQUJD=\r\n=41=4\r\n=3D==\r\n",
    )


def target() -> Target:
    """For the runner."""
    return Target("charset", run, seeds)
