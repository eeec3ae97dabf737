"""The tables. Columns in clear are what the queue must sort and filter by; whatever names a person is sealed or a blind token."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table
from sqlalchemy.types import TypeEngine

METADATA = MetaData()


def _id(length: int) -> "TypeEngine[str]":
    """An id, sorted by its bytes everywhere: PostgreSQL's own order would depend on the server's language."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


META = Table(
    "meta", METADATA, Column("name", String(40), primary_key=True), Column("value", String(200), nullable=False)
)

MESSAGE = Table(
    "message",
    METADATA,
    Column("id", _id(64), primary_key=True),
    Column("wrapped", LargeBinary),  # NULL: destroyed; the row stays so that the same id is not taken twice
    Column("sealed", LargeBinary),  # Held: envelope and summary
    Column("blob", String(80), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Index("message_by_created", "created_ms"),
)

DELIVERY = Table(
    "delivery",
    METADATA,
    Column("id", _id(96), primary_key=True),
    Column("message_id", _id(64), nullable=False),
    Column("state", String(20), nullable=False),
    Column("version", Integer, nullable=False),
    Column("due_ms", BigInteger, nullable=False),
    Column("rank_ms", BigInteger, nullable=False),  # due, later for large mail: the order of sending
    Column("next_hop", String(300), nullable=False),
    Column("rule", String(100), nullable=False),  # of the strictest reason
    Column("unfinished", Integer, nullable=False),  # 1: pending, being sent, or with an intent
    Column("sealed", LargeBinary, nullable=False),  # the Delivery
    Index("delivery_by_state", "state", "id"),
    Index("delivery_by_due", "state", "due_ms"),
    Index("delivery_by_rank", "state", "rank_ms", "id"),
    Index("delivery_by_rule", "rule", "state", "id"),
    Index("delivery_by_message", "message_id"),
    Index("delivery_unfinished", "unfinished", "id"),
)

ADDRESS = Table(
    "address",
    METADATA,
    Column("token", LargeBinary(16), primary_key=True),
    Column("delivery_id", _id(96), primary_key=True),
    Index("address_by_delivery", "delivery_id"),
)

OPERATOR = Table(
    "operator",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("last_step", BigInteger, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("locked_ms", BigInteger),
)
