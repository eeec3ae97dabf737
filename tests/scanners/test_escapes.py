"""Text pasted as codes is found by what it says; checksums, keys, tracking links and paths are no codes of anything."""

import base64
import quopri
import urllib.parse
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanners import bidi, escapes, registry
from scanners.dictionaries import DictionaryScanner
from scanners.escapes import undone
from scanners.identifiers import IdentifierScanner
from scanners.message import Direction
from tests.cost import least_s
from tests.scanners.letters import AT, plain, read

CN_ID = "110101190001010014"
LINE = f"客户身份证号 {CN_ID} 请查收"
DATA = LINE.encode()
B64 = base64.b64encode(DATA).decode()
OFFSETS = [f"{at:08x}  {DATA[at : at + 16].hex(' ')}" for at in range(0, len(DATA), 16)]

CODES = {
    "hexadecimal": DATA.hex(),
    "hexadecimal of digits alone": CN_ID.encode().hex(),
    "hexadecimal in GBK": LINE.encode("gbk").hex().upper(),
    "hexadecimal in UTF-16": LINE.encode("utf-16-le").hex(),
    "hexadecimal with blanks": DATA.hex(" "),
    "hexadecimal after a word": f"code: {DATA.hex(' ')}",
    "hexadecimal with 0x": ",".join(f"0x{byte:02X}" for byte in DATA),
    "a dump": "\n".join(OFFSETS),
    "a dump with its text": "\n".join(f"{row}  |................|" for row in OFFSETS),
    "escaped bytes": "".join(f"\\x{byte:02x}" for byte in DATA),
    "octal bytes": "".join(f"\\{byte:03o}" for byte in DATA),
    "percent signs": urllib.parse.quote(LINE),
    "percent signs for every byte": "".join(f"%{byte:02X}" for byte in CN_ID.encode()),
    "percent signs for every other digit": "".join(f"%{ord(a):02X}{b}" for a, b in zip(CN_ID[::2], CN_ID[1::2], strict=True)),
    "percent signs twice": urllib.parse.quote(urllib.parse.quote(LINE)),
    "%u": "".join(f"%u{ord(one):04X}" for one in LINE),
    "\\u": "".join(f"\\u{ord(one):04x}" for one in LINE),
    "\\u{}": "".join(f"\\u{{{ord(one):04x}}}" for one in LINE),
    "U+": " ".join(f"U+{ord(one):04X}" for one in CN_ID),
    "references": "".join(f"&#x{ord(one):x};" for one in LINE),
    "references in decimal": "".join(f"&#{ord(one)};" for one in LINE),
    "references of references": "".join(f"&amp;#{ord(one)};" for one in LINE),
    "base64": B64,
    "base64 of digits alone, in a sentence": f"see {base64.b64encode(CN_ID.encode()).decode()} there",
    "base64 without padding": base64.b64encode(DATA + b"a").decode().rstrip("="),
    "base64 for addresses": base64.urlsafe_b64encode(b"??>>~~" + DATA).decode(),
    "base64 in an address": f"https://x.test/a/{base64.urlsafe_b64encode(DATA).decode()}",
    "base64 in lines": "\n".join(B64[at : at + 24] for at in range(0, len(B64), 24)) + "\nRegards\n",
    "base64 of hexadecimal": base64.b64encode(DATA.hex().encode()).decode(),
    "base32": base64.b32encode(DATA).decode(),
    "quoted-printable": quopri.encodestring(DATA).decode(),
    "quoted-printable for every byte": "".join(f"={byte:02X}" for byte in DATA),
    "bits": " ".join(f"{byte:08b}" for byte in CN_ID.encode()),
}  # fmt: skip


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("direction", [Direction.INBOUND, Direction.OUTBOUND])
def test_what_codes_say_is_found(name: str, direction: Direction) -> None:
    message = plain(f"hello\n{CODES[name]}\n", direction)
    found = IdentifierScanner(()).find(message.readings, AT)
    assert "content.identifier.cn_id18" in {one.code for one in found}, undone(CODES[name].encode())


async def test_words_are_found_in_codes_too() -> None:
    scanner = DictionaryScanner(registry.dictionaries_of())
    for text in (
        "合同总价".encode().hex(),
        base64.b64encode("见合同总价".encode()).decode(),
        urllib.parse.quote("合同总价", encoding="gbk"),
    ):
        found = await scanner.scan(plain(f"see {text}", Direction.OUTBOUND))
        assert "content.dictionary.company" in {one.code for one in found.findings}, text


QUIET = {
    "a checksum": "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "a UUID": "id 123e4567-e89b-12d3-a456-426614174000",
    "a MAC address": "00:1A:2B:3C:4D:5E, 00:1A:2B:3C:4D:5F",
    "a fingerprint": "SHA1 " + ":".join(f"{byte:02X}" for byte in bytes(range(120, 140))),
    "a key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2fXn0m5r0v1cQq2g7dU5n3dX0n1s9J9b8p1yU2w3E4",
    "a path": r"C:\users\x86\Windows\new\uploads\2026",
    "a link": "https://x.test/track/click?u=4f1c2a9d8e&id=7b3d9f0a11&e=0c9be7d1aa&m=%2Foffers%2F2026",
    "a long word": "internationalization/responsibilities/characteristically",
    "figures": "12 34 56 78 90 11 22 33 44 55 66 77 88 99 10 20 30 40 50",
    "a table": "A1,B2,C3,D4,E5,F6\n1A,2B,3C,4D,5E,6F\n",
    "a signature line": "=" * 60 + "\n" + "-" * 60 + "\n" + "_" * 60,
}


@pytest.mark.parametrize("name", QUIET)
def test_what_is_no_code_says_nothing(name: str) -> None:
    assert undone(QUIET[name].encode()).text == ""


@given(st.binary(max_size=400))
def test_any_bytes_are_bounded_by_what_went_in(data: bytes) -> None:
    assert len(undone(data).text) <= 4 * len(data) * escapes.MAX_ROUNDS + 4


def test_a_text_of_nothing_but_codes_is_linear() -> None:
    noise = zlib.compress(bytes(range(256)) * 9)[2:] * 500
    for data in (
        base64.b64encode(noise),
        noise.hex().encode(),
        b"%31" * 60_000,
        b"\\u0031" * 30_000,
        b"=31" * 60_000,
        b"A" * 200_000,
    ):
        assert least_s(lambda data=data: undone(data[:200_000]), 4) < 4


def test_codes_beyond_what_is_looked_at_are_said() -> None:
    message = plain("hello " * (escapes.MAX_SEARCHED // 6 + 5) + "\n" + CODES["percent signs"])
    assert "content.limit.disguises" in {one.code for one in IdentifierScanner(()).find(message.readings, AT)}
    assert not undone(b"hello " * (escapes.MAX_SEARCHED // 6 + 5)).more


@pytest.mark.parametrize(
    ("piece", "kind"),
    [
        ("\u202ea\u202c " * (bidi.MAX_RUNS // 4), "displayed"),
        ("QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo= " * (escapes.MAX_SEARCHED // 37 // 2 + 10), "decoded"),
    ],
)
def test_the_texts_of_a_mail_share_what_second_readings_may_look_at(piece: str, kind: str) -> None:
    part = f"--b\nContent-Type: text/plain; charset=utf-8\n\n{piece}\n"
    mail = read("Content-Type: multipart/mixed; boundary=b\n\n" + part * 3 + "--b--\n", Direction.OUTBOUND)
    second = [one for one in mail.readings if (one.part or "").endswith(kind)]
    assert [one.more for one in second][:1] == [False]
    assert [one.more for one in second][-1:] == [True]
