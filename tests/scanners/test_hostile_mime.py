"""Mail that hides words from one reader and shows them to another: each row is one way, and each must be read.

A row holds the phrase and the identity number of the tests; what is looked in is what the word scanners look in.
"""

import base64
import binascii
from collections.abc import Mapping
from urllib.parse import quote

import pytest

from scanners.message import Message
from tests.scanners.attachments.samples import CN_ID
from tests.scanners.letters import kinds, plain, read

PHRASE = "合同总价"
TEXT = f"见 {PHRASE} 号码 {CN_ID} 。"
DATA = TEXT.encode()
LINES = base64.encodebytes(DATA).replace(b"\n", b"\r\n")
ONE_LINE = base64.b64encode(DATA)
ESCAPES = "".join(f"={byte:02X}" for byte in DATA).encode()
PART = b"Content-Transfer-Encoding: base64\r\n\r\n" + LINES
HELLO = b"Content-Type: text/plain\r\n\r\nhello"


def mail(*fields: str, body: bytes) -> bytes:
    """A message with these fields."""
    head = "".join(f"{field}\r\n" for field in ("From: a@corp.test", "Subject: x", *fields))
    return head.encode() + b"\r\n" + body


def multipart(kind: str, *parts: bytes, line: bytes = b"--bb") -> bytes:
    """A multipart with this Content-Type, cut at ``line``."""
    return mail(
        f"Content-Type: {kind}", body=b"".join(line + b"\r\n" + part + b"\r\n" for part in parts) + line + b"--\r\n"
    )


def text(charset: str, content: bytes) -> bytes:
    """A text body in base64, labelled so."""
    fields = (f"Content-Type: text/plain; charset={charset}", "Content-Transfer-Encoding: base64")
    return mail(*fields, body=base64.encodebytes(content))


def based(body: bytes) -> bytes:
    """A body that says it is base64."""
    return mail("Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: base64", body=body)


def seen(message: Message) -> str:
    """All that words are looked for in."""
    return "\n".join(reading.normal.text for reading in message.readings)


def boundary(*parameters: str, line: bytes = b"--bb") -> bytes:
    """A multipart whose boundary is said in these words."""
    return multipart("; ".join(("multipart/mixed", *parameters)), PART, line=line)


BOUNDARIES: Mapping[str, bytes] = {
    "two, the first": boundary('boundary="bb"', 'boundary="zz"'),
    "two, the second": boundary('boundary="zz"', 'boundary="bb"'),
    "three, the middle one": boundary("boundary=zz", "boundary=bb", "boundary=yy"),
    "in pieces": boundary("boundary*0=b", "boundary*1=b"),
    "in pieces out of order": boundary("boundary*1=b", "boundary*0=b"),
    "in pieces with a gap": boundary("boundary*0=b", "boundary*2=b"),
    "in pieces and whole": boundary("boundary=zz", "boundary*0=b", "boundary*1=b"),
    "with a charset": boundary("boundary*=utf-8''%62b"),
    "an encoded word": boundary('boundary="=?utf-8?Q?bb?="'),
    "single quotes": boundary("boundary='bb'"),
    "single quotes that count": boundary("boundary='bb'", line=b"--'bb'"),
    "no closing quote": boundary('boundary="bb'),
    "blank at the end": boundary('boundary="bb "'),
    "blank at the beginning": boundary('boundary=" bb"', line=b"-- bb"),
    "blank at the beginning that is dropped": boundary('boundary=" bb"'),
    "folded": boundary('boundary="b\r\n b"', line=b"--b b"),
    "folded, its blank dropped": boundary('boundary="b\r\n b"'),
    "escaped": boundary('boundary="b\\b"'),
    "a comment behind": boundary("boundary=bb (c)"),
    "comments everywhere": boundary("(c) boundary(x)=(y)bb"),
    "a comment that is none": boundary("boundary=bb(x)", line=b"--bb(x)"),
    "another in a comment": boundary("(boundary=zz;) boundary=bb"),
    "junk behind the quote": boundary('boundary="bb"zz'),
    "a comma for a semicolon": multipart('multipart/mixed, boundary="bb"', PART),
    "not ASCII": boundary('boundary="中"', line="--中".encode()),
    "empty": boundary("boundary=", line=b"--"),
    "none": multipart("multipart/mixed", PART),
    "dashes": boundary('boundary="--"', line=b"----"),
    "ends in dashes": boundary('boundary="bb--"', line=b"--bb--"),
    "another case": boundary('boundary="BB"'),
    "the same one inside": multipart("multipart/mixed; boundary=bb", HELLO, multipart("multipart/mixed; boundary=bb", PART)),
    "no end": mail("Content-Type: multipart/mixed; boundary=bb", body=b"--bb\r\n" + PART),
    "a blank line before the fields": multipart("multipart/mixed; boundary=bb", b"\r\n" + PART),
    "a byte order mark before the fields": multipart("multipart/mixed; boundary=bb", b"\xef\xbb\xbf" + PART),
    "the whole in base64": mail(
        "Content-Type: multipart/mixed; boundary=bb", "Content-Transfer-Encoding: base64",
        body=base64.encodebytes(b"--bb\r\n" + PART + b"\r\n--bb--\r\n"),
    ),
}  # fmt: skip

UUENCODED = (
    b"begin 644 a.txt\r\n"
    + b"".join(binascii.b2a_uu(DATA[at : at + 45]) for at in range(0, len(DATA), 45))
    + b"`\nend\n"
)


def encodings(*names: str, body: bytes) -> bytes:
    """A body with several Content-Transfer-Encodings."""
    return mail(
        "Content-Type: text/plain; charset=utf-8", *(f"Content-Transfer-Encoding: {name}" for name in names), body=body
    )


ENCODINGS: Mapping[str, bytes] = {
    "two, the first": encodings("base64", "8bit", body=LINES),
    "two, the second": encodings("8bit", "base64", body=LINES),
    "three, the middle one": encodings("8bit", "base64", "7bit", body=LINES),
    **{
        f"base64 written {name!r}": encodings(name, body=LINES)
        for name in ("BASE64 ", '"base64"', "base 64", "x-base64", "(c) base64", "base64,8bit", "base-64", "b", "'base64'", "\x0bbase64")
    },
    **{
        f"quoted-printable written {name!r}": encodings(name, body=ESCAPES)
        for name in ("Quoted_Printable", "quotedprintable", "qp", "quoted printable", "quoted-printable, 8bit")
    },
    "uuencode": encodings("x-uue", body=UUENCODED),
    "none of it is base64": based(DATA),
    "text behind the base64": based(base64.b64encode(b"hello") + b"\r\n\r\n" + DATA),
    "a list's footer behind": based(base64.b64encode(b"hello world!") + b"\r\n____\r\nlist footer\r\n" + DATA),
    "a line in front": based(b"This is a message in base64\r\n\r\n" + ONE_LINE),
    **{f"a word in front, {size} letters": based(b"h" * size + b"\r\n" + ONE_LINE) for size in (5, 6, 7)},
    "junk between": based(b"!!".join(bytes([byte]) for byte in ONE_LINE)),
    "padding in front": based(b"====" + ONE_LINE),
    "many padded pieces": based(b"".join(base64.b64encode(bytes([byte])) for byte in DATA)),
    "soft breaks everywhere": encodings("quoted-printable", body=b"=  \r\n".join(f"={byte:02X}".encode() for byte in DATA)),
    "escapes that are none": encodings("quoted-printable", body=b"=ZZ" + ESCAPES),
}  # fmt: skip

TRADITIONAL = f"見 合同總價 {CN_ID}"
LABELS: Mapping[str, bytes] = {
    **{
        f"{charset} labelled {label}": text(label, TEXT.encode(charset))
        for charset in ("utf-8", "gbk")
        for label in (
            "us-ascii", "iso-8859-1", "iso-8859-5", "iso-8859-15", "windows-1251", "windows-1254", "koi8-r", "macintosh", "tis-620",
            "big5", "gb2312", "shift_jis", "euc-jp", "euc-kr", "utf-16", "utf-7", "utf-8", "hz", "iso-2022-jp", "ibm037", "x-unknown",
        )
    },
    "big5 labelled gbk": text("gbk", TRADITIONAL.encode("big5")),
    "utf-16 little-endian labelled utf-8": text("utf-8", TEXT.encode("utf-16-le")),
    "utf-16 little-endian labelled big-endian": text("utf-16be", TEXT.encode("utf-16-le")),
    "utf-16 big-endian labelled little-endian": text("utf-16le", TEXT.encode("utf-16-be")),
    "four-byte characters labelled gb2312": text("gb2312", f"𠀀{TEXT}".encode("gb18030")),
    "GBK lines, then UTF-8": text("gbk", "第一行：中文内容在此处\r\n".encode("gbk") * 3 + DATA),
    "UTF-8 lines, then GBK": text("utf-8", "第一行：中文内容在此处\r\n".encode() * 3 + TEXT.encode("gbk")),
    "zero bytes between": text("utf-8", b"\0".join(bytes([byte]) for byte in DATA)),
}  # fmt: skip


def tagged(kind: str) -> bytes:
    """Text whose every letter is followed by a tag."""
    return mail(f"Content-Type: {kind}; charset=utf-8", body="<bold></bold>".join(TEXT.replace(" ", "")).encode())


def card(*lines: bytes) -> bytes:
    """A calendar with these lines."""
    return mail(
        "Content-Type: text/calendar; charset=utf-8",
        body=b"\r\n".join((b"BEGIN:VCALENDAR", *lines, b"END:VCALENDAR", b"")),
    )


INNER = b"Content-Type: text/plain; charset=utf-8\r\n" + PART
FORMS: Mapping[str, bytes] = {
    **{kind: tagged(kind) for kind in ("text/enriched", "text/richtext", "text/x-amp-html", "text/watch-html", "application/xhtml+xml")},
    "flowed": mail(
        "Content-Type: text/plain; charset=utf-8; format=flowed; delsp=yes",
        body=f"{PHRASE[:2]} \r\n{PHRASE[2:]}\r\n{CN_ID[:9]} \r\n{CN_ID[9:]}\r\n".encode(),
    ),
    "a calendar, folded": card(f"DESCRIPTION:{PHRASE[:2]}\r\n {PHRASE[2:]} {CN_ID[:9]}\r\n\t{CN_ID[9:]}".encode()),
    "a card in quoted-printable": card(b"NOTE;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:" + ESCAPES[:60] + b"=\r\n" + ESCAPES[60:]),
    "a mail by another name": mail("Content-Type: message/x-rfc822", body=INNER),
    "header fields as text": multipart(
        "multipart/report; boundary=bb", HELLO,
        b"Content-Type: text/rfc822-headers\r\n\r\nSubject: =?utf-8?B?" + ONE_LINE + b"?=\r\n",
    ),
    "a description": multipart("multipart/mixed; boundary=bb", HELLO, b"Content-Description: =?utf-8?B?" + ONE_LINE + b"?=\r\n\r\nx"),
    "a second subject": mail(f"Subject: {TEXT}", body=b"hi"),
    "a subject in HZ": mail("Subject: " + TEXT.encode("hz").decode(), body=b"hi"),
    "a name cut inside an escape": multipart(
        "multipart/mixed; boundary=bb",
        f"Content-Disposition: attachment; filename*0*=utf-8''{quote(TEXT)[:10]}; filename*1*={quote(TEXT)[10:]}\r\n\r\nx".encode(),
    ),
    "a name in percent signs": multipart(
        "multipart/mixed; boundary=bb", f'Content-Disposition: attachment; filename="{quote(TEXT)}.txt"\r\n\r\nx'.encode()
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    "table", [BOUNDARIES, ENCODINGS, LABELS, FORMS], ids=["boundaries", "encodings", "labels", "forms"]
)
def test_it_is_read(table: Mapping[str, bytes]) -> None:
    unseen = []
    for name, raw in table.items():
        found = seen(read(raw))
        if PHRASE not in found or CN_ID not in found:
            unseen.append(name)
    assert not unseen, f"{len(unseen)} of {len(table)}: {unseen}"


@pytest.mark.parametrize(
    "kind", ["message/partial; id=x; number=1; total=2", 'message/external-body; access-type=URL; URL="http://x.test"']
)
def test_what_is_not_in_the_mail_is_said(kind: str) -> None:
    assert "partial" in kinds(read(mail(f"Content-Type: {kind}", body=b"Content-Type: text/plain\r\n\r\n")))


def test_files_in_calendars_are_parts() -> None:
    raw = card(b"ATTACH;ENCODING=BASE64;VALUE=BINARY;X-FILENAME=a.exe:" + base64.b64encode(b"MZ\0"))
    assert ("a.exe", b"MZ\0") in {(part.filename, part.content) for part in read(raw).parts}


def test_bytes_that_no_charset_fits_stay_unreadable() -> None:
    rubbish = bytes(range(128, 256)) * 4 + b"\n" + bytes(range(255, 127, -1)) * 4
    assert "content.unreadable" in {finding.code for finding in read(text("utf-8", rubbish)).defects}


@pytest.mark.parametrize("charset", ["utf-8", "gbk", "big5", "iso-8859-1", "koi8-r", "shift_jis"])
def test_an_ordinary_mail_has_one_reading(charset: str) -> None:
    words = {
        "big5": "報價如附件，請查收。",
        "iso-8859-1": "Grüße aus Köln",
        "koi8-r": "Добрый день",
        "shift_jis": "見積書を送ります。",
    }
    message = read(text(charset, words.get(charset, "报价见附件，请查收。谢谢。").encode(charset)))
    assert not message.defects
    assert len(message.texts) <= (charset in ("iso-8859-1", "koi8-r"))


def test_plain_text_costs_no_second_reading() -> None:
    assert not plain("Dear all,\r\n\r\nthe price list is attached. 报价见附件。\r\n").texts
