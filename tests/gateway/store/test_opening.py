"""Which database a configuration means, and that its password stands nowhere but in its file."""

import asyncio
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gateway import config as configuration
from gateway.config import Config, ConfigError, Store
from gateway.process import checkup
from gateway.process.check import Health
from gateway.store import opening
from gateway.store.errors import StoreUnavailable
from gateway.store.protocol import Held
from gateway.store.sealing import StoreKey
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
    check = await checkup.check_store(config)
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


async def test_mail_that_waits_in_sqlite_is_not_left_behind(settings: Path, tmp_path: Path) -> None:
    config = configuration.load(settings)
    store = await opening.open_store(config)
    _, wrapped = store.new_box(envelope().id)
    await store.insert(Held(envelope(), "blob", 1), (delivery(decision(reason())),), wrapped)
    await store.close()
    moved = replace(config, store=Store(postgresql.url(tmp_path)))
    assert await opening.left_behind(moved) == 1
    check = await checkup.check_store(moved)
    assert (check.health, "1 still wait" in check.en) == (Health.WRONG, True)
    assert await opening.left_behind(config) == 0


async def test_postgresql_is_as_good_as_sqlite_and_its_key_is_checked(settings: Path, tmp_path: Path) -> None:
    config = replace(configuration.load(settings), store=Store(postgresql.url(tmp_path)))
    assert (await checkup.check_store(config)).health is Health.GOOD
    (config.gateway.state_dir / "keys" / "store.key").write_bytes(StoreKey(b"o" * 32).key)
    assert "store.key" in (await checkup.check_store(config)).en


def test_serve_does_not_start_away_from_waiting_mail(settings: Path, tmp_path: Path) -> None:
    asyncio.run(test_mail_that_waits_in_sqlite_is_not_left_behind(settings, tmp_path))
    settings.write_text(f'{SETTINGS}\n[store]\nurl = "postgresql://u@127.0.0.1:1/mail"\n')
    words = [sys.executable, "-m", "gateway.cli", "serve", "--config", str(settings)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "1 deliveries still wait" in done.stderr) == (2, True), done.stderr
