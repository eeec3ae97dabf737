"""What workers and the keeper say to each other: length-prefixed msgpack, pipelined, answered by request id.

A frame is a big-endian uint32 length and one message. Frames above MAX_FRAME end the connection.
"""

import struct
from collections.abc import Iterator

import msgspec

MAX_FRAME = 8 * 1024 * 1024
"""Bytes: the largest batch a commit takes (4 MiB) and as much again."""
MAX_ADDRESSES = 1000
"""Subjects asked for at once: ten times the recipients of one message."""
MAX_LINES = 256
"""Lines read, or unsealed, at once."""
_LENGTH = struct.Struct(">I")


class Base(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Anything on the wire."""


class Hello(Base, frozen=True, tag=1):
    """First word of a connection: who it is, and which decided messages it still carries (it may have been connected before)."""

    id: int
    worker: str
    claims: list[str] = []


class Welcome(Base, frozen=True, tag=2):
    """Whose log this is."""

    id: int
    origin: str
    node: str
    room: bool


class LeaseRequest(Base, frozen=True, tag=3):
    """A fresh range of message keys, please."""

    id: int
    retention: str


class Lease(Base, frozen=True, tag=4):
    """2^bits leaves from ``base`` on, below ``secret``; use none of them later than ``valid_s`` seconds from now."""

    id: int
    retention: str
    month: str
    base: int
    bits: int
    secret: bytes
    valid_s: float


class Subjects(Base, frozen=True, tag=5):
    """Keys of these people, please."""

    id: int
    month: str
    addresses: list[str]


class SubjectKeys(Base, frozen=True, tag=6):
    """Key and leaf per address, in order."""

    id: int
    keys: list[tuple[bytes, int]]


class Append(Base, frozen=True, tag=7):
    """Groups of lines; each group becomes durable in one frame."""

    id: int
    groups: list[list[bytes]]


class Appended(Base, frozen=True, tag=8):
    """Durable. Per group the index of its first event, or -1: it was refused as malformed. ``full``: nothing was written."""

    id: int
    firsts: list[int]
    size: int
    room: bool
    full: bool = False


class Unseal(Base, frozen=True, tag=9):
    """Open slots of these lines. The first request of a look-up records ``audit.view_sealed`` and gives a grant for the next ones.

    With ``masked`` the keeper hands out masked text only (``z***@corp.test``), and nothing is recorded.
    """

    id: int
    grant: str
    purpose: str
    role: str
    who: str
    query: str
    origin: str
    lines: list[bytes]
    slots: list[str]
    masked: bool = False


class Unsealed(Base, frozen=True, tag=10):
    """Per line, slot and text; None for a text that was erased."""

    id: int
    grant: str
    records: list[dict[str, str | None]]


class HeadRequest(Base, frozen=True, tag=11):
    """How far is the log?"""

    id: int


class Head(Base, frozen=True, tag=12):
    """The signed checkpoint over all durable events, and how many of them are published."""

    id: int
    note: bytes
    size: int
    published: int
    room: bool


class Read(Base, frozen=True, tag=13):
    """Lines from ``start`` on."""

    id: int
    start: int
    count: int


class Lines(Base, frozen=True, tag=14):
    """Events as stored."""

    id: int
    lines: list[bytes]


class Erase(Base, frozen=True, tag=15):
    """Destroy the keys of one message (``retention``, ``month``, ``leaf``) or of one person (``address``)."""

    id: int
    address: str
    retention: str
    month: str
    leaf: int
    basis: str
    requester: str
    approvers: list[str]


class EraseDone(Base, frozen=True, tag=16):
    """``count`` keys are gone, and event ``index`` says so."""

    id: int
    count: int
    index: int


class Problem(Base, frozen=True, tag=17):
    """A request that was not done, and why."""

    id: int
    text: str


class Retire(Base, frozen=True, tag=18):
    """Keeper to worker: drop this lease, and say so."""

    retention: str
    month: str
    base: int


class Retired(Base, frozen=True, tag=19):
    """Worker to keeper: that lease is forgotten here."""

    retention: str
    month: str
    base: int


class Forget(Base, frozen=True, tag=20):
    """Keeper to worker: someone was erased, drop cached subject keys."""


class Room(Base, frozen=True, tag=21):
    """Keeper to worker: whether the log's disk is above its reserve has changed."""

    room: bool


Request = Hello | LeaseRequest | Subjects | Append | Unseal | HeadRequest | Read | Erase | Retired
Push = Retire | Forget | Room
"""What the keeper says without being asked."""
Answer = Welcome | Lease | SubjectKeys | Appended | Unsealed | Head | Lines | EraseDone | Problem | Push

_encoder = msgspec.msgpack.Encoder()
_request: "msgspec.msgpack.Decoder[Request]" = msgspec.msgpack.Decoder(Request)
_answer: "msgspec.msgpack.Decoder[Answer]" = msgspec.msgpack.Decoder(Answer)


class ProtocolError(Exception):
    """The other side does not speak this protocol."""


def encode(message: Base) -> bytes:
    """One frame. Raises ProtocolError above MAX_FRAME."""
    buffer = bytearray(4)
    _encoder.encode_into(message, buffer, 4)
    if len(buffer) - 4 > MAX_FRAME:
        raise ProtocolError(f"a frame of {len(buffer)} bytes, at most {MAX_FRAME}")
    _LENGTH.pack_into(buffer, 0, len(buffer) - 4)
    return bytes(buffer)


def decode_request(frame: bytes) -> Request:
    """Raises ProtocolError."""
    try:
        return _request.decode(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ProtocolError(str(error)) from error


def decode_answer(frame: bytes) -> Answer:
    """Raises ProtocolError."""
    try:
        return _answer.decode(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ProtocolError(str(error)) from error


class Frames:
    """Cuts a byte stream into frames."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The frames complete with ``data``. Raises ProtocolError for one that is too long."""
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        while end - at >= 4:
            length = _LENGTH.unpack_from(data, at)[0]
            if length > MAX_FRAME:
                raise ProtocolError(f"a frame of {length} bytes, at most {MAX_FRAME}")
            if end - at - 4 < length:
                break
            yield data[at + 4 : at + 4 + length]
            at += 4 + length
        self._rest = data[at:]
