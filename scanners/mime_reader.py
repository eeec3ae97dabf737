"""One reading of a message: bytes -> leaves, under options that say how a doubtful place is read.

Where the bytes allow two readings the reader takes the one its options say and notes the kind of doubt; ``scanners.mime`` then
reads again with the other choice. Own code instead of a general parser, since it has to know every such place, keep raw bytes,
and stay linear on hostile input.
"""

from dataclasses import dataclass, field, replace

from msgspec import Struct

from scanners.encoded import Parameters, parameters
from scanners.transfer import loose_lines, transferred

MAX_DEPTH = 30
"""Multiparts and messages inside each other; real mail nests fewer than ten deep."""
MAX_PARTS = 1_000
"""Leaves of one reading; a digest of a busy day has a few hundred."""
MAX_FIELDS = 1_000
"""Header fields of one block; fifty Received fields are already a loop."""
MAX_HEADER = 256 * 1024
"""Bytes of one header block."""
MAX_FIELD = 64 * 1024
"""Bytes of one field; a To with a thousand addresses fits."""
MAX_DECODED = 128 * 1024 * 1024
"""Decoded bytes over all readings together: twice the largest mail, since each level of encoding makes it smaller."""

MAX_INNER = 100
"""Times the message is searched for an inner boundary that begins like an outer one: each search may read it all."""

_NAME_BYTES = bytes(range(33, 58)) + bytes(range(59, 127))
_STRUCTURE = (b"content-type", b"content-transfer-encoding", b"content-disposition")


@dataclass(frozen=True, slots=True)
class Options:
    """How doubtful places are read; the default is what most clients do. Each flag is named after the doubt it answers."""

    duplicate_field: bool = False
    """Take the last of several Content-* fields, not the first."""
    two_boundaries: bool = False
    """Take the last boundary parameter."""
    boundary_prefix: bool = False
    """A line that only begins with the boundary ends a part."""
    header_line: bool = False
    """A malformed line ends the header, instead of being skipped."""
    bare_cr: bool = False
    """A lone CR breaks the line."""
    nul: bool = False
    """NUL bytes in headers are dropped first."""
    encoding: bool = False
    """Unknown encodings are taken for what the bytes look like; encodings of multiparts are undone, of messages not."""
    base64: bool = False
    """Base64 stops at its first padding."""
    content_type: bool = False
    """A type that is no multipart, but has a boundary that occurs, is split; a multipart without one is split at a guess."""
    filename: bool = False
    """The name in Content-Type wins over Content-Disposition's."""
    leading_blank: bool = False
    """Blank lines before the header are skipped."""
    after_end: bool = False
    """Boundaries go on counting after the end boundary."""


DOUBTS = frozenset(Options.__dataclass_fields__)


class Field(Struct, frozen=True):
    """One header field: name as written, raw value bytes with their folding."""

    name: bytes
    raw: bytes


class Block(Struct, frozen=True):
    """A header block and where its body begins."""

    fields: tuple[Field, ...]
    body: int


@dataclass(frozen=True, slots=True)
class Leaf:
    """A part that is not split further; ``media`` is the declared type, ``kind`` ``part`` or ``message`` (its header block)."""

    path: str
    media: str
    declared: str
    parameters: Parameters
    filename: str
    disposition: str
    content: bytes
    kind: str = "part"
    fields: tuple[Field, ...] = ()


@dataclass(frozen=True, slots=True)
class Loose:
    """Text outside all parts: preamble or epilogue."""

    path: str
    content: bytes


@dataclass(slots=True)
class Budget:
    """What all readings of a message may still use."""

    decoded: int = MAX_DECODED


@dataclass(slots=True)
class Reader:
    """Reads ``raw`` once; afterwards holds leaves, loose text, doubts (kind -> first path), limits and defects."""

    options: Options
    budget: Budget
    leaves: list[Leaf] = field(default_factory=list)
    loose: list[Loose] = field(default_factory=list)
    doubts: dict[str, str] = field(default_factory=dict)
    limits: dict[str, str] = field(default_factory=dict)
    inner: int = 0
    """Lines that began with a boundary and went on, so far."""

    def read(self, raw: bytes) -> Block:
        """Read the whole message; returns its own header block."""
        if self.options.bare_cr:
            raw = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        start = 0
        if raw[:1] in (b"\r", b"\n"):
            self.doubts.setdefault("leading_blank", "1")
            if self.options.leading_blank:
                start = len(raw) - len(raw.lstrip(b"\r\n"))
        block = self.header(raw, start, len(raw), "1")
        self._entity(raw, block, len(raw), "", 0, "text/plain")
        return block

    # -- headers -------------------------------------------------------------------------------------------------------------

    def header(self, data: bytes, start: int, end: int, path: str) -> Block:
        """The header block at ``start``."""
        stop, body = _blank_line(data, start, end)
        if stop - start > MAX_HEADER:
            self.limits.setdefault("header_bytes", path)
            stop = start + MAX_HEADER
        block = data[start:stop]
        if b"\0" in block:
            self.doubts.setdefault("nul", path)
            if self.options.nul:
                block = block.replace(b"\0", b"")
        if b"\r" in block.replace(b"\r\n", b"").rstrip(b"\r"):
            self.doubts.setdefault("bare_cr", path)
        fields, used = self._fields(block, path)
        return Block(tuple(fields), body if used is None else start + used)

    def _fields(self, block: bytes, path: str) -> tuple[list[Field], int | None]:
        """Split a block into fields; with ``header_line`` set also where a malformed line ended it."""
        fields: list[Field] = []
        name, pieces = b"", [b""]
        position = 0
        for line in block.split(b"\n"):
            first = line[:1]
            if first in (b" ", b"\t") and name:
                if line.isspace():
                    self.doubts.setdefault("header_line", path)
                    if self.options.header_line:
                        break
                pieces.append(line)
            elif line and line != b"\r":
                colon = line.find(b":")
                found = line[:colon]
                if colon <= 0 or found.translate(None, _NAME_BYTES):
                    found = self._odd_name(found if colon > 0 else b"", line, position, path)
                    if not found:
                        if self.options.header_line and not _is_mbox_line(line, position):
                            break
                        position += len(line) + 1
                        continue
                if name:
                    fields.append(self._field(name, pieces, path))
                if len(fields) >= MAX_FIELDS:
                    self.limits.setdefault("header_fields", path)
                    return fields, None
                name, pieces = found, [line[colon + 1 :]]
            position += len(line) + 1
        else:
            position = -1
        if name:
            fields.append(self._field(name, pieces, path))
        return fields, None if position < 0 else position

    def _odd_name(self, name: bytes, line: bytes, position: int, path: str) -> bytes:
        """The name of a malformed line as lenient clients take it, or ``b""`` when it is no field."""
        if _is_mbox_line(line, position):
            return b""
        self.doubts.setdefault("header_line", path)
        if self.options.header_line:
            return b""
        name = name.strip(b" \t\0\xef\xbb\xbf")  # a byte order mark too: editors leave it before the first field
        return b"" if name.translate(None, _NAME_BYTES) else name

    def _field(self, name: bytes, pieces: list[bytes], path: str) -> Field:
        raw = b"\n".join(pieces) if len(pieces) > 1 else pieces[0]
        if len(raw) > MAX_FIELD:
            self.limits.setdefault("field_bytes", path)
            raw = raw[:MAX_FIELD]
        return Field(name, raw.rstrip(b"\r"))

    # -- entities ------------------------------------------------------------------------------------------------------------

    def _entity(self, data: bytes, block: Block, end: int, path: str, depth: int, default: str) -> None:
        """One entity: its fields are known, its body is ``data[block.body:end]``; ``path`` is ``""`` at the top."""
        kind, encoding, disposition = self._structure(block.fields, path)
        media = kind.value or default
        if "/" not in media or media.startswith("/") or media.endswith("/"):
            if kind.value:
                self.doubts.setdefault("content_type", path or "1")
            media = "text/plain"
        if media.startswith("multipart/") and encoding not in ("", "7bit", "8bit", "binary"):
            self.doubts.setdefault("encoding", path or "1")  # RFC 2045 6.4 forbids it, some clients undo it
            if self.options.encoding:
                data = transferred(data[block.body : end], encoding, other=True).content
                block, end, encoding = Block(block.fields, 0), len(data), ""
        boundary = self._boundary(kind, media, data, block.body, end, path)
        if boundary is None:
            self._leaf(data, block, end, path, depth, media, kind, encoding, disposition)
            return
        if encoding not in ("", "7bit", "8bit", "binary") and not media.startswith("multipart/"):
            self.doubts.setdefault("encoding", path or "1")
            if self.options.encoding:
                data = transferred(data[block.body : end], encoding, other=True).content
                block, end = Block(block.fields, 0), len(data)
        if depth >= MAX_DEPTH:
            self._too_deep(data, block, end, path, kind)
            return
        self._multipart(data, block.body, end, path, depth, boundary, media)

    def _structure(self, fields: tuple[Field, ...], path: str) -> tuple[Parameters, str, Parameters]:
        found: dict[bytes, bytes] = {}
        for one in fields:
            key = one.name.lower()
            if key in _STRUCTURE:
                if key in found:
                    if found[key] != one.raw:
                        self.doubts.setdefault("duplicate_field", path or "1")
                    if not self.options.duplicate_field:
                        continue
                found[key] = one.raw
        where = path or "1"
        kind = self._parameters(found.get(_STRUCTURE[0]), where)
        encoding = ""
        if _STRUCTURE[1] in found:
            read = self._parameters(found[_STRUCTURE[1]], where)
            encoding = read.value.strip()
        return kind, encoding, self._parameters(found.get(_STRUCTURE[2]), where)

    def _parameters(self, raw: bytes | None, path: str) -> Parameters:
        if raw is None:
            return _NOTHING
        read = parameters(raw)
        for limit in read.limits:
            self.limits.setdefault(limit, path)
        for odd in read.odd:
            self.doubts.setdefault(odd, path)
        return read

    def _boundary(self, kind: Parameters, media: str, data: bytes, start: int, end: int, path: str) -> bytes | None:
        """The boundary to split at, or ``None`` for a leaf."""
        given = list(dict.fromkeys(kind.every("boundary")))
        multipart = media.startswith("multipart/")
        if not multipart and not given:
            return None
        where = path or "1"
        if len(given) > 1:
            self.doubts.setdefault("two_boundaries", where)
        text = (given[-1] if self.options.two_boundaries else given[0]).rstrip() if given else ""
        boundary = text.encode("utf-8", "replace")
        occurs = bool(boundary) and data.find(b"--" + boundary, start, end) >= 0
        if multipart and occurs:
            if len(boundary) > 70:
                self.doubts.setdefault("boundary_long", where)
            return boundary
        if multipart and start >= end:
            return None
        if multipart or occurs:
            self.doubts.setdefault("content_type", where)
        if not self.options.content_type:
            return None
        return boundary if occurs else _guessed_boundary(data, start, end)

    def _too_deep(self, data: bytes, block: Block, end: int, path: str, kind: Parameters) -> None:
        self.limits.setdefault("depth", path)
        content = data[block.body : end]
        self._add(Leaf(path, "application/octet-stream", kind.value, kind, "", "", content))

    def _multipart(self, data: bytes, start: int, end: int, path: str, depth: int, boundary: bytes, media: str) -> None:
        where = path or "1"
        ranges, preamble, epilogue, closed = self._split(data, start, end, boundary, where)
        if not closed:
            self.doubts.setdefault("missing_end", where)
        self._keep_loose(data[start:preamble], f"{where}~preamble", "preamble")
        self._keep_loose(data[epilogue:end], f"{where}~epilogue", "epilogue")
        default = "message/rfc822" if media == "multipart/digest" else "text/plain"
        for number, (begin, stop) in enumerate(ranges, 1):
            if len(self.leaves) >= MAX_PARTS:
                self.limits.setdefault("parts", where)
                return
            name = f"{path}.{number}" if path else str(number)
            self._entity(data, self.header(data, begin, stop, name), stop, name, depth + 1, default)

    def _keep_loose(self, content: bytes, path: str, kind: str) -> None:
        if content and not content.isspace():
            if kind == "epilogue" or not _is_boilerplate(content):
                self.doubts.setdefault(kind, path)
            # The outermost multipart shares its path with its first part; what stands around it came first, two texts at most.
            taken = any(one.path == path for one in self.loose[:2])
            self.loose.append(Loose(f"{path}2" if taken else path, content))

    def _split(
        self, data: bytes, start: int, end: int, boundary: bytes, path: str
    ) -> tuple[list[tuple[int, int]], int, int, bool]:
        """Ranges between boundary lines; end of the preamble, start of the epilogue, whether an end boundary was seen."""
        delimiter = b"--" + boundary
        ranges: list[tuple[int, int]] = []
        begin, preamble, epilogue = -1, end, end
        at = data.find(delimiter, start, end)
        closed = False
        while at >= 0:
            after = at + len(delimiter)
            line_end = data.find(b"\n", after, end)
            line_end = end if line_end < 0 else line_end
            kind = self._boundary_line(data, start, at, after, line_end, boundary, path)
            if kind:
                if begin >= 0:
                    ranges.append((begin, _before(data, begin, at)))
                preamble = min(preamble, _before(data, start, at))
                begin = min(line_end + 1, end)
                if kind == "end":
                    closed, epilogue = True, begin
                    begin = begin if self.options.after_end else -1
                    if not self.options.after_end:
                        if data.find(b"\n" + delimiter, line_end - 1, end) >= 0:
                            self.doubts.setdefault("after_end", path)
                        break
                if len(ranges) >= MAX_PARTS:
                    self.limits.setdefault("parts", path)
                    return ranges, preamble, end, True
            at = data.find(delimiter, after, end)
        if begin >= 0 and (not closed or self.options.after_end) and data[begin:end].strip():
            ranges.append((begin, end))
            epilogue = end
        return ranges, preamble, epilogue, closed

    def _boundary_line(
        self, data: bytes, start: int, at: int, after: int, line_end: int, boundary: bytes, path: str
    ) -> str:
        """``part`` or ``end`` when the line at ``at`` separates parts under these options, else ``""``."""
        if at > start and data[at - 1] != 10:
            if data[at - 1] == 13:
                self.doubts.setdefault("bare_cr", path)
            return ""
        tail = data[after : min(line_end, after + 200)].strip(b" \t\r\n")  # RFC 2046 5.1.1; other blanks are a doubt
        if not tail:
            return "part"
        if tail == b"--":
            return "end"
        self.inner += 1
        if self.inner <= MAX_INNER and _is_declared(data, boundary + tail):
            return ""  # the boundary of a multipart inside, which happens to begin like this one
        self.doubts.setdefault("boundary_prefix", path)
        if not self.options.boundary_prefix:
            return ""
        return "end" if tail.startswith(b"--") else "part"

    # -- leaves --------------------------------------------------------------------------------------------------------------

    def _leaf(
        self, data: bytes, block: Block, end: int, path: str, depth: int, media: str, kind: Parameters, encoding: str,
        disposition: Parameters,
    ) -> None:  # fmt: skip
        path = path or "1"
        message = media in _MESSAGES
        body = data[block.body : end]
        other = self.options.base64 or self.options.encoding
        if message and encoding not in ("", "7bit", "8bit", "binary"):
            self.doubts.setdefault("encoding", path)
            decoded = body if self.options.encoding else self._decode(body, encoding, path, other=False)
        else:
            decoded = self._decode(body, encoding, path, other=other)
        if self.budget.decoded < 0:
            self.limits.setdefault("decoded_bytes", path)
            return
        name = self._filename(kind, disposition, path)
        if media in ("message/partial", "message/external-body"):
            self.doubts.setdefault("partial", path)  # the rest comes in other mails, or from somewhere else
        if not block.fields and depth and body[:8].lower() == b"content-":
            self.doubts.setdefault("header_line", path)  # a blank line too many: some skip it and read fields
        if message and depth < MAX_DEPTH:
            self._message(decoded, path, depth, media, kind, name, disposition.value)
            return
        if message:
            self.limits.setdefault("depth", path)
        self._add(Leaf(path, media, kind.value, kind, name, disposition.value, decoded, fields=block.fields))

    def _decode(self, body: bytes, encoding: str, path: str, *, other: bool) -> bytes:
        done = transferred(body, encoding, other=other)
        if done.odd:
            self.doubts.setdefault("encoding" if done.odd == "unknown" else done.odd, path)
            loose = loose_lines(body)[0] if done.odd == "base64" else b""
            if loose.strip():  # a client that finds no base64 shows them as they are
                self.loose.append(Loose(f"{path}~loose", loose))
        self.budget.decoded -= len(done.content)
        return done.content

    def _message(
        self, content: bytes, path: str, depth: int, media: str, kind: Parameters, name: str, disposition: str
    ) -> None:
        block = self.header(content, 0, len(content), path)
        self._add(Leaf(path, media, kind.value, kind, name, disposition, content, "message", block.fields))
        start = len(self.leaves)
        self._entity(content, block, len(content), path, depth + 1, "text/plain")
        below = self.leaves[start:]
        if below and below[0].path == path:  # a leaf, or a message itself: it needs a path of its own below this one
            self.leaves[start:] = [replace(leaf, path=f"{path}.1{leaf.path[len(path) :]}") for leaf in below]

    def _filename(self, kind: Parameters, disposition: Parameters, path: str) -> str:
        names = [name for name in dict.fromkeys(disposition.every("filename") + kind.every("name")) if name]
        if not names:
            return ""
        if len({_extension(name) for name in names}) > 1:
            self.doubts.setdefault("filename", path)
        chosen = names[-1] if self.options.filename else names[0]
        return "".join(character for character in chosen[:1000] if character >= " ")

    def _add(self, leaf: Leaf) -> None:
        if len(self.leaves) < MAX_PARTS:
            self.leaves.append(leaf)
        else:
            self.limits.setdefault("parts", leaf.path)


_NOTHING = Parameters("")
_MESSAGES = frozenset(("message/rfc822", "message/global", "message/news", "message/x-rfc822", "message/rfc2822"))


def _blank_line(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Where the header ends and the body begins: at the first empty line, CRLF or LF."""
    if data.startswith(b"\r\n", start, end):
        return start, start + 2
    if data.startswith(b"\n", start, end):
        return start, start + 1
    crlf = data.find(b"\n\r\n", start, end)
    lf = data.find(b"\n\n", start, end if crlf < 0 else crlf + 1)
    if lf >= 0:
        return lf + 1, lf + 2
    return (crlf + 1, crlf + 3) if crlf >= 0 else (end, end)


def _is_mbox_line(line: bytes, position: int) -> bool:
    """The separator of an mbox, left in by careless software: nobody doubts what it is."""
    return position == 0 and line.startswith((b"From ", b">From "))


def _before(data: bytes, start: int, at: int) -> int:
    """``at`` without the line break in front of it, which belongs to the boundary (RFC 2046 5.1.1)."""
    if at > start and data[at - 1] == 10:
        at -= 1
        if at > start and data[at - 1] == 13:
            at -= 1
    return at


def _is_declared(data: bytes, name: bytes) -> bool:
    name = name.removesuffix(b"--")
    return data.find(b'boundary="' + name + b'"') >= 0 or data.find(b"boundary=" + name) >= 0


def _guessed_boundary(data: bytes, start: int, end: int) -> bytes | None:
    """The first line that looks like a boundary and is followed by a Content field."""
    at = start if data.startswith(b"--", start, end) else data.find(b"\n--", start, end) + 1
    for _ in range(MAX_PARTS):
        if at <= 0 and not data.startswith(b"--", start, end):
            return None
        line_end = data.find(b"\n", at, end)
        if line_end < 0:
            return None
        boundary = data[at + 2 : line_end].strip()
        if 0 < len(boundary) <= 200 and data[line_end + 1 : line_end + 9].lower() == b"content-":
            return boundary
        at = data.find(b"\n--", line_end - 1, end) + 1
        if at == 0:
            return None
    return None


def _is_boilerplate(preamble: bytes) -> bool:
    """The sentence for readers of 1993: short, ASCII, speaks of MIME or of a message, and holds no structure."""
    lower = preamble.lower()
    return (
        len(preamble) <= 600
        and preamble.isascii()
        and (b"mime" in lower or b"multi-part" in lower or b"multipart" in lower)
        and not any(mark in lower for mark in (b"content-", b"begin ", b"=ybegin", b"http", b"<html"))
        and not any(len(line) > 100 or line.startswith(b"--") for line in preamble.splitlines())
    )


def _extension(name: str) -> str:
    return name.rpartition(".")[2].strip().lower()
