"""A message prepared for signature checks: its header fields as they came, and canonical forms in linear time (RFC 6376 3.4).

dkimpy's own canonicalisation is quadratic in runs of blanks and splits the body by lines; nothing here grows faster than n log n,
and a body is hashed once per canonicalisation however many signatures there are.
"""

import hashlib
import re
from collections.abc import Iterable

from scanners.patterns import Marks

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


class Prepared:
    """Header fields and body of one message. Mutable only in its caches; lives for one message.

    ``headers`` are (name, value) pairs as written: the name without trailing blanks handled by ``index``, the value with folding and its
    CRLF. ``index`` maps a lower-case name to positions, top first. ``junk`` counts lines that are no field.
    """

    __slots__ = ("_body_hashes", "_relaxed", "body", "headers", "index", "junk")

    def __init__(self, raw: bytes, header_length: int) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.index: dict[bytes, list[int]] = {}
        self.junk = 0
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
            digest = self._body_hashes[relaxed] = hash_body(bytes(self.body), relaxed)
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


def hash_body(body: bytes, relaxed: bool) -> bytes:
    """SHA-256 of the canonical body (RFC 6376 3.4.3, 3.4.4)."""
    if relaxed:
        if body and not body.endswith(b"\r\n"):
            body += b"\r\n"
        if UNRELAXED.any_in(body):
            body = squeeze(body).replace(b" \r\n", b"\r\n")
    end, rest = _strip_empty_lines(body)
    digest = hashlib.sha256(memoryview(body)[:end])
    digest.update(rest)
    if not relaxed or end or rest:
        digest.update(b"\r\n")
    return digest.digest()


def _strip_empty_lines(body: bytes) -> tuple[int, bytes]:
    """Where the text ends, and what of the trailing line ends isn't CRLF and so stays."""
    end = len(body.rstrip(b"\r\n"))
    tail = body[end:]
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
