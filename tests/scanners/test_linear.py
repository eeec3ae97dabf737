# ruff: noqa: E501 - tables read best with a row per line
"""Reading and scanning take time that grows with a mail, not with its square, whatever small piece is repeated in it.

A square shows at a megabyte: it takes minutes of the processor there, a pass a fraction of a second; the bound lies far from both.
"""

import random
import time
from dataclasses import dataclass

import pytest

from gateway.treatments.disarm import rewritten
from scanners.identifiers import IdentifierScanner
from scanners.impersonation import ImpersonationScanner
from scanners.message import Direction
from scanners.urls import UrlScanner
from tests.scanners.letters import read

SIZE = 1_000_000
MAX_S = 25.0
"""Seconds of the processor for a mail of SIZE; ordinary ones take less than one."""


@dataclass(frozen=True)
class Frame:
    """Where the pieces stand, and how large a whole is worth trying there."""

    before: str
    after: str
    pieces: tuple[str, ...]
    size: int = SIZE


HEAD = "From: a@b.test\nTo: c@corp.test\nSubject: x\nMIME-Version: 1.0\n"
ADDRESS_LIKE = ("(", "(a)", ")", '"', "\\", "<", ">", "<a@b>", ",", ";", ":", "a=b;", "a=", "*0=a;", "=?utf-8?q?a?=", "=?utf-8?b?QQ==?=", "=?",
                "?=", "a", "a ", "@", "é", "合", "\n ", "\t", "xn--a.", "spf=pass ", "b=", "h=from:", "[", "g:a@b;", "'")  # fmt: skip
FRAMES = {
    "html": Frame(
        HEAD + "Content-Type: text/html; charset=utf-8\n\n", "",
        ("<!---->", "<!--", "-->", "--!>", "<bdo dir=rtl>", "</bdo>", "<style>", "<style", "</style", ".a{display:none}", "/*", "}", "<a href=x>",
         "<a href='", "</a>", "<p hidden>", "<p style='display:none'>", "<title>", "<textarea>", "</", "<", "<x '", '="', "&", "&#", "&#0", "<script>",
         "</script>", "<template>", "<iframe>", "<plaintext>", "<td>", "1</td><td>", "\u202e", "<svg>", "\\", "合<b>同</b>", "<br>", "\n", " ", "\xa0 "),
    ),
    "text": Frame(
        HEAD + "Content-Type: text/plain; charset=utf-8\n\n", "",
        ("合同", "总 价", "1 ", "1\n", "110101199003078515", "http://", "http://a.b/", "www.", "a@b.c", "@", "=?gbk?q?", "begin 644 a\n", "`\nend\n", "#9&%T\n",
         "=ybegin line=1 size=1 name=a\n", "QUJDREVG", "USD 5 ", "壹仟", "\u200b", "\u202e", "ａ", "%41", "\\u0041", "0x41 ", "账号:", "--b\n", "content-type: a/b\n\n",
         "a;ENCODING=QUOTED-PRINTABLE:", "aaaa=\n", "(", "<", '"', ".", "-", "~{", "\x1b$B", "+AGE-", "&#65;"),
    ),
    "card": Frame(HEAD + "Content-Type: text/calendar\n\nBEGIN:VCALENDAR\n", "", ("a;ENCODING=QUOTED-PRINTABLE:", "aaaa=\n", "a;ENCODING=B:QUJD\n", "\n ", ";", ":")),
    "shifted": Frame(HEAD + "Content-Type: text/plain; charset=iso-2022-cn\n\n", "", ("\x0e", "\x0f", "\x0e\x0f", "\x1b$)A", "\x1b$)G\x0e", "a")),
    "parts": Frame(
        HEAD + "Content-Type: multipart/mixed; boundary=b\n\n--b\n", "\n--b--\n",
        ("--b\n\nx\n", "--b", "--b--\n", "Content-Type: multipart/mixed; boundary=c\n\n--c\n", "Content-Type: message/rfc822\n\n", "Content-Type: text/html\n\n<b>x\n",
         "Content-Transfer-Encoding: base64\n\nQUJD\n", "\n", "\r", "-", "=\n", "=41", "begin 644 a\n"),
    ),
    "fields": Frame(
        "", ": x\n\nx",
        ("A: b\n", "From: a@b\n", "Subject: =?utf-8?b?QUFB?=\n", "Received: x\n", "Authentication-Results: gw.corp.test; spf=pass\n", "Content-Type: text/plain\n", " a\n", "\t"),
    ),
    **{name: Frame(f"{name}: ", "\nFrom: a@b.test\n\nx", ADDRESS_LIKE, 60_000) for name in ("From", "Content-Type", "DKIM-Signature", "Authentication-Results", "Received")},
}  # fmt: skip


async def cost(raw: str) -> float:
    """Seconds of the processor for the mail: reading, scanners, the page written anew."""
    began = time.thread_time()
    message = read(raw, Direction.OUTBOUND)
    for scanner in (IdentifierScanner(()), ImpersonationScanner(("corp.test",), ()), UrlScanner()):
        await scanner.scan(message)
    if "text/html" in raw[:200]:
        rewritten(raw)
    return time.thread_time() - began


def repeated(pieces: tuple[str, ...], shape: str, size: int) -> str:
    """``size`` characters of them in turns, of the second after one of the first, or half and half."""
    first, last = pieces[0], pieces[-1]
    if shape == "turns":
        return "".join(pieces) * (size // len("".join(pieces)))
    if shape == "after":
        return first + last * (size // len(last))
    return first * (size // 2 // len(first)) + last * (size // 2 // len(last))


KNOWN = [
    ("html", ("<!---->",)), ("html", ("<p hidden>", "<!---->")), ("html", ("<style", "</style")), ("html", ("<bdo dir=rtl>", "a</b")), ("html", ("<a href=x>", "<p hidden>a<br>")),
    ("html", ("<p hidden>", "&#0")), ("html", ("<title>", "</")), ("text", ("begin 644 a\n", "#9&%T\n")), ("text", ("http://", "@")),
    ("card", ("a;ENCODING=QUOTED-PRINTABLE:", "aaaa=\n")), ("shifted", ("\x0e\x0f",)), ("shifted", ("\x1b$)G\x0e", "a")), ("parts", ("--b\n\nx\n",)),
    ("parts", ("Content-Type: message/rfc822\n\n",)), ("fields", ("Received: x\n",)), ("From", ("(", "\\")), ("Content-Type", (";", "a=b;")),
]  # fmt: skip


@pytest.mark.parametrize(("where", "pieces"), KNOWN)
async def test_pieces_that_once_took_or_could_take_a_square(where: str, pieces: tuple[str, ...]) -> None:
    frame = FRAMES[where]
    for shape in ("turns", "after") if len(pieces) > 1 else ("turns",):
        assert await cost(frame.before + repeated(pieces, shape, frame.size) + frame.after) < MAX_S, shape


@pytest.mark.full
@pytest.mark.parametrize("where", FRAMES)
async def test_every_piece_and_many_pairs(where: str) -> None:
    frame = FRAMES[where]
    choose = random.Random(2026)
    tried = [((piece,), "turns") for piece in frame.pieces]
    tried += [(tuple(choose.sample(frame.pieces, 2)), choose.choice(("turns", "after", "halves"))) for _ in range(100)]
    slow = [
        (pieces, shape)
        for pieces, shape in tried
        if await cost(frame.before + repeated(pieces, shape, frame.size) + frame.after) > MAX_S
    ]
    assert not slow
