"""Where the parts of a message stand in its bytes, so that one can be exchanged and every other byte stays as it came.

Only a message that reads one way is cut: where ``scanners.mime_reader`` has a doubt, ``structure`` gives None and the treatment falls back.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from scanners import charset
from scanners.encoded import Parameters, parameters
from scanners.mime_reader import MAX_DEPTH, MAX_PARTS, Budget, Options, Reader
from scanners.transfer import transferred

OWN_TEXT = ("text/plain", "text/html")
SEALED = frozenset({"multipart/signed", "multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime"})
"""Altering these breaks what their sender vouched for, or is not possible at all."""


@dataclass(frozen=True, slots=True)
class Node:
    """A part: offsets of its header, its body and its end (before the line break of the next boundary)."""

    path: str
    start: int
    body: int
    end: int
    content_type: Parameters
    encoding: str
    disposition: Parameters
    children: tuple["Node", ...] = ()
    default: str = "text/plain"

    @property
    def media(self) -> str:
        """The declared type; when none is declared ``text/plain``, or ``message/rfc822`` in a digest (RFC 2046 5.1.5)."""
        return self.content_type.value or self.default

    @property
    def filename(self) -> str:
        """The name a reader would see, or ``""``."""
        return self.disposition.first("filename") or self.content_type.first("name")

    @property
    def attached(self) -> bool:
        """Whether it is a file rather than text of the mail."""
        return self.disposition.value == "attachment" or bool(self.filename) or self.media not in OWN_TEXT

    def walk(self) -> Iterator["Node"]:
        """This part and all below it, in order."""
        yield self
        for child in self.children:
            yield from child.walk()


class _Unsure(Exception):
    pass


def structure(raw: bytes) -> Node | None:
    """The parts of ``raw``, or None when two readers could see two structures, or a bound is met."""
    reader = Reader(Options(), Budget())
    reader.read(raw)
    if reader.doubts or reader.limits:
        return None
    try:
        return _node(raw, 0, len(raw), "", 0, [0])
    except _Unsure:
        return None


def sealed(node: Node, raw: bytes) -> bool:
    """Whether the message, or something in it, is signed or encrypted by its sender."""
    if any(each.media in SEALED for each in node.walk()):
        return True
    return b"\n-----BEGIN PGP " in raw


def content(node: Node, raw: bytes) -> bytes:
    """The decoded bytes of a leaf."""
    return transferred(raw[node.body : node.end], node.encoding).content


def text(node: Node, raw: bytes) -> str | None:
    """The text of a leaf as its reader sees it, or None when that is in doubt."""
    decoded = charset.decode(content(node, raw), node.content_type.first("charset"))
    return None if decoded.trouble else decoded.text


def replaced(raw: bytes, changes: dict[int, tuple[int, bytes]]) -> bytes:
    """``raw`` with the bytes from each start to its end exchanged; ranges don't overlap."""
    pieces, position = [], 0
    for start, (end, new) in sorted(changes.items()):
        pieces += [raw[position:start], new]
        position = end
    return b"".join([*pieces, raw[position:]])


def without_fields(header: bytes, names: frozenset[bytes]) -> bytes:
    """A header block without these fields (lower-case names), continuation lines included."""
    kept, dropping = [], False
    for line in header.splitlines(keepends=True):
        if line[:1] not in (b" ", b"\t"):
            dropping = line.partition(b":")[0].strip().lower() in names
        if not dropping:
            kept.append(line)
    return b"".join(kept)


def _node(
    raw: bytes, start: int, end: int, path: str, depth: int, count: list[int], default: str = "text/plain"
) -> Node:
    count[0] += 1
    if depth > MAX_DEPTH or count[0] > MAX_PARTS:
        raise _Unsure
    block = Reader(Options(), Budget()).header(raw, start, end, path)
    fields = {field.name.lower(): field.raw for field in reversed(block.fields)}
    kind = parameters(fields.get(b"content-type", b""))
    encoding = parameters(fields.get(b"content-transfer-encoding", b"")).value
    disposition = parameters(fields.get(b"content-disposition", b""))
    children: tuple[Node, ...] = ()
    if kind.value.startswith("multipart/"):
        ranges = _split(raw, block.body, end, kind.first("boundary"))
        prefix = f"{path}." if path else ""
        below = "message/rfc822" if kind.value == "multipart/digest" else "text/plain"
        children = tuple(
            _node(raw, first, last, f"{prefix}{number}", depth + 1, count, below)
            for number, (first, last) in enumerate(ranges, 1)
        )
    path = path or ("" if children else "1")
    return Node(path, start, block.body, end, kind, encoding, disposition, children, default)


def _split(raw: bytes, start: int, end: int, boundary: str) -> list[tuple[int, int]]:
    """Ranges of the parts of a multipart whose body is ``start`` to ``end``. Raises _Unsure when it is not well formed."""
    if not boundary:
        raise _Unsure
    mark = b"--" + boundary.encode("latin-1", "replace")
    ranges: list[tuple[int, int]] = []
    opened = -1
    at = start if raw.startswith(mark, start) else _next(raw, mark, start, end)
    while at >= 0:
        line_end = raw.find(b"\n", at, end)
        line = raw[at : end if line_end < 0 else line_end].rstrip(b" \t\r")
        if line in (mark, mark + b"--"):
            if opened >= 0:
                ranges.append((opened, _before_break(raw, at, opened)))
            opened = -1 if line != mark else (end if line_end < 0 else line_end + 1)
            if line != mark and not ranges:
                raise _Unsure  # a multipart without parts: some readers show its text, others nothing
            if line != mark:
                return ranges
            if len(ranges) > MAX_PARTS:
                raise _Unsure
        at = _next(raw, mark, at + 1, end)
    raise _Unsure  # no end boundary: what follows may be read as inside or outside


def _next(raw: bytes, mark: bytes, position: int, end: int) -> int:
    found = raw.find(b"\n" + mark, max(0, position - 1), end)
    return found + 1 if found >= 0 else -1


def _before_break(raw: bytes, at: int, floor: int) -> int:
    at -= 1 if raw[at - 1 : at] == b"\n" else 0
    at -= 1 if raw[at - 1 : at] == b"\r" else 0
    return max(at, floor)
