"""The keeper's verbs: one function each."""

import asyncio
import sqlite3
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec

from audit.event import MAX_LINE, Place, Secret
from audit.journal import MAX_FRAME_BODY, MAX_FRAME_ENTRIES, JournalFull
from audit.keytree import Erased
from audit.log import Entry
from audit.sealing import SlotError, derive, open_slot, subject_leaf, subject_of
from audit.tiles import TileError
from gateway.recording.intents import LineHead
from gateway.recording.keeper_connection import Connection
from gateway.recording.keeper_protocol import (
    MAX_ADDRESSES,
    MAX_FRAME,
    MAX_LINES,
    Append,
    Appended,
    Erase,
    EraseDone,
    Head,
    HeadRequest,
    Hello,
    LeaseRequest,
    Lines,
    Problem,
    ProtocolError,
    Read,
    Request,
    Retired,
    SubjectKeys,
    Subjects,
    Unseal,
    Unsealed,
    Welcome,
)
from gateway.recording.keeping import Job, Keeper, checked

RETENTIONS = frozenset({"smtp", "admin"})
"""Retention classes a worker may seal under."""
ADDRESSES = frozenset({"from", "to", "user"})
"""Slots that hold one address."""
KEYS_FAIL = (sqlite3.Error, OSError, OverflowError, Erased)
"""What may go wrong in the key store; nothing is half done then."""
BREATH = 4
"""Lines unsealed before others get their turn; about 2 ms."""


class SealedLine(msgspec.Struct):
    """What unsealing needs of a line."""

    id: str
    k: tuple[str, str, int] | None = None
    sealed: dict[str, list[str]] = {}


_sealed_line: "msgspec.json.Decoder[SealedLine]" = msgspec.json.Decoder(SealedLine)


def handle(connection: Connection, request: Request) -> None:
    """Answer one request, now or later. Raises ProtocolError for what no honest worker sends."""
    keeper = connection.keeper
    match request:
        case Append():
            append(connection, request)
        case Subjects():
            subjects(connection, request)
        case LeaseRequest():
            if request.retention not in RETENTIONS:
                raise ProtocolError(f"no retention class {request.retention!r}")
            lease(connection, request)
        case Hello():
            keeper.intents.claim(request.claims, connection.number)
            connection.send(Welcome(request.id, keeper.log.origin, keeper.node, keeper.room))
        case HeadRequest():
            log = keeper.log
            connection.send(Head(request.id, log.head, log.size, log.published, keeper.room))
        case Read():
            read(connection, request)
        case Retired():
            keeper.retired((request.retention, request.month, request.base))
        case Unseal():
            connection.spawn(unseal(connection, request))
        case Erase():
            connection.spawn(erase(connection, request))


def append(connection: Connection, request: Append) -> None:
    """Queue all good groups as one commit; a malformed group is refused alone."""
    entries: list[Entry] = []
    heads: list[LineHead] = []
    starts: list[int] = []
    size = 0
    for group in request.groups:
        good = [checked(item) for item in group]
        if not group or None in good:
            connection.keeper.logger.error("malformed event refused")
            starts.append(-1)
            continue
        starts.append(len(entries))
        for head, item in zip(good, group, strict=True):
            if head is not None:
                heads.append(head)
                entries.append(Entry(head.id, item))
                size += len(item) + 2
    if len(entries) > MAX_FRAME_ENTRIES or size > MAX_FRAME_BODY:
        raise ProtocolError("more events at once than one commit takes")
    finish = partial(_appended, connection, request.id, starts)
    if entries:
        connection.keeper.submit(Job(entries, heads, connection.number, size, finish))
    else:
        finish([])


def _appended(connection: Connection, request: int, starts: Sequence[int], indexes: list[int] | None) -> None:
    keeper = connection.keeper
    if indexes is None:
        connection.send(Appended(request, [-1] * len(starts), keeper.log.size, False, True))
        return
    firsts = [indexes[start] if start >= 0 else -1 for start in starts]
    connection.send(Appended(request, firsts, keeper.log.size, keeper.room))


def lease(connection: Connection, request: LeaseRequest) -> None:
    """A fresh range of message keys."""
    try:
        connection.send(connection.keeper.lease(connection.number, request.id, request.retention))
    except KEYS_FAIL as error:
        _keys_failed(connection, request.id, error)


def _keys_failed(connection: Connection, request: int, error: Exception) -> None:
    why = f"{type(error).__name__}: {error}"
    connection.keeper.logger.error("the log's keys cannot be written 密钥库无法写入", extra={"fields": {"why": why}})
    connection.send(Problem(request, "the log's keys cannot be written 密钥库无法写入"))


def subjects(connection: Connection, request: Subjects) -> None:
    """Keys of people in one month."""
    if len(request.addresses) > MAX_ADDRESSES:
        raise ProtocolError("too many addresses at once")
    try:
        keys = [connection.keeper.store.subject(request.month, address) for address in request.addresses]
    except KEYS_FAIL as error:
        _keys_failed(connection, request.id, error)
        return
    connection.send(SubjectKeys(request.id, [(key.key, key.leaf) for key in keys]))


def read(connection: Connection, request: Read) -> None:
    """Events as stored."""
    lines: list[bytes] = []
    size = 0
    try:
        for _, item in connection.keeper.log.entries(max(0, request.start)):
            size += len(item)
            if len(lines) == min(request.count, MAX_LINES) or size > MAX_FRAME - MAX_LINE:
                break
            lines.append(item)
    except TileError as error:
        connection.send(Problem(request.id, str(error)))
        return
    connection.send(Lines(request.id, lines))


async def unseal(connection: Connection, request: Unseal) -> None:
    """Open slots. The look-up itself is an event, durable before anything is shown."""
    keeper = connection.keeper
    if len(request.lines) > MAX_LINES:
        connection.send(Problem(request.id, f"at most {MAX_LINES} lines at once"))
        return
    grant = request.grant
    try:
        lines = [_sealed_line.decode(item) for item in request.lines]
        if not request.masked and (keeper.grants.get(grant) != connection.number or not grant):
            if not request.who or not request.purpose:
                raise ValueError("opening sealed fields needs a person and a purpose 查看密封字段须注明人员与目的")
            grant = await _viewed(keeper, request, [item.id for item in lines])
            keeper.grants[grant] = connection.number
        records = []
        for number, item in enumerate(lines):
            if number % BREATH == BREATH - 1:
                await asyncio.sleep(0)
            record = opened(keeper, request.origin, item, request.slots)
            if request.masked:
                record = {name: text and masked(name, text) for name, text in record.items()}
            records.append(record)
    except (ValueError, msgspec.MsgspecError, JournalFull, *KEYS_FAIL) as error:
        connection.send(Problem(request.id, str(error)))
        return
    connection.send(Unsealed(request.id, grant, records))


async def _viewed(keeper: Keeper, request: Unseal, ids: list[str]) -> str:
    sealed = {"purpose": Secret(request.purpose[:1000])}
    if request.query:
        sealed["query"] = Secret(request.query[:1000])
    public: dict[str, Any] = {"who": request.who, "role": request.role, "slots": request.slots, "seen": ids[:100]}
    event = keeper.event("audit.view_sealed", "ok", public, sealed)
    await keeper.record_own([event])
    return keeper.around.random(16).hex()


def opened(keeper: Keeper, origin: str, item: SealedLine, slots: Sequence[str]) -> dict[str, str | None]:
    """Text per slot, None where the key is gone. ``slots`` are names, ``to*`` for all that begin so, nothing for all."""
    names = [name for name in item.sealed if not slots or name in slots or _numbered(name, slots)]
    if item.k is None:
        return {}
    place = Place(*item.k)
    try:
        key = keeper.store.message_key(place)
    except Erased:
        return dict.fromkeys(names)
    result: dict[str, str | None] = {}
    for name in names:
        slot = item.sealed[name]
        try:
            leaf = subject_leaf(origin, item.id, name, slot, key)
            subject = None if leaf is None else keeper.store.subject_key(place.month, leaf)
            result[name] = open_slot(origin, item.id, name, slot, key, subject)[0]
        except (Erased, SlotError):
            result[name] = None
    return result


def masked(name: str, text: str) -> str:
    """What may be shown without a purpose: of an address the first letter and the domain; evidence, which is masked already."""
    if name == "excerpt":
        return text
    local, at, domain = text.rpartition("@")
    return f"{local[:1]}***@{domain}" if at and name.rstrip("0123456789") in ADDRESSES else "***"


def _numbered(name: str, slots: Sequence[str]) -> bool:
    return f"{name.rstrip('0123456789')}*" in slots


async def erase(connection: Connection, request: Erase) -> None:
    """Destroy keys, then say so in the log: by a token that names nobody."""
    keeper = connection.keeper
    if len(set(request.approvers)) < 2 or not request.basis or not request.requester:
        connection.send(
            Problem(
                request.id,
                "an erasure needs a legal basis, a requester and two approvers 删除须有依据、申请人与两名批准人",
            )
        )
        return
    try:
        if request.address:
            count = keeper.store.erase_subject(request.address)
            keeper.broadcast_forget()
            scope, name = "subject", subject_of(request.address)
        else:
            place = Place(request.retention, request.month, request.leaf)
            if not await keeper.retire(place):
                connection.send(Problem(request.id, "the lease over this message is in use; try again 请稍后重试"))
                return
            count = int(keeper.store.erase_message(place))
            scope, name = "message", f"{request.retention}/{request.month}/{request.leaf}"
        public: dict[str, Any] = {
            "scope": scope,
            "basis": request.basis,
            "approvers": request.approvers,
            "count": count,
            "month": "" if request.address else request.month,
            "leaf": None if request.address else [request.retention, request.month, request.leaf],
        }
        sealed = {"requester": Secret(request.requester)}
        # The token is keyed by randomness that is forgotten at once: two erasures of one person can't be told to be so.
        public["token"] = _token(keeper, name)
        index = await keeper.record_own([keeper.event("privacy.erase", "ok", public, sealed)])
    except (JournalFull, *KEYS_FAIL) as error:
        _keys_failed(connection, request.id, error)
        return
    connection.send(EraseDone(request.id, count, index))


def _token(keeper: Keeper, name: str) -> str:
    return derive(keeper.around.random(32), name.encode("utf-8", "backslashreplace")).hex()[:32]
