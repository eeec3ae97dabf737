"""Who may open sealed fields, or set a log aside, on the command line: an operator who has just proven presence."""

import argparse
import asyncio
import getpass
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from audit.event import Event, new_id
from gateway.config import Config, Operator
from gateway.custody.people import People, Refused
from gateway.recording.keeper import paths
from gateway.recording.recorder import MessageKey, Receipt, Recorder, RecorderUnavailable
from gateway.recording.socket_recorder import SocketRecorder
from gateway.store.errors import StoreDamaged, StoreUnavailable
from gateway.store.opening import open_store

ROLES = ("auditor", "admin")
MAX_CODE_LINE = 64
PATIENCE_S = 5.0
"""Wait for the keeper; a person is waiting too."""


class NotEntitled(Exception):
    """Not this person, or not with this role."""


@dataclass(frozen=True, slots=True)
class Person:
    """An operator who has just proven presence, and the role that entitles."""

    name: str
    role: str


class NoLog:
    """Stands in for a log that is itself what is broken: the first event of the new one says who set it aside."""

    room = True

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def message_key(self, addresses: Sequence[str]) -> MessageKey:
        """There are no keys here."""
        raise RecorderUnavailable("there is no log")

    async def record(self, events: Sequence[Event], key: MessageKey | None) -> Receipt:
        """Forgotten."""
        return Receipt(0, 0)


def add_options(parser: argparse.ArgumentParser) -> None:
    """--as and --code."""
    parser.add_argument(
        "--as", "--operator", dest="who", default="", metavar="NAME", help="operator 操作员 ([[operator]] name)"
    )
    parser.add_argument(
        "--code",
        choices=["-"],
        help="- reads the TOTP code from standard input; else it is asked for 从标准输入读取验证码，缺省时提示输入",
    )


def authenticate(
    config: Config, who: str, source: str | None, roles: tuple[str, ...] = ROLES, without_log: bool = False
) -> Person:
    """The operator ``who``, by TOTP (``source``: ``-`` for standard input, else asked for), with one of ``roles``. Raises NotEntitled."""
    if not who:
        raise NotEntitled("say who you are: --as NAME 请用 --as 指明操作员")
    code = ""
    if source == "-":
        code = sys.stdin.readline(MAX_CODE_LINE).strip()
    elif sys.stdin.isatty():
        code = getpass.getpass("TOTP code 验证码: ").strip()
    try:
        operator = asyncio.run(_prove(config, who, code, without_log))
    except (Refused, RecorderUnavailable, StoreUnavailable, StoreDamaged) as error:
        raise NotEntitled(str(error)) from error
    role = next((role for role in roles if role in operator.roles), "")
    if not role:
        raise NotEntitled(f"{who}: needs the role {' or '.join(roles)} 无此权限，需要角色 {'/'.join(roles)}")
    return Person(operator.name, role)


async def _prove(config: Config, who: str, code: str, without_log: bool) -> Operator:
    state = config.gateway.state_dir
    recorder: Recorder = NoLog()
    if not without_log:
        recorder = SocketRecorder(paths(state).socket, "command", time.monotonic, PATIENCE_S)
    store = await open_store(config)
    try:
        await recorder.open()
        people = People(config.operators, config.groups, store, recorder, clock=_now, ids=_new_id)
        return await people.prove(who, code)
    finally:
        await recorder.close()
        await store.close()


def _now() -> datetime:
    return datetime.now(UTC)


def _new_id() -> str:
    return new_id(int(time.time() * 1000), os.urandom(10))
