"""SIGKILL in the middle of it, again and again: what was acknowledged is there, whole and once, or its end stands in the log."""

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.custodian_process import look

ROOT = Path(__file__).parents[2]


async def run_until_killed(folder: Path, after_lines: int) -> list[tuple[str, str]]:
    """Start the process, kill it when it has said so many lines; gives what it said before it died."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.custodian_process", str(folder), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    said = []
    while line := await process.stdout.readline():
        said.append(tuple(line.decode().split()))
        if len(said) == after_lines:
            os.kill(process.pid, signal.SIGKILL)
    assert await process.wait() == -signal.SIGKILL
    return [each for each in said if len(each) == 2]


async def kill_loop(folder: Path, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    said: list[tuple[str, str]] = []
    for _ in range(kills):
        said += await run_until_killed(folder, 2 + chance.randrange(60))
    taken = await account(folder, said)
    assert len(taken) >= kills, "the kills came too early to prove anything"


async def account(folder: Path, said: Sequence[tuple[str, str]]) -> set[str]:
    """Heals what is left, and holds it against what was said; gives the ids that were acknowledged."""
    states = await look(folder)
    log = [json.loads(line) for line in (folder / "log").read_bytes().splitlines()]
    ends = {e["msg"] for e in log if e["type"] in ("hold.deny", "message.delivered")}
    unknown = {e["msg"] for e in log if e["type"] == "message.outcome_unknown"}
    taken = {message_id for word, message_id in said if word == "taken"}
    dotted = {message_id for word, message_id in said if word == "dot"}
    assert taken <= set(states) | ends, "acknowledged and lost"
    assert {message_id for word, message_id in said if word == "ended"} <= ends, "told as ended, but not in the log"
    assert not set(states) & ends, "kept after its end"
    assert dotted <= ends | unknown, "handed over, and the log doesn't say what became of it"
    assert {m for m, state in states.items() if state == "outcome-unknown"} == unknown
    assert set(states) <= {e["msg"] for e in log if e["type"] == "message.decided"}, (
        "kept though the log knows nothing of it"
    )
    assert len(log) == len({e["id"] for e in log})
    return taken


async def test_five_kills(tmp_path):
    await kill_loop(tmp_path, 5, seed=1)


@pytest.mark.full
async def test_fifty_kills(tmp_path):
    await kill_loop(tmp_path, 50, seed=2)
