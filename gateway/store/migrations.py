"""Schema versions, oldest first. Each is a list of statements; a database is brought forward inside one transaction, never back."""

from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from gateway.store.errors import StoreUnavailable
from gateway.store.tables import META, METADATA

VERSION = 3
LOCK = 7_301_942
"""Number of the advisory lock that processes which start together take in turn."""
STEPS: dict[int, tuple[str, ...]] = {
    2: ("CREATE INDEX IF NOT EXISTS message_by_created ON message (created_ms)",),
    3: (
        "CREATE INDEX IF NOT EXISTS delivery_by_rank ON delivery (state, rank_ms, id)",
        "CREATE INDEX IF NOT EXISTS delivery_by_rule ON delivery (rule, state, id)",
    ),
}
"""``n``: what leads from version n-1 to n. A new database is made by METADATA, which is always the newest version."""

IDENTITY = {
    "sqlite": "INSERT INTO meta (name, value) VALUES ('id', lower(hex(randomblob(16))))",
    "postgresql": "INSERT INTO meta (name, value) VALUES ('id', md5(random()::text || clock_timestamp()::text))",
}
"""A name that only this database has, made by itself."""


def migrate(connection: Connection, key_check: str) -> None:
    """Create or bring forward. Raises StoreUnavailable for a newer schema, or a key that is not this database's.

    The caller's transaction is the writer's lock: of two processes that start together the second finds the work done.
    """
    if connection.dialect.name == "postgresql":  # SQLite has its writer's lock by BEGIN IMMEDIATE
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
    METADATA.create_all(connection)
    known = {row.name: row.value for row in connection.execute(select(META))}
    if "id" not in known:
        connection.exec_driver_sql(IDENTITY[connection.dialect.name])
    if "schema" not in known:
        connection.execute(
            META.insert(), [{"name": "schema", "value": str(VERSION)}, {"name": "key", "value": key_check}]
        )
        return
    if known.get("key") != key_check:
        raise StoreUnavailable(
            "keys/store.key 不是此数据库的密钥，请从备份恢复 / keys/store.key is not this database's key: restore it from backup"
        )
    version = int(known["schema"])
    if version > VERSION:
        raise StoreUnavailable(
            f"数据库版本 {version} 更新，请升级程序 / state.db is of version {version}: run a newer Sealgate"
        )
    for step in range(version + 1, VERSION + 1):
        for statement in STEPS[step]:
            try:
                connection.exec_driver_sql(statement)
            except DBAPIError as error:
                raise StoreUnavailable(f"数据库升级失败 / migration {step} failed: {error.orig}") from error
    connection.execute(META.update().where(META.c.name == "schema").values(value=str(VERSION)))
