"""Where a gateway's own store lies: SQLite in its state folder, or PostgreSQL where the configuration names one."""

import os
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import Engine, make_url
from sqlalchemy.exc import ArgumentError

from gateway.config import Config
from gateway.custody.delivery import TERMINAL
from gateway.store import whereabouts
from gateway.store.database import SqlStore, postgresql_engine, sqlite_engine
from gateway.store.errors import StoreUnavailable
from gateway.store.sealing import load_key
from gateway.store.whereabouts import LeftBehind, Note

DRIVER = "postgresql+psycopg"
MAX_PASSWORD_FILE = 1024
ENCRYPTED = frozenset({"require", "verify-ca", "verify-full"})
"""Values of ``sslmode`` that never fall back to a connection in the clear."""
_HERE = ("", "localhost", "127.0.0.1", "[::1]", "::1")


async def open_store(config: Config) -> SqlStore:
    """The store that the configuration names. Raises StoreUnavailable with what to do, LeftBehind if deliveries are in another."""
    state = config.gateway.state_dir
    former = whereabouts.noted(state)
    _must_be_there(config, former)
    store = await open_named(config)
    try:
        if former is not None and former.id != await store.identity():
            say = whereabouts.made_anew if former.url == config.store.url else whereabouts.not_yet
            raise LeftBehind(say(former, state))
    except StoreUnavailable:
        await store.close()
        raise
    return store


async def open_named(config: Config) -> SqlStore:
    """The same, whatever the state folder says."""
    state = config.gateway.state_dir
    key = load_key(state / "keys" / "store.key")
    return await SqlStore.open(engine(config) if config.store.url else sqlite_engine(state / "state.db"), key)


def engine(config: Config) -> Engine:
    """PostgreSQL. The password comes from its file and goes to the driver alone: it stands in no URL that could be printed."""
    extra: Mapping[str, str] = {}
    if config.store.password_file is not None:
        extra = {"password": read_password(config.store.password_file)}
    try:
        url = make_url(config.store.url).set(drivername=DRIVER)
        if _away(config.store.url) and "sslmode" not in url.query:
            url = url.update_query_dict({"sslmode": "require"})  # the driver's own default would go on in the clear
        return postgresql_engine(url, extra)
    except ModuleNotFoundError as error:
        raise StoreUnavailable(
            'PostgreSQL 驱动未安装 / PostgreSQL needs its driver: pip install "sealgate[postgresql]"'
        ) from error
    except ArgumentError as error:
        raise StoreUnavailable(
            "[store] url 无法解析 / [store] url cannot be read: postgresql://USER@HOST/DATABASE"
        ) from error


def read_password(path: Path) -> str:
    """The first line of the file. Raises StoreUnavailable with what to do."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(MAX_PASSWORD_FILE).decode("utf-8", "strict")
    except (OSError, UnicodeDecodeError) as error:
        raise StoreUnavailable(
            f"{path}: 无法读取数据库口令 / the password file cannot be read ({type(error).__name__})"
        ) from error
    if mode & 0o077:
        raise StoreUnavailable(f"{path} 权限过宽，请执行 chmod 600 / is open to others: chmod 600 {path}")
    password = text.partition("\n")[0].rstrip("\r")
    if not password:
        raise StoreUnavailable(f"{path}: 口令为空 / the password file is empty")
    return password


def in_the_clear(config: Config) -> bool:
    """Whether the operator asked for a connection to another machine that need not be encrypted; left open, it must be."""
    mode = parse_qs(urlsplit(config.store.url).query).get("sslmode", ["require"])[0]
    return _away(config.store.url) and mode not in ENCRYPTED


def _away(url: str) -> bool:
    """Whether the connection leaves this machine."""
    split = urlsplit(url)
    host = parse_qs(split.query).get("host", [split.hostname or ""])[0]
    return host not in _HERE and not host.startswith("/")


async def settle(config: Config) -> None:
    """Before a start: see that nothing is left behind, then note which store is in use. Raises StoreUnavailable, LeftBehind.

    Only who has the state folder's lock may call it.
    """
    whereabouts.note(config.gateway.state_dir, config.store, await compare(config))


async def compare(config: Config) -> str:
    """The identity of the configured store. Raises LeftBehind if mail waits, or may wait, in the one before it; StoreUnavailable."""
    state = config.gateway.state_dir
    former = whereabouts.noted(state)
    if former is None and config.store.url and (state / "state.db").exists():
        former = Note("")  # a folder older than the note
    elsewhere = former is not None and former.url != config.store.url
    left = await _left(config, former) if former is not None and elsewhere else ""
    _must_be_there(config, former)
    try:
        store = await open_named(config)
    except StoreUnavailable as error:
        if left:
            raise LeftBehind(left) from error
        raise
    try:
        identity = await store.identity()
    finally:
        await store.close()
    if former is not None and former.id != identity:
        left = left if elsewhere else whereabouts.made_anew(former, state)
        if left:
            raise LeftBehind(left)
    return identity


async def _left(config: Config, former: Note) -> str:
    """What is, or may be, left behind in the former store, in words; empty if nothing is."""
    state = config.gateway.state_dir
    if not former.url and not (state / "state.db").exists():
        return whereabouts.made_anew(former, state)
    try:
        store = await open_named(replace(config, store=former.store()))
    except StoreUnavailable as error:
        return whereabouts.not_answering(former, state, str(error))
    try:
        if former.id and former.id != await store.identity():
            return whereabouts.made_anew(former, state)
        counts = await store.counts()
    finally:
        await store.close()
    waiting = sum(count for each, count in counts.items() if each not in TERMINAL)
    return whereabouts.waiting_elsewhere(former, state, waiting) if waiting else ""


def _must_be_there(config: Config, former: Note | None) -> None:
    """A SQLite file that has gone is not made anew in passing: what a backup brings back must find its place empty."""
    state = config.gateway.state_dir
    if former is not None and not (former.url or config.store.url) and not (state / "state.db").exists():
        raise LeftBehind(whereabouts.made_anew(former, state))
