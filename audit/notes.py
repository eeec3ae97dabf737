"""Signed notes and checkpoints (C2SP signed-note, tlog-checkpoint), with Ed25519 verification in the standard library alone."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256, sha512

ED25519 = 1
"""Algorithm byte of a plain Ed25519 signature."""
MAX_NOTE = 64 * 1024
"""Bytes: a checkpoint with dozens of cosignatures is a few KiB."""
MAX_SIGNATURES = 100
"""Lines looked at."""


class NoteError(ValueError):
    """Not a note, or not signed by whom it should be."""


@dataclass(frozen=True, slots=True)
class Verifier:
    """A vkey: who signs, and the Ed25519 public key."""

    name: str
    key: bytes

    @property
    def id(self) -> bytes:
        """The four bytes in front of each signature."""
        return key_id(self.name, self.key)

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(bytes([ED25519]) + self.key).decode()}"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's head: origin, number of entries, root hash."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The note's text."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def key_id(name: str, key: bytes, algorithm: int = ED25519) -> bytes:
    """SHA-256(name || 0A || algorithm || key)[:4]."""
    return sha256(name.encode() + b"\n" + bytes([algorithm]) + key).digest()[:4]


def parse_vkey(text: str) -> Verifier:
    """``name+hex(id)+base64(01 || key)``. Raises NoteError."""
    try:
        name, identifier, encoded = text.strip().split("+", 2)
        raw = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error) as error:
        raise NoteError("not a verifier key (name+id+key)") from error
    _check_name(name)
    if len(raw) != 33 or raw[0] != ED25519:
        raise NoteError("not an Ed25519 verifier key")
    verifier = Verifier(name, raw[1:])
    if verifier.id.hex() != identifier:
        raise NoteError("the verifier key's id does not match its key")
    return verifier


def _check_name(name: str) -> None:
    if not name or "+" in name or any(character.isspace() for character in name):
        raise NoteError("a key name is not empty and has neither blanks nor +")


def sign_note(text: str, verifier: Verifier, signature: bytes) -> bytes:
    """The note: text, blank line, one signature line for a signature already made over ``text``."""
    return f"{text}\n— {verifier.name} {base64.b64encode(verifier.id + signature).decode()}\n".encode()


def open_note(data: bytes, verifier: Verifier) -> str:
    """The text of a note signed by ``verifier``; unknown signatures are passed over, as the format demands. Raises NoteError."""
    if len(data) > MAX_NOTE:
        raise NoteError("the note is too long")
    try:
        note = data.decode()
    except UnicodeDecodeError as error:
        raise NoteError("the note is not UTF-8") from error
    cut = note.rfind("\n\n")
    if cut < 0 or not note.endswith("\n"):
        raise NoteError("the note has no signatures")
    text = note[: cut + 1]
    for name, identifier, signature in _signatures(note[cut + 2 :]):
        if name == verifier.name and identifier == verifier.id:
            if not verify_ed25519(verifier.key, text.encode(), signature):
                raise NoteError(f"the signature of {name} is wrong")
            return text
    raise NoteError(f"the note is not signed by {verifier.name}")


def _signatures(block: str) -> list[tuple[str, bytes, bytes]]:
    lines = block.split("\n")[:-1]
    if not lines or len(lines) > MAX_SIGNATURES:
        raise NoteError("no signatures, or too many")
    found = []
    for item in lines:
        fields = item.split(" ")
        if len(fields) != 3 or fields[0] != "—":
            raise NoteError("malformed signature line")
        try:
            raw = base64.b64decode(fields[2], validate=True)
        except binascii.Error as error:
            raise NoteError("malformed signature line") from error
        if len(raw) < 5:
            raise NoteError("malformed signature line")
        found.append((fields[1], raw[:4], raw[4:]))
    return found


def parse_checkpoint(text: str) -> Checkpoint:
    """The three lines of a checkpoint; extension lines are allowed and ignored. Raises NoteError."""
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] != "" or not lines[0]:
        raise NoteError("a checkpoint has origin, size and root")
    digits = lines[1]
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 20 or (len(digits) > 1 and digits[0] == "0"):
        raise NoteError("the checkpoint's size is not a number")
    try:
        root = base64.b64decode(lines[2], validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError("the checkpoint's root is not base64") from error
    if len(root) != 32:
        raise NoteError("the checkpoint's root is not a SHA-256 hash")
    return Checkpoint(lines[0], int(digits), root)


def open_checkpoint(data: bytes, verifier: Verifier, origin: str) -> Checkpoint:
    """A signed checkpoint of that log. Raises NoteError."""
    checkpoint = parse_checkpoint(open_note(data, verifier))
    if checkpoint.origin != origin:
        raise NoteError(f"the checkpoint is of {checkpoint.origin}, not of {origin}")
    return checkpoint


# Ed25519 (RFC 8032 5.1.7), verification only: a few ms each, and no package needed to check an export.
_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)
_Point = tuple[int, int, int, int]


def _add(one: _Point, two: _Point) -> _Point:
    a = (one[1] - one[0]) * (two[1] - two[0]) % _P
    b = (one[1] + one[0]) * (two[1] + two[0]) % _P
    c = 2 * one[3] * two[3] * _D % _P
    d = 2 * one[2] * two[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _multiply(scalar: int, point: _Point) -> _Point:
    result: _Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point = _add(point, point)
        scalar >>= 1
    return result


def _decompress(data: bytes) -> _Point | None:
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return x, y, 1, x * y % _P


def _base() -> _Point:
    point = _decompress((4 * pow(5, -1, _P) % _P).to_bytes(32, "little"))
    if point is None:
        raise AssertionError("the base point is a point")
    return point


def verify_ed25519(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether ``signature`` (64 bytes) is the one of ``message`` under the public ``key`` (32 bytes)."""
    if len(key) != 32 or len(signature) != 64:
        return False
    public, nonce = _decompress(key), _decompress(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if public is None or nonce is None or scalar >= _L:
        return False
    challenge = int.from_bytes(sha512(signature[:32] + key + message).digest(), "little") % _L
    left, right = _multiply(scalar, _base()), _add(nonce, _multiply(challenge, public))
    return (left[0] * right[2] - right[0] * left[2]) % _P == 0 and (left[1] * right[2] - right[1] * left[2]) % _P == 0


def bundle_entries(data: bytes) -> Sequence[bytes]:
    """The entries of an entry bundle: big-endian uint16 length and bytes each. Raises NoteError where it does not add up."""
    entries: list[bytes] = []
    at, end = 0, len(data)
    while at < end:
        if at + 2 > end:
            raise NoteError(f"entry {len(entries)}: cut short")
        length = data[at] << 8 | data[at + 1]
        if length == 0 or at + 2 + length > end:
            raise NoteError(f"entry {len(entries)}: its length does not fit")
        entries.append(data[at + 2 : at + 2 + length])
        at += 2 + length
    return entries
