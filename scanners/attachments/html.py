"""HTML files: what a reader sees, what is hidden, links; and HTML smuggling (a file put together by script in the browser)."""

import re2

from scanners import text
from scanners.attachments.codes import SMUGGLING
from scanners.attachments.plain import decoded
from scanners.attachments.reading import Note, Reading

MAX_HTML = 4_000_000
"""Characters walked for visible text; smuggled payloads are longer, and the source is searched whole."""
MAX_DATA = 200_000
"""Characters of base64 within one quoted string: no page needs that much of it, a smuggled file does."""

_BUILDS = (
    "new blob",
    "new file(",
    "createobjecturl",
    "mssaveoropenblob",
    "mssaveblob",
    "navigator.mssave",
    "new uint8array",
    "arraybuffer",
)
_DECODES = (
    "atob(",
    "atob (",
    "fromcharcode",
    "charcodeat",
    "unescape(",
    "decodeuricomponent",
    "frombase64",
    "textdecoder",
    "parseint(",
)
_SAVES = (
    "createobjecturl",
    ".download",
    "download=",
    "mssaveoropenblob",
    "mssaveblob",
    ".click()",
    "document.write(",
    "location.href",
)
_OLD = ("mssaveoropenblob", "mssaveblob")

_DATA_LINK = re2.compile(
    r"(?i)(?:href|src|data|content)\s*=\s*[\"']?[^\"'>]{0,40}data:(?:application|text/html|text/javascript)[-a-z0-9/.+]{0,80}[;,]"
)


def may_smuggle(content: bytes) -> bool:
    """Cheap and linear: does this page hold a script or a document as ``data:``? Mail that people write holds neither."""
    lowered = content.lower()
    script = b"script" in lowered and (b"<script" in lowered or b"javascript:" in lowered)
    return script or b"onload" in lowered or b"data:text/html" in lowered or b"data:application/" in lowered


def read(data: bytes, reading: Reading) -> None:
    """Text as seen and as hidden, then links; smuggling is looked for in the source."""
    from scanners.text import links

    source, other = decoded(data, reading, text.declared_charset(data))
    _smuggling(source, reading)
    page = text.read(source[:MAX_HTML])
    reading.say(page.visible)
    reading.say(page.hidden)
    reading.say("\n".join(link.href for link in links(source[:MAX_HTML])[0] if link.href))
    if other:
        reading.also(text.read(other[:MAX_HTML]).visible)
    if len(source) > MAX_HTML:
        reading.say(source[MAX_HTML:])


def _smuggling(source: str, reading: Reading) -> None:
    lowered = source.lower()
    why = ""
    if "<script" in lowered or " onload" in lowered or "javascript:" in lowered:
        builds = any(word in lowered for word in _BUILDS)
        decodes = any(word in lowered for word in _DECODES)
        saves = any(word in lowered for word in _SAVES)
        if any(word in lowered for word in _OLD) or (builds and decodes and saves):
            why = "script builds and saves a file"
        elif builds and saves and _long_string(source):
            why = "script builds a file from a long string"
        elif decodes and "document.write" in lowered and _long_string(source):
            why = "script writes a page from a long string"
    if not why and _DATA_LINK.search(source[:MAX_HTML]):
        why = "link or frame holds a document as data:"
    if why:
        reading.note(Note(SMUGGLING, why))


def _long_string(source: str) -> bool:
    """A quoted run without blanks, long enough to be a file."""
    return any(len(piece) > 2_000 and " " not in piece[:2_000] for quote in "\"'`" for piece in source.split(quote))
