"""Starting: twice in one folder, with a broken part, after a kill; and what /metrics says then."""

import asyncio
import json
import os
import signal
import sys
import urllib.request
from pathlib import Path

from gateway.demo import mails
from gateway.demo.stage import Stage
from gateway.process import lifeline

PATIENCE_S = 120.0
"""The machine may be busy."""
HELLO = mails.mail("li@corp.test", "zhang@corp.test", "hello", "text")


async def serve(stage: Stage) -> tuple[int, str]:
    """Start another gateway on the stage's configuration and wait for its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.cli", "serve", "--config", str(stage.settings),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(PATIENCE_S):
        out, _ = await process.communicate()
    return process.returncode or 0, out.decode("utf-8")


async def test_a_second_gateway_refuses_and_the_first_works_on(stage: Stage) -> None:
    status, said = await serve(stage)
    assert status == 1
    assert stage.process is not None
    assert f"pid {stage.process.pid}" in said
    assert "Traceback" not in said
    assert (await stage.send("outbound", "li@corp.test", ["zhang@corp.test"], HELLO)).code == 250
    folders = [path for path in (stage.state, *stage.state.iterdir()) if path.is_dir()]
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}
    await stage.stop_gateway()
    key = stage.state / "keys" / "store.key"
    key.chmod(0o644)
    status, said = await serve(stage)
    assert status == 1
    assert "chmod 600" in said
    assert "Traceback" not in said.split("cannot start")[1]
    key.chmod(0o600)
    journal = next((stage.state / "audit" / "journal").glob("*.aj"))
    kept = journal.read_bytes()
    journal.write_bytes(kept[:200] + bytes([kept[200] ^ 1]) + kept[201:])
    status, said = await serve(stage)
    assert status == 1
    assert "sealgate audit verify" in said
    journal.write_bytes(kept)
    rules = stage.folder / "policies.d"
    rules.mkdir()
    (rules / "10.toml").write_text(
        'schema = 1\n[[rule]]\nname = "never"\ntitle = { zh = "不", en = "never" }\nwhen.all = [{ fact = "subject", is = "x" }]\n'
        'then = { disposition = "reject" }\n[[rule.example]]\ntitle = "wrong"\n'
        'mail = { from = "a@x.example", to = "li@corp.test", subject = "y", text = "z" }\nexpect = "reject"\n'
    )
    text = stage.settings.read_text(encoding="utf-8")
    stage.settings.write_text(text + '\n[policies]\ndir = "policies.d"\n', encoding="utf-8")
    status, said = await serve(stage)
    assert (status, "10.toml" in said, "listening" in said) == (2, True, False)
    assert lifeline.holder(stage.state) == 0


def _lives(process: str) -> bool:
    """A zombie that nobody has waited for is dead."""
    try:
        return Path(process, "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def test_nothing_outlives_a_killed_supervisor_and_the_next_start_waits_for_it(stage: Stage) -> None:
    assert stage.process is not None
    family = [
        f"/proc/{pid}"
        for pid in Path(f"/proc/{stage.process.pid}/task/{stage.process.pid}/children").read_text().split()
    ]
    decoders = [one for one in family if b"scanners.attachments.decoder" in Path(one, "cmdline").read_bytes()]
    assert decoders
    os.kill(stage.process.pid, signal.SIGKILL)
    await stage.process.wait()
    (stage.folder / "gateway.log").unlink()
    await stage.start_gateway()
    async with asyncio.timeout(PATIENCE_S):
        while any(_lives(one) for one in family):
            await asyncio.sleep(0.05)
    assert (await stage.send("outbound", "li@corp.test", ["zhang@corp.test"], HELLO)).code == 250


async def test_metrics_tell_of_every_process(stage: Stage) -> None:
    assert (await stage.send("outbound", "li@corp.test", ["zhang@corp.test"], HELLO)).code == 250
    text = "本合同总价：USD 120,000"
    held = mails.mail("li@corp.test", "buyer@acme.example", "合同", text)
    assert (await stage.send("outbound", "li@corp.test", ["buyer@acme.example"], held)).code == 250
    assert stage.process is not None
    os.kill(stage.process.pid, signal.SIGHUP)
    console = 0
    async with asyncio.timeout(PATIENCE_S):
        while "reloaded" not in (stage.folder / "gateway.log").read_text("utf-8"):
            await asyncio.sleep(0.05)
    for line in (stage.folder / "gateway.log").read_text("utf-8").splitlines():
        record = json.loads(line)
        console = record["address"][1] if record.get("event") == "console" else console

    def get() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{console}/metrics", timeout=PATIENCE_S) as response:
            page: bytes = response.read()
        return page.decode()

    values: dict[str, str] = {}
    async with asyncio.timeout(PATIENCE_S):
        while (
            float(values.get("sealgate_log_events", 0)) < 4
        ):  # asked anew each time, and left out when nobody answers in time
            page = await asyncio.to_thread(get)
            values = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    assert values["sealgate_up"] == "1.0"
    assert values['sealgate_reloads_total{result="done"}'] == "1.0"
    assert values['sealgate_sessions_total{listener="outbound"}'] == "2.0"
    assert values['sealgate_messages_total{direction="outbound",outcome="relayed"}'] == "1.0"
    assert values['sealgate_deliveries{state="awaiting-approval"}'] == "1.0"
    assert float(values["sealgate_log_checkpoint_age_seconds"]) >= 0
    assert any(name.startswith("sealgate_rule_matches_total") for name in values)
