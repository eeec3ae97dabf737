"""The running gateway as its operator meets it: reload, death of a part, stop, and nothing personal lying about."""

import asyncio
import contextlib
import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from gateway.demo import mails
from gateway.demo.stage import Stage
from gateway.smtp.server import PARTING_S

PATIENCE_S = 120.0
INSIDE, OUTSIDE = "zhang@corp.test", "buyer@acme.example"
HARMLESS = mails.mail("li@corp.test", INSIDE, "hello", "see you tomorrow")
RULE = """
schema = 1
[[rule]]
name = "no-pineapples"
title = {{ zh = "不要菠萝", en = "No pineapples" }}
when.all = [{{ fact = "subject", {how} = "pineapple" }}]
then = {{ disposition = "reject" }}
"""


async def until(true: Callable[[], bool]) -> None:
    """Wait for a state of other processes; bounded."""
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await asyncio.sleep(0.05)


def records(stage: Stage) -> list[dict[str, object]]:
    found = []
    for line in (stage.folder / "gateway.log").read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def said(stage: Stage, event: str) -> int:
    return sum(1 for record in records(stage) if str(record.get("event", "")).startswith(event))


def pids(stage: Stage, role: str) -> list[int]:
    return [
        int(str(record["child_pid"]))
        for record in records(stage)
        if record.get("child") == role and "child_pid" in record
    ]


async def outbound(stage: Stage, subject: str = "hello") -> tuple[int, str]:
    """As a mail server sends: after a 421 (a worker that parts before the end of data) it connects again (RFC 5321 3.8)."""
    raw = mails.mail("li@corp.test", INSIDE, subject, "text")
    answer = await stage.send("outbound", "li@corp.test", [INSIDE], raw)
    if answer.code == 421:
        answer = await stage.send("outbound", "li@corp.test", [INSIDE], raw)
    return answer.code, answer.text


async def one_after_the_other(stage: Stage, stopped: asyncio.Event, codes: list[int]) -> None:
    """Traffic. A client that needs longer for one message than those under way are given may hear 421; no other may."""
    raw = mails.mail("li@corp.test", INSIDE, "hello", "text")
    while not stopped.is_set():
        began = asyncio.get_running_loop().time()
        code = (await stage.send("outbound", "li@corp.test", [INSIDE], raw)).code
        if code != 421 or asyncio.get_running_loop().time() - began < PARTING_S:
            codes.append(code)


async def test_reload_takes_new_rules_keeps_old_ones_on_error_and_refuses_nobody(stage: Stage) -> None:
    rules = stage.folder / "policies.d"
    rules.mkdir()
    text = stage.settings.read_text(encoding="utf-8")
    stage.settings.write_text(text + '\n[policies]\ndir = "policies.d"\n', encoding="utf-8")
    stopped = asyncio.Event()
    answers: list[int] = []
    running = asyncio.create_task(one_after_the_other(stage, stopped, answers))
    assert stage.process is not None
    (rules / "10.toml").write_text(RULE.format(how="contains"), encoding="utf-8")
    os.kill(stage.process.pid, signal.SIGHUP)
    await until(lambda: said(stage, "reloaded") == 1)
    assert (await outbound(stage, "pineapple"))[0] == 550
    (rules / "10.toml").write_text(RULE.format(how="contians"), encoding="utf-8")
    os.kill(stage.process.pid, signal.SIGHUP)
    await until(lambda: said(stage, "reload refused") == 1)
    assert (await outbound(stage, "pineapple"))[0] == 550
    stopped.set()
    await running
    assert answers
    assert set(answers) == {250}
    refused = next(record for record in records(stage) if str(record.get("event")).startswith("reload refused"))
    assert "10.toml:6" in str(refused["why"])
    assert "contains" in str(refused["why"])


async def test_a_dead_worker_comes_back(stage: Stage) -> None:
    workers = pids(stage, "worker")
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    await until(lambda: len(pids(stage, "worker")) >= len(workers) * 2)
    assert (await outbound(stage))[0] == 250


async def test_without_the_keeper_451_and_with_it_again_250(stage: Stage) -> None:
    (keeper,) = pids(stage, "keeper")
    os.kill(keeper, signal.SIGSTOP)
    waiting = asyncio.create_task(outbound(stage))
    await stage.pause(0.3)
    assert stage.delivered() == []
    os.kill(keeper, signal.SIGKILL)
    code, _ = await waiting
    assert code in (250, 451)
    await until(lambda: len(pids(stage, "keeper")) == 2)
    assert (await outbound(stage))[0] == 250
    delivered = len(stage.delivered())
    assert delivered == (2 if code == 250 else 1)
    assert (await stage.command("audit", "verify")).status == 0


async def test_stop_finishes_what_was_begun(stage: Stage) -> None:
    sent = [asyncio.create_task(outbound(stage)) for _ in range(8)]
    await until(lambda: len(stage.delivered()) > 0)
    await stage.stop_gateway()
    done = await asyncio.gather(*sent, return_exceptions=True)
    accepted = sum(1 for each in done if isinstance(each, tuple) and each[0] == 250)
    assert accepted == len(stage.delivered())
    assert (await stage.command("audit", "verify")).status == 0


async def test_planted_personal_data_stands_only_in_sealed_and_encrypted_stores(stage: Stage) -> None:
    sender, buyer = "qianzhongshu@corp.test", "unmistakable.person@acme.example"
    text = f"本合同总价：USD 120,000，身份证 {mails.RESIDENT_ID}，电话 13800138000"
    raw = mails.mail(f"Qian <{sender}>", buyer, "Planted Subject Zebra", text, {"zebra-file.txt": text.encode()})
    answer = await stage.send("outbound", sender, [buyer], raw)
    assert answer.code == 250
    assert stage.delivered() == []
    planted = [
        each.encode()
        for each in (sender, buyer, "Planted Subject Zebra", mails.RESIDENT_ID, "13800138000", "zebra-file", "合同总价")
    ]
    hits = []
    for path in [*stage.state.rglob("*"), stage.folder / "gateway.log"]:
        with contextlib.suppress(OSError):  # folders, sockets, and files that are gone again
            data = path.read_bytes()
            hits += [(str(path.relative_to(stage.folder)), word) for word in planted if word in data]
    console = next(record for record in records(stage) if record.get("event") == "console")
    host, port = console["address"]  # type: ignore[misc]

    def get(page: str) -> bytes:
        with urllib.request.urlopen(f"http://{host}:{port}{page}", timeout=PATIENCE_S) as response:
            body: bytes = response.read()
            return body

    page = await asyncio.to_thread(get, "/metrics")
    assert b"sealgate_messages_total" in page
    hits += [("/metrics", word) for word in planted if word in page]
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = command.read_bytes()
        except OSError:
            continue
        hits += [("process list", word) for word in planted if word in line]
    assert hits == []
    assert await asyncio.to_thread(get, "/livez") == b"ok\n"
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(urllib.error.HTTPError):  # a busy machine may leave a probe without an answer
                assert await asyncio.to_thread(get, "/readyz") == b"ok\n"
                break


async def test_the_trace_shows_the_records_that_decided(stage: Stage) -> None:
    raw = mails.signed(mails.mail(f"ann@{mails.PARTNER}", INSIDE, "hello", "see you"), stage.keys)
    answer = await stage.send("inbound", f"ann@{mails.PARTNER}", [INSIDE], raw, mails.PARTNER_IP)
    printed = await stage.command("trace", answer.message_id)
    assert printed.status == 0, printed.text
    for words in (f"v=spf1 ip4:{mails.PARTNER_IP} -all", "v=DKIM1; k=rsa; p=", "v=DMARC1; p=reject"):
        assert words in printed.text
    assert "connect            ***, listener inbound, no TLS" in printed.text
    assert f"reply              250 2.0.0, the next hop's own answer [{answer.message_id}]" in printed.text
    raw = mails.mail("ceo@bank.example", INSIDE, "hello", "see you")
    answer = await stage.send("inbound", "ceo@bank.example", [INSIDE], raw, mails.STRANGER_IP)
    printed = await stage.command("trace", answer.message_id)
    assert f"reply              550 5.7.26 [{answer.message_id}]" in printed.text
    raw = mails.mail("li@corp.test", "buyer@acme.example", "合同", "本合同总价：USD 120,000")
    answer = await stage.send("outbound", "li@corp.test", ["buyer@acme.example"], raw)
    printed = await stage.command("trace", answer.message_id)
    assert f"reply              {answer.code} {answer.text}" in printed.text
