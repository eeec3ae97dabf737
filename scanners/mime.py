"""Bytes -> Message. Never raises; bounded in everything; reads twice and more where the bytes allow two readings.

What any mail client could extract is among the parts, or a finding says why not (``mime.ambiguous``, ``content.limit.*``,
``content.unreadable``). Parts of further readings that the first did not show have paths like ``2~b``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from scanners import charset, contentlines, drawn, mime_second, text
from scanners.encoded import text_of
from scanners.finding import Code, Evidence, Finding, Severity
from scanners.message import Envelope, Header, Message, Part
from scanners.mime_reader import DOUBTS, MAX_FIELD, Block, Budget, Field, Leaf, Options, Reader
from scanners.patterns import Marks
from scanners.transfer import MAX_EMBEDDED, Embedded, embedded, pasted

MAX_READINGS = 12
"""Own readings of one message after the first: all combinations of three doubts, or each of more and all together."""
MAX_SECOND = 32 * 1024 * 1024
"""Bytes beyond which the standard library's parser is not asked: it takes 15 ms a megabyte."""
MAX_SECOND_LINES = 1_000_000
"""Lines of it: the library makes an object of each; base64 of the greatest mail has half as many."""
MAX_HTML = 8 * 1024 * 1024
"""Bytes of one HTML body that are read; the longest newsletters have one."""

MAX_QUOTED = 8 * 1024 * 1024
"""Bytes of a text in which encoded words are decoded: a digest of a mailing list, with all its headers, has a tenth."""
_QUOTED_STEP = 48 * 1024
"""Bytes of it decoded at a time, with some that overlap: fewer words than one field may hold."""
_WORD = 256
"""Bytes of an encoded word that may lie across two steps."""
_FILES = (b"PK\x03\x04", b"%PDF-", b"MZ", b"\xd0\xcf\x11\xe0", b"Rar!", b"7z\xbc\xaf", b"\x1f\x8b", b"{\\rtf")
"""How files begin that are pasted into a text as base64."""
_HTML = frozenset(("text/html", "text/x-amp-html", "text/watch-html", "application/xhtml+xml"))
_TAGGED = frozenset(("text/enriched", "text/richtext"))
"""Formats whose tags look like HTML's (RFC 1896): a reader sees none of them."""

_LIMITS = {
    "depth": ("邮件嵌套层数超过上限", "Parts nest deeper than the reader goes"),
    "parts": ("邮件部分数量超过上限", "More parts than the reader takes"),
    "header_fields": ("邮件头字段数量超过上限", "More header fields than the reader takes"),
    "header_bytes": ("邮件头长度超过上限", "A header block is longer than the reader takes"),
    "field_bytes": ("单个邮件头字段长度超过上限", "A header field is longer than the reader takes"),
    "parameters": ("邮件头参数数量超过上限", "A field has more parameters than the reader takes"),
    "parameter_pieces": ("参数分段（RFC 2231）数量超过上限", "A parameter comes in more pieces than the reader takes"),
    "decoded_bytes": ("解码后字节数超过上限", "Decoded parts are larger than the reader takes"),
    "html": ("HTML 正文超过上限", "An HTML body is larger than the reader takes"),
    "embedded": (
        "文本中内嵌文件（uuencode、yEnc）数量超过上限",
        "More files inside a text (uuencode, yEnc) than are taken out",
    ),
    "quoted": ("正文中编码词（RFC 2047）的长度超过上限", "More text with encoded words in it than is decoded"),
    "readings": ("可能的解析方式过多", "The structure allows more readings than are made"),
    "second_reading": ("未能进行第二次解析", "The second reading could not be made"),
}
_PGP = b"-----BEGIN PGP MESSAGE-----"
_BEGINS = Marks(b"begin", _PGP)
AMBIGUOUS = Code(
    "mime.ambiguous",
    Severity.MEDIUM,
    "邮件结构有歧义，不同客户端看到的内容可能不同",
    "Mail clients may read the structure differently; all readings were scanned",
)
DEFECT = Code(
    "mime.defect", Severity.LOW, "邮件格式有缺陷", "The message breaks a rule of its format, without a second meaning"
)
UNREADABLE = Code(
    "content.unreadable", Severity.HIGH, "内容无法解码", "Content could not be decoded, so it was not scanned"
)
CODES = (
    AMBIGUOUS,
    DEFECT,
    UNREADABLE,
    *(Code(f"content.limit.{name}", Severity.HIGH, zh, en) for name, (zh, en) in _LIMITS.items()),
)
"""Everything ``parse()`` may report in ``Message.defects``."""


@dataclass(slots=True)
class _Draft:
    """Parts and findings as they come in."""

    parts: list[Part] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    defects: dict[tuple[str, str], Finding] = field(default_factory=dict)

    def report(self, code: str, severity: Severity, summary: str, path: str | None, about: str) -> None:
        """Once per code and ``about``: ten thousand broken parts are one finding."""
        self.defects.setdefault((code, about), Finding(code, severity, summary, path, Evidence(), about))

    def limit(self, name: str, path: str) -> None:
        """A bound was met."""
        self.report(f"content.limit.{name}", Severity.HIGH, _LIMITS[name][1], path, name)


def parse(envelope: Envelope, raw: bytes) -> Message:
    """Read ``raw``. Whatever the bytes, the answer is a Message; at worst one with no parts and ``content.unreadable``."""
    draft = _Draft()
    headers: tuple[Header, ...] = ()
    length = 0
    try:
        budget = Budget()
        reader = Reader(Options(), budget)
        block = reader.read(raw)
        headers, length = _headers(block.fields), block.body
        _take(draft, reader, "")
        if reader.doubts or reader.limits:
            _again(draft, reader, raw, budget)
    except Exception as error:  # a fault of ours must not lose the mail, and not pass for having read it (law 5)
        draft.report(UNREADABLE.code, UNREADABLE.severity, f"reader: {type(error).__name__}", None, "reader")
    return Message(envelope, raw, headers, tuple(draft.parts), tuple(draft.defects.values()), length, draft.texts)


def _headers(fields: tuple[Field, ...]) -> tuple[Header, ...]:
    return tuple(Header(one.name.decode("latin-1"), one.raw, text_of(one.raw)) for one in fields)


def _take(draft: _Draft, reader: Reader, mark: str) -> None:
    """Parts and findings of one reading; the first (``mark`` empty) takes everything."""
    for name, path in reader.limits.items():
        draft.limit(name, path)
    for kind, path in reader.doubts.items():
        draft.report(AMBIGUOUS.code, AMBIGUOUS.severity, f"two readings: {kind}", path.partition("~")[0], kind)
    for leaf in reader.leaves:
        _leaf(draft, leaf, leaf.path + mark)
        for one in leaf.fields if leaf.kind == "part" and leaf.path != "1" else ():
            if one.name.lower() == b"content-description":  # clients show it in place of a name
                draft.texts[f"{leaf.path}{mark}~description"] = text_of(one.raw)
    for loose in reader.loose:
        draft.texts[loose.path + mark] = charset.decode(loose.content).text
        _embedded(draft, loose.content, loose.path + mark)


def _leaf(draft: _Draft, leaf: Leaf, path: str) -> None:
    if leaf.kind == "message":
        shown = "\n".join(f"{one.name.decode('latin-1')}: {text_of(one.raw)}" for one in leaf.fields)
        draft.parts.append(
            Part(path, leaf.media, leaf.declared, leaf.filename, leaf.disposition, b"", shown, size=len(leaf.content))
        )
        return
    content = leaf.content
    read, body = _is_text(leaf)
    seen = _text(draft, leaf, path) if read else None
    draft.parts.append(
        Part(
            path,
            leaf.media,
            leaf.declared,
            leaf.filename,
            leaf.disposition,
            content,
            seen,
            size=len(content),
            is_body=body,
            charset=leaf.parameters.first("charset"),
        )
    )
    if leaf.media.startswith("text/") or read:
        _embedded(draft, content, path)


def _is_text(leaf: Leaf) -> tuple[bool, bool]:
    """Is its text read here, and is it a body? Text with a name or as an attachment is the decoder's."""
    if leaf.disposition == "attachment" or leaf.filename:
        return False, False
    if leaf.media == "text/plain" or leaf.media in _HTML or leaf.media in _TAGGED:
        return True, True
    return leaf.media.startswith(("text/", "message/")), False


def _text(draft: _Draft, leaf: Leaf, path: str) -> str:
    """What a reader would see; other readings go into ``texts`` under ``path~kind``."""
    content = leaf.content
    html = leaf.media in _HTML or leaf.media in _TAGGED
    if html and len(content) > MAX_HTML:
        draft.limit("html", path)
        content = content[:MAX_HTML]
    label = leaf.parameters.first("charset") or (text.declared_charset(content) if html else "")
    decoded = charset.decode(content, label)
    if decoded.trouble:
        if decoded.trouble == "undecodable":
            draft.report(UNREADABLE.code, UNREADABLE.severity, "charset does not fit", path, "charset")
        else:
            draft.report(DEFECT.code, DEFECT.severity, f"charset: {decoded.trouble}", path, decoded.trouble)
    for number, picture in enumerate(drawn.pictures(decoded.text, html=html)):
        if number == drawn.MAX_DRAWINGS:
            draft.limit("embedded", path)
            break
        _files(draft, (Embedded("", picture),), f"{path}~drawn{number}")
    if not html:
        if decoded.other:
            draft.texts[f"{path}~charset"] = decoded.other
        _put_together(draft, leaf, decoded.text, path)
        return decoded.text
    page = text.read(decoded.text)
    if page.cut:
        draft.limit("html", path)
    if page.hidden:
        draft.texts[f"{path}~hidden"] = page.hidden
    if decoded.other:
        other = text.read(decoded.other)
        draft.texts[f"{path}~charset"] = f"{other.visible}\n{other.hidden}" if other.hidden else other.visible
    return page.visible


def _put_together(draft: _Draft, leaf: Leaf, seen: str, path: str) -> None:
    """What clients join or decode within plain text: flowed lines (RFC 3676), calendars and cards, quoted encoded words."""
    content = leaf.content
    if " \r\n" in seen and leaf.parameters.first("format").lower() == "flowed":
        blank = "" if leaf.parameters.first("delsp").lower() == "yes" else " "
        draft.texts[f"{path}~flowed"] = seen.replace(" \r\n", blank)
    if contentlines.is_card(content):
        card = contentlines.read(content)
        draft.texts[f"{path}~card"] = charset.decode(card.text, leaf.parameters.first("charset")).text
        _files(draft, card.files, path)
        if card.more:
            draft.limit("embedded", path)
    if "\u202e" in seen:  # from here on it is shown from right to left
        draft.texts[f"{path}~reversed"] = seen[::-1]
    for number, decoded in enumerate(pasted(content)):
        if decoded.startswith(_FILES):
            _files(draft, (Embedded("", decoded),), f"{path}~pasted{number}")
        elif not charset.decode(decoded).trouble:
            draft.texts[f"{path}~pasted{number}"] = charset.decode(decoded).text
    if b"=?" in content and b"?=" in content:
        draft.texts[f"{path}~words"] = "\n".join(_quoted(content[:MAX_QUOTED]))
        if b"=?" in content[MAX_QUOTED:]:
            draft.limit("quoted", path)


def _quoted(content: bytes) -> Iterator[str]:
    """Blocks with encoded words in them, decoded; headers are read up to an empty line."""
    for block in content.split(b"\n\n" if b"\r\n" not in content else b"\r\n\r\n"):
        if b"=?" in block:
            for start in range(0, len(block), _QUOTED_STEP):
                yield text_of(block[start : start + _QUOTED_STEP + _WORD])


def _embedded(draft: _Draft, content: bytes, path: str) -> None:
    """Files that older clients take out of text: uuencode, yEnc."""
    if not _BEGINS.any_in(content):
        return
    files = embedded(content)
    if len(files) >= MAX_EMBEDDED:
        draft.limit("embedded", path)
    if content.find(_PGP, 1) > 0:  # at the beginning, the whole text is looked at as a file
        files.append(Embedded("", content[content.find(_PGP, 1) :]))
    _files(draft, files, path)


def _files(draft: _Draft, files: Sequence[Embedded], path: str) -> None:
    for number, found in enumerate(files, 1):
        where = f"{path}~embedded{number}"
        draft.parts.append(
            Part(
                where, "application/octet-stream", "", found.name, "attachment", found.content, size=len(found.content)
            )
        )
        if not found.whole:
            draft.report(AMBIGUOUS.code, AMBIGUOUS.severity, "two readings: embedded", path, "embedded")


def _again(draft: _Draft, first: Reader, raw: bytes, budget: Budget) -> None:
    """Read again under every choice the first reading left open, and by the standard library's parser."""
    if first.limits:
        return  # the finding already says that not everything was seen; more readings would only cost more
    seen = {_identity(part) for part in draft.parts}
    letters = iter("bcdefghijklmnopqrstuvwxyz")
    kinds = sum(kind in DOUBTS for kind in first.doubts)
    if kinds > MAX_READINGS - 1:
        draft.limit("readings", "1")
    for options in _choices(first.doubts):
        reader = Reader(options, budget)
        reader.read(raw)
        _merge(draft, reader, "~" + next(letters), seen)
        if budget.decoded < 0:
            draft.limit("decoded_bytes", "1")
            return
    _standard(draft, first, raw, seen)


def _choices(doubts: dict[str, str]) -> Iterator[Options]:
    kinds = [kind for kind in doubts if kind in DOUBTS]
    sizes = range(1, len(kinds) + 1) if len(kinds) <= 3 else (1, len(kinds))
    every = (chosen for size in sizes for chosen in combinations(kinds, size))
    for number, chosen in enumerate(every):
        if number >= MAX_READINGS:
            return
        yield Options(**dict.fromkeys(chosen, True))


def _merge(draft: _Draft, reader: Reader, mark: str, seen: set[tuple[str, bytes, str]]) -> None:
    """Take what a further reading shows and the earlier ones did not."""
    extra = _Draft(defects=draft.defects)
    _take(extra, reader, mark)
    for part in extra.parts:
        identity = _identity(part)
        if identity not in seen:
            seen.add(identity)
            draft.parts.append(part)
            for path, other in extra.texts.items():
                if path.startswith(part.path):
                    draft.texts[path] = other
    known = set(draft.texts.values())
    draft.texts.update((path, other) for path, other in extra.texts.items() if "logue" in path and other not in known)


def _standard(draft: _Draft, first: Reader, raw: bytes, seen: set[tuple[str, bytes, str]]) -> None:
    if (
        len(raw) > MAX_SECOND
        or raw.count(b"\n") > MAX_SECOND_LINES
        or any(len(leaf.declared) > MAX_FIELD // 8 for leaf in first.leaves)
    ):
        draft.limit("second_reading", "1")
        return
    try:
        leaves = mime_second.leaves(raw, by_looks=not first.doubts.keys().isdisjoint(("encoding", "duplicate_field")))
    except (RecursionError, ValueError, LookupError, AttributeError, TypeError):
        draft.limit("second_reading", "1")  # the library met something it can't read; ours did, and the finding says so
        return
    if len(leaves) >= mime_second.MAX_LEAVES:
        draft.limit("parts", "1")
    extra = _Draft(defects=draft.defects)
    for leaf in leaves:
        _leaf(extra, leaf, leaf.path)
    for part in extra.parts:
        identity = _identity(part)
        if identity not in seen:
            seen.add(identity)
            draft.parts.append(part)
            draft.texts.update({path: other for path, other in extra.texts.items() if path.startswith(part.path)})


def _identity(part: Part) -> tuple[str, bytes, str]:
    """Two parts with the same name, bytes (up to blanks at the end) and text are the same to every client."""
    return part.filename, part.content.rstrip(), (part.text or "").rstrip()


__all__ = ["CODES", "Block", "parse"]
