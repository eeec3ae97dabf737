"""HTML files: what a reader sees, what is hidden, links; and HTML smuggling (a file put together by script in the browser)."""

import urllib.parse
from collections.abc import Iterator

import re2

from scanners import active, text
from scanners.attachments import filetype, scripts
from scanners.attachments.budget import LimitReached
from scanners.attachments.codes import DANGEROUS, SMUGGLING
from scanners.attachments.plain import decoded, drawings
from scanners.attachments.reading import Note, Reading
from scanners.encoded import lenient_base64

MAX_FILES = 500
"""Files taken out of one page: a newsletter saved as one file holds about fifty pictures."""
MAX_HTML = 4_000_000
"""Characters walked for visible text; smuggled payloads are longer, and the source is searched whole."""

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

_DATA = re2.compile(
    r"(?i)data:[-a-z0-9/.+*]{0,100}(?:;[-a-z0-9_.+]{1,40}=[^;,\"'<>\s]{0,100}){0,8}\s*(;\s*base64)?\s*,"
)
"""The beginning of a ``data:`` address (RFC 2397); a browser cares for no type."""
_QUOTES = ('"', "'", "`")
_LEADS = (*_QUOTES, "=", "(")
"""What stands before an address in a tag, a style or a script."""
_UNQUOTED = re2.compile("[\\s<>)\"']")
_RUNS = re2.compile("(?i)<script|javascript:|[\\s\"'/]on[a-z]{3,20}\\s*=")
"""What lets a page do something with its strings."""
_BASE64 = re2.compile(r"[A-Za-z0-9+/_-]{64,}={0,2}")
_HEXADECIMAL = re2.compile(r"(?:(?:\\x|%|0x)?[0-9A-Fa-f]{2}[, ]{0,2}){32,}")
_DECIMAL = re2.compile(r"(?:[0-9]{1,3}[, \n]{1,3}){32,}[0-9]{1,3}")
_GLUE = re2.compile(r"[\"'`]\s*\+\s*[\"'`]|\\\r?\n")
"""Between two pieces of one string in a script."""

_DATA_LINK = re2.compile(
    r"(?i)(?:href|src|data|content)\s*=\s*[\"']?[^\"'>]{0,40}data:(?:application|text/html|text/javascript)[-a-z0-9/.+]{0,80}[;,]"
)


def read_svg(data: bytes, reading: Reading) -> None:
    """A drawing is a page to the browser that opens it; one that runs script is a page in disguise."""
    lowered = data[:MAX_HTML].lower()
    if b"<script" in lowered or b"javascript:" in lowered or re2.search(rb"[\s\"'/]on[a-z]{3,20}\s{0,8}=", lowered):
        reading.note(Note(DANGEROUS, "a drawing (SVG) that runs script", about="svg"))
    read(data, reading)


def may_smuggle(content: bytes) -> bool:
    """Cheap and linear: does this page hold a script or a document as ``data:``? Mail that people write holds neither."""
    lowered = content.lower()
    script = b"script" in lowered and (b"<script" in lowered or b"javascript:" in lowered)
    return script or b"onload" in lowered or _has_data(lowered)


def _has_data(lowered: bytes) -> bool:
    """Whether an address may hold a file; its letters may be written as references."""
    return b"data:" in lowered or (b"&#" in lowered and b"base64" in lowered)


def read(data: bytes, reading: Reading) -> None:
    """Text as seen and as hidden, then links; smuggling is looked for in the source."""
    from scanners.text import links

    source, other = decoded(data, reading, text.declared_charset(data))
    _smuggling(source, reading)
    scripts.look(source, reading)
    drawings(source, reading, html=True)
    for kind in active.kinds(source.encode("utf-8", "replace")):
        reading.note(Note(active.ACTIVE, f"HTML with {kind}", about=kind))
    page = text.read(source[:MAX_HTML])
    if page.cut:
        reading.limited("html", text.MAX_RULES)
    reading.say(page.visible)
    reading.say(page.hidden)
    reading.say("\n".join(link.href for link in links(source[:MAX_HTML])[0] if link.href))
    if other:
        reading.also(text.read(other[:MAX_HTML]).visible)
    if len(source) > MAX_HTML:
        reading.say(source[MAX_HTML:])
    for number, content in enumerate(dict.fromkeys(_files(source))):
        if number >= MAX_FILES:
            raise LimitReached("embedded", MAX_FILES)
        reading.budget.unpacked(len(content))
        reading.member(f"data-{number + 1}", content, "")


def _files(source: str) -> Iterator[bytes]:
    """What stands in ``data:`` addresses, and, where a script could save it, in long strings and lists of numbers. Linear."""
    plain = text.unescaped(source)
    reached, absent = 0, set[str]()
    for match in _DATA.finditer(plain):
        if match.start() < reached:
            continue
        before = plain[max(0, match.start() - 40) : match.start()].rstrip()[-1:]
        if not match.group(1) and before not in _LEADS:
            continue  # prose
        reached = _end(plain, match.end(), before, absent)
        body = urllib.parse.unquote_to_bytes(plain[match.end() : reached])
        content = lenient_base64(body) if match.group(1) else body
        opaque = match.group()[5:].lower().lstrip().startswith(filetype.OPAQUE)
        if content and not (opaque and filetype.detect(content).media_type == filetype.UNKNOWN):
            yield content
    if _RUNS.search(source):
        found = (content for content in _strings(_GLUE.sub("", plain)) if content)
        yield from (content for content in found if filetype.detect(content).media_type != filetype.UNKNOWN)


def _end(plain: str, start: int, before: str, absent: set[str]) -> int:
    """Where an address ends: at the quote it began with, which is looked for in vain once only, or at a blank or bracket."""
    if before in _QUOTES and before not in absent:
        end = plain.find(before, start)
        if end >= 0:
            return end
        absent.add(before)
    found = _UNQUOTED.search(plain, start)
    return found.start() if found else len(plain)


def _strings(script: str) -> Iterator[bytes]:
    for match in _HEXADECIMAL.finditer(script):
        digits = match.group().lower().replace("0x", "")
        digits = "".join(one for one in digits if one in "0123456789abcdef")
        yield bytes.fromhex(digits[: len(digits) // 2 * 2])
    for match in _DECIMAL.finditer(script):
        numbers = [int(one) for one in match.group().replace("\n", " ").replace(",", " ").split()]
        if max(numbers) < 256:
            yield bytes(numbers)
    for match in _BASE64.finditer(script):
        content = lenient_base64(match.group().translate({45: 43, 95: 47}).encode())
        if content:
            yield content


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
