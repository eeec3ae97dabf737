"""Text files: txt, csv, source, XML as it stands. Both readings where the charset is in doubt."""

import re2

from scanners import charset, contentlines, drawn
from scanners.attachments import scripts
from scanners.attachments.budget import MAX_TEXT, LimitReached
from scanners.attachments.codes import ENCRYPTED, MACRO, UNREADABLE
from scanners.attachments.filetype import detect
from scanners.attachments.reading import Note, Reading
from scanners.transfer import MAX_EMBEDDED, embedded, pasted

_TABLES = (".csv", ".tsv", ".tab", ".txt", ".xls", ".slk", ".iqy", ".prn")
_DDE = re2.compile(r"(?m)(?:^|[,;\t\"])[ \t\"']{0,4}[=+@-][A-Za-z0-9+*/=@(._-]{0,40}[A-Za-z]\|[^\r\n]{1,200}!")
"""``=cmd|' /c calc'!A0``: a program, a topic and a cell of it."""
_PGP = b"-----BEGIN PGP MESSAGE-----"
MAX_BYTES = 32_000_000
"""Bytes of one text file that are decoded; the rest is named by ``content.limit.text``."""

MAX_SHOWN = 2_000_000
"""Characters of XML of which the text between the tags is read as well."""


def declared_charset(declared: str) -> str:
    """The charset parameter of a Content-Type as written, or ``""``."""
    _, found, rest = declared.lower().partition("charset=")
    return rest.split(";")[0].strip().strip("\"'") if found else ""


def labelled_unlike_text(declared: str) -> bool:
    """Whether a part is labelled as text in a charset whose bytes look like none: two or four a character, or with shifts."""
    codec = charset.codec_for(declared_charset(declared)) or ""
    return declared.lower().startswith("text/") and codec.startswith(("utf-16", "utf-32", "iso2022"))


def read(data: bytes, reading: Reading) -> None:
    """The whole text."""
    text, other = decoded(data, reading)
    reading.say(text)
    if other and other != text:
        reading.also(other)
    scripts.look(text, reading)
    drawings(text, reading, html=False)
    if _PGP in data:
        reading.note(Note(ENCRYPTED, "encrypted OpenPGP message in a text", about="pgp"))
    if reading.name.lower().endswith(_TABLES) and _DDE.search(text):
        reading.note(Note(MACRO, "a cell that starts a program (DDE)", about="dde"))
    if contentlines.is_card(data):
        _card(data, reading)
    files(data, reading)


def _card(data: bytes, reading: Reading) -> None:
    """A calendar or contact card: lines joined, values decoded, files opened."""
    card = contentlines.read(data)
    reading.say(charset.decode(card.text, declared_charset(reading.declared)).text)
    for each in card.files:
        reading.budget.unpacked(len(each.content))
        reading.member(each.name or "embedded", each.content, "")
    if card.more:
        raise LimitReached("embedded", contentlines.MAX_FILES)


def drawings(text: str, reading: Reading, *, html: bool) -> None:
    """Open what is drawn with characters or cells, for the codes in it."""
    for number, picture in enumerate(drawn.pictures(text[:MAX_SHOWN], html=html)):
        if number == drawn.MAX_DRAWINGS:
            reading.limited("embedded", drawn.MAX_DRAWINGS)
            break
        reading.member("drawn", picture, "")


def read_pgp(data: bytes, reading: Reading) -> None:
    """An armoured OpenPGP message."""
    reading.note(Note(ENCRYPTED, "encrypted OpenPGP message", about="pgp"))


def files(data: bytes, reading: Reading) -> None:
    """Open what older clients take out of text: uuencode, yEnc."""
    for number, content in enumerate(pasted(data)):
        if detect(content).known:
            reading.budget.unpacked(len(content))
            reading.member(f"pasted-{number + 1}", content, "")
    if b"begin" not in data:
        return
    found = embedded(data)
    for each in found:
        reading.budget.unpacked(len(each.content))
        reading.member(each.name or "embedded", each.content, "")
    if len(found) >= MAX_EMBEDDED:
        raise LimitReached("embedded", MAX_EMBEDDED)


def decoded(data: bytes, reading: Reading, inner: str = "") -> tuple[str, str]:
    """Text and, in doubt, its other reading; ``inner`` is the charset that the bytes name themselves where no label does."""
    found = charset.decode(data[:MAX_BYTES], declared_charset(reading.declared) or inner)
    if found.trouble == "undecodable":
        reading.note(Note(UNREADABLE, "charset does not fit", about="charset"))
    if len(data) > MAX_BYTES:
        reading.say(found.text)
        raise LimitReached("text", MAX_TEXT)
    return found.text, found.other


def read_xml(data: bytes, reading: Reading) -> None:
    """XML: its source as text (attributes count), and what stands between its tags when that differs."""
    from scanners import text

    source, _ = decoded(data, reading)
    reading.say(source)
    scripts.look(source, reading)
    if "<?mso-application" in source[:2_000] and ("macrosPresent" in source or "binData" in source):
        reading.note(Note(MACRO, "Office XML with macros or binary objects", about="xml"))
    if len(source) > MAX_SHOWN:
        reading.limited("text", MAX_SHOWN)
        return
    reading.say(text.read(source).visible)
