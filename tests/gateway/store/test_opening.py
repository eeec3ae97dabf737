"""Which database a configuration means, and that its password stands nowhere but in its file."""

import asyncio
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gateway import config as configuration
from gateway.checkup import running
from gateway.checkup.check import Health
from gateway.config import Config, ConfigError, Store
from gateway.custody.delivery import Delivery, State
from gateway.store import opening, whereabouts
from gateway.store.errors import StoreUnavailable
from gateway.store.protocol import Change, Held
from gateway.store.sealing import StoreKey
from gateway.store.whereabouts import LeftBehind
from tests.fakes import postgresql
from tests.gateway.samples import decision, delivery, envelope, reason

SETTINGS = """[gateway]
hostname = "gw.test"
local_domains = ["corp.test"]
"""
SECRET = "planted-password"


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "sealgate.toml"
    path.write_text(SETTINGS)
    return path


def with_store(settings: Path, lines: str) -> Config:
    settings.write_text(f"{SETTINGS}\n[store]\n{lines}\n")
    return configuration.load(settings)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (f'url = "postgresql://sealgate:{SECRET}@db.test/mail"', "password_file"),
        (f'url = "postgresql://sealgate@db.test/mail?password={SECRET}"', "password_file"),
        ('url = "mysql://db.test/mail"', "postgresql://USER@HOST/DATABASE"),
        ('url = "postgresql://db.test"', "postgresql://USER@HOST/DATABASE"),
        ('url = "postgresql://[db.test/mail"', "postgresql://USER@HOST/DATABASE"),
        ('password_file = "pg.password"', "without store.url"),
        ('ur = "x"', "Did you mean 是否想写 url?"),
    ],
)
def test_a_wrong_setting_says_what_to_write_and_repeats_no_password(settings: Path, lines: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        with_store(settings, lines)
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (b"", 0o600, "empty"),
        (b"x", 0o644, "chmod 600"),
        (b"\xff", 0o600, "cannot be read"),
        (None, 0, "cannot be read"),
    ],
)
def test_a_password_file_that_is_no_good_is_said(tmp_path: Path, content: bytes | None, mode: int, said: str) -> None:
    path = tmp_path / "pg.password"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    with pytest.raises(StoreUnavailable, match=said):
        opening.read_password(path)


def test_the_password_goes_to_the_driver_and_stands_in_nothing_that_is_printed(settings: Path, tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="psycopg missing: pip install psycopg[binary]")
    (tmp_path / "pg.password").write_text(SECRET + "\n")
    (tmp_path / "pg.password").chmod(0o600)
    config = with_store(settings, 'url = "postgresql://sealgate@127.0.0.1:1/mail"\npassword_file = "pg.password"')
    made = opening.engine(config)
    assert SECRET not in repr(made) + str(made.url) + repr(config) + configuration.snapshot(config).decode()
    _, arguments = made.dialect.create_connect_args(made.url)
    assert "password" not in arguments


async def test_a_database_that_does_not_answer_is_said_without_its_password(settings: Path, tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="psycopg missing: pip install psycopg[binary]")
    (tmp_path / "pg.password").write_text(SECRET)
    (tmp_path / "pg.password").chmod(0o600)
    config = with_store(settings, 'url = "postgresql://sealgate@127.0.0.1:1/mail"\npassword_file = "pg.password"')
    with pytest.raises(StoreUnavailable) as caught:
        await opening.open_store(config)
    assert SECRET not in str(caught.value)
    check = await running.check_store(config)
    assert (check.health, SECRET in check.en) == (Health.WRONG, False)


@pytest.mark.parametrize(
    ("url", "clear", "mode"),
    [
        ("postgresql://u@db.test/m", False, "require"),
        ("postgresql://u@db.test/m?sslmode=prefer", True, "prefer"),
        ("postgresql://u@db.test/m?sslmode=verify-full", False, "verify-full"),
        ("postgresql://u@localhost/m", False, None),
        ("postgresql:///m?host=/run/postgresql", False, None),
        ("postgresql:///m?host=db.test", False, "require"),
        ("postgresql:///m?host=db.test&sslmode=disable", True, "disable"),
    ],
)
def test_a_connection_to_elsewhere_is_encrypted_unless_asked_otherwise(
    settings: Path, url: str, clear: bool, mode: str | None
) -> None:
    pytest.importorskip("psycopg", reason="psycopg missing: pip install psycopg[binary]")
    config = replace(configuration.load(settings), store=Store(url))
    assert opening.in_the_clear(config) is clear
    assert opening.engine(config).url.query.get("sslmode") == mode


async def with_waiting_mail(config: Config) -> None:
    """One delivery waits in the store that ``config`` names, and the state folder has noted that store."""
    await opening.settle(config)
    store = await opening.open_store(config)
    _, wrapped = store.new_box(envelope().id)
    await store.insert(Held(envelope(), "blob", 1), (delivery(decision(reason())),), wrapped)
    await store.close()


async def emptied(config: Config) -> None:
    """As if everybody had answered."""
    store = await opening.open_named(config)
    await store.save([Change(delivery(decision(reason())), (answered(delivery(decision(reason()))),))])
    await store.close()


def answered(waiting: Delivery) -> Delivery:
    return replace(waiting, state=State.REJECTED, version=waiting.version + 1)


async def test_mail_that_waits_in_sqlite_is_not_left_behind(settings: Path, tmp_path: Path) -> None:
    config = configuration.load(settings)
    await with_waiting_mail(config)
    await refused_until_emptied(config, replace(config, store=Store(postgresql.url(tmp_path))))


async def test_mail_that_waits_in_postgresql_is_not_left_behind_either(settings: Path, tmp_path: Path) -> None:
    config = configuration.load(settings)
    moved = replace(config, store=Store(postgresql.url(tmp_path)))
    await with_waiting_mail(moved)
    await refused_until_emptied(moved, config)


async def refused_until_emptied(config: Config, moved: Config) -> None:
    with pytest.raises(LeftBehind, match="1 deliveries still wait"):
        await opening.settle(moved)
    check = await running.check_store(moved)
    assert (check.health, "1 deliveries still wait" in check.en) == (Health.WRONG, True)
    with pytest.raises(LeftBehind, match="from the next start on"):
        await opening.open_store(moved)  # a command must not show an empty list
    await opening.settle(config)
    await emptied(config)
    await opening.settle(moved)
    await (await opening.open_store(moved)).close()


async def test_a_folder_older_than_the_note_is_compared_with_its_sqlite(settings: Path, tmp_path: Path) -> None:
    config = configuration.load(settings)
    await with_waiting_mail(config)
    (config.gateway.state_dir / whereabouts.NOTE).unlink()
    with pytest.raises(LeftBehind, match="1 deliveries still wait"):
        await opening.settle(replace(config, store=Store(postgresql.url(tmp_path))))


async def test_another_url_of_the_same_database_is_the_same_database(settings: Path, tmp_path: Path) -> None:
    url = postgresql.url(tmp_path)
    config = replace(configuration.load(settings), store=Store(url))
    await with_waiting_mail(config)
    await opening.settle(replace(config, store=Store(url + "&application_name=sealgate")))


async def test_a_former_database_that_does_not_answer_is_not_forgotten(settings: Path) -> None:
    pytest.importorskip("psycopg", reason="psycopg missing: pip install psycopg[binary]")
    config = configuration.load(settings)
    config.gateway.state_dir.mkdir()
    whereabouts.note(config.gateway.state_dir, Store("postgresql://u@127.0.0.1:1/mail"), "x" * 32)
    with pytest.raises(LeftBehind, match="does not answer") as caught:
        await opening.settle(config)
    assert str(config.gateway.state_dir / whereabouts.NOTE) in str(caught.value)
    (config.gateway.state_dir / whereabouts.NOTE).unlink()
    await opening.settle(config)


async def test_a_database_that_went_missing_is_neither_forgotten_nor_made_anew(settings: Path) -> None:
    config = configuration.load(settings)
    await with_waiting_mail(config)
    database = config.gateway.state_dir / "state.db"
    aside = database.with_name("aside.db")
    database.rename(aside)
    for attempt in (opening.settle, opening.open_store):
        with pytest.raises(LeftBehind, match="Restore it from backup"):
            await attempt(config)
    assert not database.exists()
    aside.rename(database)
    await opening.settle(config)


@pytest.mark.parametrize("content", [b"", b"{", b'{"id": 1}', b"\xff"])
async def test_a_note_that_cannot_be_read_stops_the_start(settings: Path, content: bytes) -> None:
    config = configuration.load(settings)
    config.gateway.state_dir.mkdir()
    (config.gateway.state_dir / whereabouts.NOTE).write_bytes(content)
    with pytest.raises(StoreUnavailable, match="restore it from backup"):
        await opening.settle(config)


async def test_the_state_folder_is_for_its_owner_alone_whoever_makes_it(settings: Path) -> None:
    config = configuration.load(settings)
    await (await opening.open_store(config)).close()
    state = config.gateway.state_dir
    assert {path.stat().st_mode & 0o777 for path in (state, state / "keys")} == {0o700}


async def test_postgresql_is_as_good_as_sqlite_and_its_key_is_checked(settings: Path, tmp_path: Path) -> None:
    config = replace(configuration.load(settings), store=Store(postgresql.url(tmp_path)))
    assert (await running.check_store(config)).health is Health.GOOD
    (config.gateway.state_dir / "keys" / "store.key").write_bytes(StoreKey(b"o" * 32).key)
    assert "store.key" in (await running.check_store(config)).en


def test_serve_does_not_start_away_from_waiting_mail(settings: Path) -> None:
    asyncio.run(with_waiting_mail(configuration.load(settings)))
    settings.write_text(f'{SETTINGS}\n[store]\nurl = "postgresql://u@127.0.0.1:1/mail"\n')
    words = [sys.executable, "-m", "gateway.cli", "serve", "--config", str(settings)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert (done.returncode, "1 deliveries still wait" in done.stderr) == (2, True), done.stderr
