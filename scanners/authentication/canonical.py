"""A message prepared for signature checks: its header fields as they came, and canonical forms in linear time (RFC 6376 3.4).

dkimpy's own canonicalisation is quadratic in runs of blanks and splits the body by lines; nothing here grows faster than n log n,
and a body is hashed once per canonicalisation however many signatures there are.
"""

import hashlib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from scanners.patterns import Marks

if TYPE_CHECKING:
    from hashlib import _Hash as HASH

FIELD_END = re.compile(rb"\r\n(?![ \t])")
"""The end of a field: a CRLF that no folding follows. A fixed-length pattern, so linear."""

NAME = re.compile(rb"[!-9;-~]+")
"""A field name (RFC 5322 2.2); one class, so linear."""

SINGLETONS = (
    b"from",
    b"sender",
    b"reply-to",
    b"to",
    b"cc",
    b"subject",
    b"date",
    b"message-id",
    b"content-type",
    b"content-transfer-encoding",
)
"""Fields that may occur once (RFC 5322 3.6, RFC 2045) and change what a reader sees or answers to."""

BLANKS = b" \t"
UNRELAXED = Marks(b"  ", b"\t", b" \r\n")
"""A body without these is its own relaxed form, once it ends in CRLF."""

BLOCK = 32_768
"""Octets of a body that are relaxed together if one line of them has to be; what stands between such blocks is hashed as it is."""


class Prepared:
    """Header fields and body of one message. Mutable only in its caches; lives for one message.

    ``headers`` are (name, value) pairs as written: the name without trailing blanks handled by ``index``, the value with folding and its
    CRLF. ``index`` maps a lower-case name to positions, top first. ``junk`` counts lines that are no field.
    """

    __slots__ = ("_body_hashes", "_raw", "_relaxed", "_start", "body", "headers", "index", "junk")

    def __init__(self, raw: bytes, header_length: int) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.index: dict[bytes, list[int]] = {}
        self.junk = 0
        self._raw, self._start = raw, header_length
        self.body = memoryview(raw)[header_length:]
        self._relaxed: dict[int, bytes] = {}
        self._body_hashes: dict[bool, bytes] = {}
        for field in FIELD_END.split(raw[:header_length]):
            if field:
                self._add(field)

    def _add(self, field: bytes) -> None:
        name, colon, value = field.partition(b":")
        key = name.rstrip(BLANKS).lower()
        if not colon or not key or not NAME.fullmatch(key):
            self.junk += 1
            return
        self.index.setdefault(key, []).append(len(self.headers))
        self.headers.append((name, value + b"\r\n"))

    def values(self, key: bytes) -> list[bytes]:
        """Raw values of every field of that lower-case name, top first, without the final CRLF."""
        return [self.headers[at][1][:-2] for at in self.index.get(key, ())]

    def duplicates(self) -> tuple[str, ...]:
        """Singleton fields that occur more than once."""
        index = self.index
        return tuple(key.decode() for key in SINGLETONS if len(index.get(key, ())) > 1)

    def relaxed(self, at: int) -> bytes:
        """The field at that position in relaxed form, ``name:value`` CRLF."""
        form = self._relaxed.get(at)
        if form is None:
            form = self._relaxed[at] = relaxed_field(*self.headers[at])
        return form

    def signed_headers(self, names: Iterable[bytes], relaxed: bool) -> bytes:
        """The header part of what a signature covers: each named field once, from the bottom up (RFC 6376 5.4.2)."""
        taken: dict[bytes, int] = {}
        pieces: list[bytes] = []
        for name in names:
            positions = self.index.get(name)
            if positions is None:
                continue
            used = taken.get(name, 0)
            if used < len(positions):
                at = positions[-1 - used]
                pieces.append(self.relaxed(at) if relaxed else b":".join(self.headers[at]))
                taken[name] = used + 1
        return b"".join(pieces)

    def body_hash(self, relaxed: bool) -> bytes:
        """SHA-256 of the whole canonical body; computed once."""
        digest = self._body_hashes.get(relaxed)
        if digest is None:
            digest = self._body_hashes[relaxed] = hash_body(self._raw, relaxed, self._start)
        return digest


def relaxed_field(name: bytes, value: bytes) -> bytes:
    """RFC 6376 3.4.2. ``value`` ends in CRLF."""
    return name.rstrip(BLANKS).lower() + b":" + squeeze(value.replace(b"\r\n", b"")).strip(b" ") + b"\r\n"


def squeeze(text: bytes) -> bytes:
    """Runs of blanks become one space. Halving passes: n log n for one endless run, one pass for ordinary text."""
    if b"\t" in text:
        text = text.replace(b"\t", b" ")
    while b"  " in text:
        text = text.replace(b"  ", b" ")
    return text


def hash_body(data: bytes, relaxed: bool, start: int = 0) -> bytes:
    """SHA-256 of the canonical form of ``data[start:]`` (RFC 6376 3.4.3, 3.4.4), without a copy of what is its own canonical form."""
    digest = hashlib.sha256()
    if relaxed and len(data) - start > BLOCK:
        # What is left then is the last line with anything in it, and the empty ones behind it.
        start = _hash_lines(digest, data, start)
    left = relaxed_lines(data[start:]) if relaxed else memoryview(data)[start:]
    end, rest = _strip_empty_lines(left)
    digest.update(memoryview(left)[:end])
    digest.update(rest)
    if not relaxed or end or rest:
        digest.update(b"\r\n")
    return digest.digest()


def relaxed_lines(lines: bytes) -> bytes:
    """Whole lines in relaxed form, ended by CRLF; empty ones at the end are kept."""
    if lines and not lines.endswith(b"\r\n"):
        lines += b"\r\n"
    return squeeze(lines).replace(b" \r\n", b"\r\n") if UNRELAXED.any_in(lines) else lines


def _hash_lines(digest: "HASH", data: bytes, at: int) -> int:
    """Hash the lines from ``at`` up to the last one that isn't blank; returns where that one begins. Block by block, since
    most of a large body is base64, which is relaxed as it stands."""
    view, hashed = memoryview(data), at
    last = data.rfind(b"\r\n", at, _end(view, b" \t\r\n", at))
    while at <= last:
        cut = data.rfind(b"\r\n", at, min(at + BLOCK, last + 2))
        if cut < 0:  # a line longer than a block
            cut = data.find(b"\r\n", at)
        block = view[at : cut + 2]
        if UNRELAXED.any_in(block):
            digest.update(view[hashed:at])
            digest.update(relaxed_lines(bytes(block)))
            hashed = cut + 2
        at = cut + 2
    digest.update(view[hashed:at])
    return at


def _end(data: memoryview, of: bytes, start: int = 0) -> int:
    """Where ``data[start:]`` ends without the octets ``of`` it ends in; looked for in growing pieces, since there are few as a rule."""
    size = 64
    while True:
        begin = max(start, len(data) - size)
        kept = len(bytes(data[begin:]).rstrip(of))
        if kept or begin == start:
            return begin + kept
        size *= 8


def _strip_empty_lines(body: "bytes | memoryview") -> tuple[int, bytes]:
    """Where the text ends, and what of the trailing line ends isn't CRLF and so stays."""
    end = _end(memoryview(body), b"\r\n")
    tail = bytes(body[end:])
    if len(tail) <= 2:
        return (end, b"") if tail == b"\r\n" or not tail else (end, tail)
    marked = tail.replace(b"\r\n", b"\0").rstrip(b"\0")  # the tail holds only CR and LF: NUL can mark the pairs
    return end, marked.replace(b"\0", b"\r\n")


def without_signature(value: bytes) -> bytes:
    """A signature field's value with the value of ``b=`` removed, blanks around it included (RFC 6376 3.7)."""
    start = 0
    while start < len(value):
        end = value.find(b";", start)
        end = len(value) if end < 0 else end
        equals = value.find(b"=", start, end)
        if equals >= 0 and value[start:equals].strip() == b"b":
            return value[: equals + 1] + value[end:]
        start = end + 1
    return value
