"""Text inside header fields: encoded words (RFC 2047), parameters (RFC 2045) and their continuations (RFC 2231), read leniently.

Clients decode more than the standards allow (encoded words in parameters and quotes, words split inside a character), so do we.
Everything is linear in the bytes and bounded; a bound that is met is named in ``limits``.
"""

import binascii
from dataclasses import dataclass, field
from functools import lru_cache

import pybase64

from scanners.charset import decode

MAX_WORDS = 10_000
"""Encoded words in one field: more than one of 64 KiB holds, so that the field's own bound is the one that is met and said."""
MAX_PARAMETERS = 100
"""Parameters of one Content-Type or Content-Disposition; real mail has fewer than ten."""
MAX_KNOWN = 120
"""Bytes of a field that is remembered: ``text/html; charset=utf-8`` is in every mail."""
MAX_PIECES = 64
"""RFC 2231 continuations in one field; names of 255 characters need fewer than ten."""

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
NOT_BASE64 = bytes(byte for byte in range(256) if byte not in ALPHABET)


@dataclass(frozen=True, slots=True)
class Parameters:
    """A structured field: its first value in lower case, and parameters by lower-case name in order of appearance.

    A name that stands twice keeps both values. ``limits`` names the bounds that were met; ``odd`` the ways in which clients may
    read the field differently.
    """

    value: str
    items: tuple[tuple[str, str], ...] = ()
    limits: tuple[str, ...] = ()
    odd: tuple[str, ...] = ()

    def every(self, name: str) -> list[str]:
        """All values of that parameter."""
        return [value for key, value in self.items if key == name]

    def first(self, name: str) -> str:
        """The first value of that parameter, or ``""``."""
        return next((value for key, value in self.items if key == name), "")


@dataclass(slots=True)
class _Pieces:
    """Continuations of one RFC 2231 parameter, by number."""

    raw: dict[int, tuple[bytes, bool]] = field(default_factory=dict)


def unfold(raw: bytes) -> bytes:
    """The value of a field on one line: line breaks go, the blanks after them stay (RFC 5322 2.2.3)."""
    if b"\n" in raw or b"\r" in raw:
        raw = raw.replace(b"\r", b"").replace(b"\n", b"")
    return raw.strip(b" \t")


def text_of(raw: bytes) -> str:
    """Readable text of an unstructured or address field; never raises."""
    value = unfold(raw)
    if b"=?" in value:
        return _words(value)
    return _plain(value)


def _plain(value: bytes) -> str:
    if not value.isascii():
        return decode(value).text
    if b"\x1b$" in value or b"~{" in value:  # ISO-2022 or HZ as it stands: clients that detect it show it
        found = decode(value)
        return f"{found.text} {found.other}" if found.other else found.text
    return value.decode("ascii")


def _words(value: bytes) -> str:
    """Decode encoded words; neighbours of one charset are joined as bytes first, since software splits inside characters."""
    pieces: list[str] = []
    pending: list[bytes] = []
    charset = ""
    position, count = 0, 0
    while count < MAX_WORDS:
        found = _next_word(value, position)
        if found is None:
            break
        start, end, label, content = found
        count += 1
        between = value[position:start]
        if pending and (label != charset or between.strip()):
            pieces.append(_finish(pending, charset))
            pending = []
            if between.strip():
                pieces.append(_plain(between))
        elif not pending:
            pieces.append(_plain(between))
        pending.append(content)
        charset, position = label, end
    if pending:
        pieces.append(_finish(pending, charset))
    pieces.append(_plain(value[position:]))
    return "".join(pieces)


def _finish(pending: list[bytes], charset: str) -> str:
    return decode(b"".join(pending), charset).text.replace("\r", " ").replace("\n", " ")


def _next_word(value: bytes, position: int) -> tuple[int, int, str, bytes] | None:
    """The next ``=?charset?B|Q?text?=`` from ``position``: start, end, charset, decoded bytes."""
    while True:
        start = value.find(b"=?", position)
        if start < 0:
            return None
        mark = value.find(b"?", start + 2)
        if mark < 0:
            return None
        label, kind = value[start + 2 : mark], value[mark + 1 : mark + 2].lower()
        if kind in (b"b", b"q") and value[mark + 2 : mark + 3] == b"?" and 0 < len(label) <= 60 and b" " not in label:
            end = value.find(b"?=", mark + 3)
            if kind == b"q" and end == mark + 3 and value[end + 2 : end + 4].isalnum():
                end = value.find(b"?=", end + 2)  # "?q?=E5...": the text itself begins with "="
            if end < 0:
                end = len(value)  # the end is missing: clients that show it decode what there is
            body = value[mark + 3 : end]
            content = _q(body) if kind == b"q" else lenient_base64(body)
            return start, min(end + 2, len(value)), label.partition(b"*")[0].decode("latin-1").lower(), content
        position = start + 2 if mark == start + 2 else mark


def _q(body: bytes) -> bytes:
    return binascii.a2b_qp(body.replace(b" ", b"=20"), header=True)


def lenient_base64(body: bytes) -> bytes:
    """Every byte the text could mean: junk is dropped, padding inside ends a group, missing padding is added; never raises."""
    clean = body.translate(None, NOT_BASE64)
    pieces = []
    for group in clean.split(b"="):
        if group:
            spare = len(group) % 4
            group = group[:-1] if spare == 1 else group
            pieces.append(pybase64.b64decode(group + b"=" * (-len(group) % 4)))
    return b"".join(pieces)


def parameters(raw: bytes) -> Parameters:
    """Read ``value; name=value; ...`` leniently: comments dropped, quotes optional, RFC 2231 joined, encoded words decoded.

    Short fields are remembered by their bytes, which are all that the answer depends on.
    """
    return _known_parameters(raw) if len(raw) <= MAX_KNOWN else _parameters(raw)


@lru_cache(maxsize=2048)
def _known_parameters(raw: bytes) -> Parameters:
    return _parameters(raw)


def _parameters(raw: bytes) -> Parameters:
    value = unfold(raw)
    odd: list[str] = []
    if b"(" in value:
        stripped = _without_comments(value)
        if _comment_matters(value, stripped):
            odd.append("comment")
        value = stripped
    head, _, rest = value.partition(b";")
    if b"=" in head:  # "text/plain charset=gbk": clients split it anyway
        head, _, lost = head.strip(b" \t").replace(b"\t", b" ").partition(b" ")
        if lost:
            odd.append("missing_semicolon")
            rest = lost + b";" + rest
    first = head.strip(b' \t"').lower().decode("latin-1")
    if not rest:
        return Parameters(first, odd=tuple(odd))
    limits: list[str] = []
    items: list[tuple[str, str]] = []
    pieces: dict[str, _Pieces] = {}
    held = 0
    for count, (name, content) in enumerate(_split(rest)):
        if count >= MAX_PARAMETERS:
            limits.append("parameters")
            break
        if "*" in name:
            held += 1
            if held > MAX_PIECES:
                limits.append("parameter_pieces")
                break
            _keep(pieces, name, content, odd)
        elif name:
            items.append((name, _readable(content)))
    items.extend((name, _joined(found, odd)) for name, found in pieces.items())
    return Parameters(first, tuple(items), tuple(limits), tuple(dict.fromkeys(odd)))


def _readable(content: bytes) -> str:
    return _words(content) if b"=?" in content else _plain(content)


def _split(rest: bytes) -> list[tuple[str, bytes]]:
    """``a=b; c="d;e"`` -> pairs. One pass; stops one past the bound so that the caller can say so."""
    pairs: list[tuple[str, bytes]] = []
    position, size = 0, len(rest)
    while position < size and len(pairs) <= MAX_PARAMETERS + MAX_PIECES:
        equals = rest.find(b"=", position)
        semicolon = rest.find(b";", position)
        if equals < 0:
            break
        if 0 <= semicolon < equals:
            position = semicolon + 1
            continue
        name = rest[position:equals].strip(b' \t"').lower().decode("latin-1")
        start = equals + 1
        while rest[start : start + 1] in (b" ", b"\t"):
            start += 1
        if rest[start : start + 1] == b'"':
            content, position = _quoted(rest, start + 1)
        else:
            end = rest.find(b";", start)
            end = size if end < 0 else end
            content, position = rest[start:end].strip(b" \t"), end
        following = rest.find(b";", position)
        pairs.append((name.rpartition(" ")[2] if " " in name else name, content))
        position = size if following < 0 else following + 1
    return pairs


def _quoted(rest: bytes, start: int) -> tuple[bytes, int]:
    """The quoted string from ``start`` (after its quote) and where it ends; without an end quote it goes to the end."""
    end = rest.find(b'"', start)
    if end < 0:
        return rest[start:], len(rest)
    content = rest[start:end]
    if b"\\" not in content:
        return content, end + 1
    out = bytearray()
    position = start
    while position < len(rest):
        stop = min((at for at in (rest.find(b'"', position), rest.find(b"\\", position)) if at >= 0), default=len(rest))
        out += rest[position:stop]
        if rest[stop : stop + 1] != b"\\":
            return bytes(out), stop + 1
        out += rest[stop + 1 : stop + 2]
        position = stop + 2
    return bytes(out), len(rest)


def _without_comments(value: bytes) -> bytes:
    """Drop ``(...)`` outside quotes, nested ones too (RFC 5322 3.2.2)."""
    out = bytearray()
    depth, quoted, skip = 0, False, False
    for byte in value:
        if skip:
            skip = False
        elif byte == 0x5C:
            skip = True
        elif byte == 0x22 and not depth:
            quoted = not quoted
        elif byte == 0x28 and not quoted:
            depth += 1
        if not depth:
            out.append(byte)
        elif byte == 0x29 and not quoted and not skip:
            depth -= 1
    return bytes(out) if not depth else value


def _comment_matters(value: bytes, stripped: bytes) -> bool:
    """Would a client that knows no comments see another type, boundary or name?"""
    if value.partition(b";")[0].strip() != stripped.partition(b";")[0].strip():
        return True
    held = [pair for pair in _split(value) if pair[0] in ("boundary", "name", "filename")]
    return held != [pair for pair in _split(stripped) if pair[0] in ("boundary", "name", "filename")]


def _keep(pieces: dict[str, _Pieces], name: str, content: bytes, odd: list[str]) -> None:
    """``name*``, ``name*0``, ``name*0*``: file under the bare name."""
    extended = name.endswith("*")
    base, _, number = name.rstrip("*").partition("*")
    index = int(number) if number.isascii() and number.isdigit() and len(number) < 6 else 0
    held = pieces.setdefault(base, _Pieces())
    if index in held.raw:
        odd.append("parameter_twice")
    held.raw.setdefault(index, (content, extended))


def _joined(found: _Pieces, odd: list[str]) -> str:
    """All pieces in number order; percent signs of extended pieces decoded, charset from the first."""
    charset, out = "", bytearray()
    order = sorted(found.raw)
    if order != list(range(len(order))):
        odd.append("parameter_gap")
    encoded = bytearray()  # neighbours are put together first: software cuts inside an escape
    for place, index in enumerate(order):
        content, extended = found.raw[index]
        if place == 0 and extended and content.count(b"'") >= 2:
            label, _, tail = content.partition(b"'")
            charset, content = label.decode("latin-1"), tail.partition(b"'")[2]
        if extended:
            encoded += content
        else:
            out += _percent(bytes(encoded)) + content
            encoded.clear()
    content = bytes(out) + _percent(bytes(encoded))
    if not charset and b"=?" in content:
        return _words(content)
    return decode(content, charset).text


def _percent(content: bytes) -> bytes:
    head, *rest = content.split(b"%")
    out = bytearray(head)
    for piece in rest:
        try:
            out += bytes.fromhex(piece[:2].decode("ascii")) + piece[2:] if len(piece) > 1 else b"%" + piece
        except ValueError:
            out += b"%" + piece
    return bytes(out)
