"""Where a node's own store lies."""

from pathlib import Path

from gateway.store.database import SqlStore, sqlite_engine
from gateway.store.sealing import load_key


async def open_in(state: Path) -> SqlStore:
    """The store of a state folder. Raises StoreUnavailable."""
    return await SqlStore.open(sqlite_engine(state / "state.db"), load_key(state / "keys" / "store.key"))
