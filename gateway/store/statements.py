"""The statements that every delivery runs through, built once: building one costs several times what running it does."""

from typing import Any

from sqlalchemy import BindParameter, bindparam, delete, insert, select, update
from sqlalchemy.sql import Select

from gateway.custody.delivery import TERMINAL, State
from gateway.store.tables import ADDRESS, DELIVERY, MESSAGE

IDS: BindParameter[Any] = bindparam("ids", expanding=True)
NOW: BindParameter[Any] = bindparam("now_ms")

INSERT_MESSAGE = insert(MESSAGE)
INSERT_DELIVERY = insert(DELIVERY)
INSERT_ADDRESS = insert(ADDRESS)
MESSAGE_THERE = select(MESSAGE.c.id).where(MESSAGE.c.id == bindparam("message"))
WRAPPED = select(MESSAGE.c.wrapped).where(MESSAGE.c.id == bindparam("message"))
SEALED = select(MESSAGE.c.sealed).where(MESSAGE.c.id == bindparam("message"))
KEYS = select(MESSAGE.c.id, MESSAGE.c.wrapped).where(MESSAGE.c.id.in_(IDS) & MESSAGE.c.wrapped.is_not(None))
CHANGING = ("state", "version", "due_ms", "rank_ms", "rule", "unfinished", "sealed")
"""Columns that a swap writes. The others never change: naming them would make SQLite write their indexes anew each time."""
SWAP = (
    update(DELIVERY)
    .where((DELIVERY.c.id == bindparam("old_id")) & (DELIVERY.c.version == bindparam("old_version")))
    .values({name: bindparam(name) for name in CHANGING})
)
LOCK = select(DELIVERY.c.id).where(DELIVERY.c.id.in_(IDS)).order_by(DELIVERY.c.id).with_for_update()
"""For many swaps at once. SQLite has its one writer's lock by then, and ignores FOR UPDATE."""
FORGET_ADDRESSES_OF = delete(ADDRESS).where(ADDRESS.c.delivery_id == bindparam("delivery"))
ROWS: "Select[Any]" = select(
    DELIVERY.c.id,
    DELIVERY.c.message_id,
    DELIVERY.c.state,
    DELIVERY.c.version,
    DELIVERY.c.rank_ms,
    DELIVERY.c.sealed,
    MESSAGE.c.wrapped,
).join(MESSAGE, MESSAGE.c.id == DELIVERY.c.message_id)
IN_STATE = DELIVERY.c.state == bindparam("state")
"""One state at a time: an index then gives the rows in order, and a limit ends the reading. Of several states at once (``IN``) SQLite
reads and sorts every row, be it one page of a hundred thousand."""
DUE = (
    ROWS.where(
        IN_STATE
        & (DELIVERY.c.rank_ms <= bindparam("rank_ms"))
        & (DELIVERY.c.due_ms <= NOW)
        & (DELIVERY.c.unfinished == 0)
        & DELIVERY.c.next_hop.not_in(bindparam("but_hops", expanding=True))
    )
    .order_by(DELIVERY.c.rank_ms, DELIVERY.c.id)
    .limit(bindparam("at_most"))
)
NEXT_DUE = select(DELIVERY.c.due_ms).where(IN_STATE & (DELIVERY.c.unfinished == 0)).order_by(DELIVERY.c.due_ms).limit(1)
ROW = ROWS.where(DELIVERY.c.id == bindparam("delivery"))

_MINE = DELIVERY.c.message_id.in_(IDS)
WANTED = DELIVERY.c.state.not_in(sorted(TERMINAL)) | (DELIVERY.c.due_ms > NOW)
"""Not finished, or finished and still to be kept for a while."""
ENDED = select(DELIVERY.c.message_id).where(DELIVERY.c.state.in_(sorted(TERMINAL)) & (DELIVERY.c.due_ms <= NOW))
"""Of messages of which at least this delivery is finished and past its time."""
STILL_WANTED = select(DELIVERY.c.message_id).where(_MINE & WANTED).distinct()
TOLD_OF = select(DELIVERY.c.message_id).where(_MINE & (DELIVERY.c.state != State.SWEPT.value)).distinct()
DELETE_ADDRESSES = delete(ADDRESS).where(ADDRESS.c.delivery_id.in_(select(DELIVERY.c.id).where(_MINE)))
DELETE_DELIVERIES = delete(DELIVERY).where(_MINE)
BLOBS = select(MESSAGE.c.blob).where(MESSAGE.c.id.in_(IDS) & MESSAGE.c.wrapped.is_not(None))
PURGE = delete(MESSAGE).where(
    MESSAGE.c.id.in_(
        select(MESSAGE.c.id)
        .where(MESSAGE.c.wrapped.is_(None) & (MESSAGE.c.created_ms < bindparam("before_ms")))
        .limit(bindparam("at_most"))
    )
)
"""Only what was destroyed: a message that is kept has its key, however old it is."""
DELETE_MESSAGES = delete(MESSAGE).where(MESSAGE.c.id.in_(IDS))
DESTROY_KEYS = update(MESSAGE).where(MESSAGE.c.id.in_(IDS)).values(wrapped=None, sealed=None)
