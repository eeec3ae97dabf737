"""Text files: txt, csv, source, XML as it stands. Both readings where the charset is in doubt."""

from scanners import charset
from scanners.attachments.budget import MAX_TEXT, LimitReached
from scanners.attachments.codes import UNREADABLE
from scanners.attachments.reading import Note, Reading
from scanners.transfer import MAX_EMBEDDED, embedded

MAX_BYTES = 32_000_000
"""Bytes of one text file that are decoded; the rest is named by ``content.limit.text``."""


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
    files(data, reading)


def files(data: bytes, reading: Reading) -> None:
    """Open what older clients take out of text: uuencode, yEnc."""
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
    if len(source) < 2_000_000:
        reading.say(text.read(source).visible)
