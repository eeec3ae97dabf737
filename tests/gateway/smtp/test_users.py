"""The users file and ``sealgate user``."""

import argparse
import io
import stat
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from gateway.commands import user
from gateway.smtp import users
from gateway.smtp.login import Credentials
from gateway.smtp.users import DECOY, BusyError, UsersError, UsersFile, login_key, parse, read, write

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def file_with(path: Path, **people: str) -> UsersFile:
    write(path, {login: CHEAP.hash(password) for login, password in people.items()})
    return UsersFile(path, CHEAP)


async def test_right_wrong_and_unknown(tmp_path: Path) -> None:
    known = file_with(tmp_path / "users", zhang="geheim", li="other")
    assert await known.verify(Credentials("zhang", "geheim")) == "zhang"
    assert await known.verify(Credentials("ZHANG", "geheim")) == "zhang"
    assert await known.verify(Credentials("zhang", "other")) is None
    assert await known.verify(Credentials("nobody", "geheim")) is None
    assert await known.verify(Credentials("a:b", "geheim")) is None


async def test_a_change_needs_no_restart(tmp_path: Path) -> None:
    path = tmp_path / "users"
    known = UsersFile(path, CHEAP)
    assert await known.verify(Credentials("zhang", "geheim")) is None
    file_with(path, zhang="geheim")
    assert await known.verify(Credentials("zhang", "geheim")) == "zhang"
    file_with(path, zhang="newer one")
    assert await known.verify(Credentials("zhang", "geheim")) is None
    path.unlink()
    assert await known.verify(Credentials("zhang", "newer one")) is None


async def test_a_damaged_hash_is_an_error_not_a_no(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text("zhang:$argon2id$broken\n")
    with pytest.raises(UsersError, match="damaged"):
        await UsersFile(path, CHEAP).verify(Credentials("zhang", "geheim"))


async def test_a_queue_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "MAX_WAITING", 0)
    with pytest.raises(BusyError):
        await UsersFile(tmp_path / "users", CHEAP).verify(Credentials("zhang", "geheim"))


def test_the_decoy_costs_what_a_real_hash_costs() -> None:
    assert not PasswordHasher().check_needs_rehash(DECOY)


@pytest.mark.parametrize("text", ["zhang", "zhang:plain", "a:$argon2id$x\nA:$argon2id$y", ":$argon2id$x"])
def test_a_wrong_file_is_said(text: str) -> None:
    with pytest.raises(UsersError):
        parse(text, "users")


def test_comments_and_blank_lines() -> None:
    assert parse("# people\n\nzhang:$argon2id$x\n", "users") == {"zhang": "$argon2id$x"}


@pytest.mark.parametrize("login", ["", " ", "a:b", "a\nb", "#a", "x" * 256])
def test_logins_that_cannot_stand_in_the_file(login: str) -> None:
    with pytest.raises(UsersError):
        login_key(login)


def test_written_for_the_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "etc" / "users"
    write(path, {"zhang": "$argon2id$x"})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read(path) == {"zhang": "$argon2id$x"}
    assert [each.name for each in path.parent.iterdir()] == ["users"]


CONFIG = """
[gateway]
hostname = "gw.test"
local_domains = ["corp.test"]
[[listener]]
name = "inbound"
bind = "127.0.0.1:2525"
direction = "inbound"
[[route]]
recipients = "corp.test"
to = "smtp://127.0.0.1:2600"
"""


def command(*words: str) -> int:
    parser = argparse.ArgumentParser()
    user.add(parser.add_subparsers())
    arguments = parser.parse_args(["user", *words])
    status: int = arguments.run(arguments)
    return status


def test_add_list_remove(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "sealgate.toml"
    config.write_text(CONFIG + '[auth]\nusers_file = "users"\n')
    at = ("--config", str(config))
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse\nshort\n"))
    assert command("add", "Zhang", "--password-stdin", *at) == 0
    assert command("add", "li", "--password-stdin", *at) == 2
    assert "8" in capsys.readouterr().err
    assert command("list", *at) == 0
    assert capsys.readouterr().out == "zhang\n"
    assert "correct horse" not in (tmp_path / "users").read_text()
    assert PasswordHasher().verify(read(tmp_path / "users")["zhang"], "correct horse")
    assert command("remove", "nobody", *at) == 1
    assert command("remove", "zhang", *at) == 0
    assert read(tmp_path / "users") == {}


def test_without_a_users_file_it_says_what_to_add(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "sealgate.toml"
    config.write_text(CONFIG)
    assert command("list", "--config", str(config)) == 2
    assert "users_file" in capsys.readouterr().err
