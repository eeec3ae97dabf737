"""A state directory with a log in it, and commands run against it."""

import argparse
import asyncio
import io
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pyotp

from audit.event import Event
from tests.audit.events import decided, outcome
from tests.fakes.keeper import keeper, recorder

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
CONFIG = """
[gateway]
hostname = "gw.test"
local_domains = ["corp.test"]
state_dir = "state"

[[operator]]
name = "li"
roles = ["auditor", "admin"]
totp_file = "li.totp"

[[operator]]
name = "wang"
roles = ["approver"]
totp_file = "li.totp"
"""


def write_config(folder: Path) -> Path:
    (folder / "li.totp").write_text(SECRET)
    (folder / "li.totp").chmod(0o600)
    (folder / "state").mkdir(exist_ok=True)
    (folder / "sealgate.toml").write_text(CONFIG)
    return folder / "sealgate.toml"


def code(offset: int = 0) -> str:
    return pyotp.TOTP(SECRET).at(int(time.time()) + 30 * offset)


def call(module: ModuleType, config: Path, *arguments: str) -> int:
    """As the program would; what follows ``--code`` comes from standard input."""
    if "--code" in arguments:
        at = arguments.index("--code") + 1
        before, sys.stdin = sys.stdin, io.StringIO(arguments[at] + "\n")
        try:
            return _call(module, config, *arguments[:at], "-", *arguments[at + 1 :])
        finally:
            sys.stdin = before
    return _call(module, config, *arguments)


def _call(module: ModuleType, config: Path, *arguments: str) -> int:
    parser = argparse.ArgumentParser()
    module.add(parser.add_subparsers())
    name = module.__name__.rpartition(".")[2]
    words = [name, *arguments]
    parsed = parser.parse_args([*words, "--config", str(config)])
    status: int = parsed.run(parsed)
    return status


async def call_beside(module: ModuleType, config: Path, *arguments: str) -> int:
    """In a thread, while the keeper runs here."""
    return await asyncio.to_thread(call, module, config, *arguments)


async def fill(state: Path) -> list[Event]:
    """Three messages: relayed, held, relayed; the keeper is stopped afterwards."""
    events = [decided(number) for number in range(3)]
    events[1] = replace(
        events[1], outcome="hold", reason="contract-price", public={**events[1].public, "intent": "custody"}
    )
    async with keeper(state) as socket, recorder(socket) as log:
        for number, event in enumerate(events):
            key = await log.message_key(["zhang@corp.test", "buyer@acme.example"])
            await log.record([event], key)
            if event.outcome == "relay":
                await log.record([outcome(event, 100 + number)], key)
    return events
