"""A running gateway whose deliveries lie in PostgreSQL: hold, list, release, and what arrives."""

import asyncio
from pathlib import Path

from gateway.demo import mails
from gateway.demo.stage import Stage
from tests.e2e.conftest import code
from tests.fakes import postgresql

PRICED = mails.mail("li@corp.test", "buyer@acme.example", "合同", "合同总价为人民币 100 万元")
PATIENCE_S = 120.0


async def test_hold_list_release_through_postgresql(stage: Stage, tmp_path: Path) -> None:
    await stage.stop_gateway()
    for left in (*stage.state.glob("state.db*"), stage.state / "store.json"):  # nothing waited in the one of before
        left.unlink()
    text = stage.settings.read_text(encoding="utf-8")
    stage.settings.write_text(f'{text}\n[store]\nurl = "{postgresql.url(tmp_path)}"\n', encoding="utf-8")
    (stage.folder / "gateway.log").unlink()  # it names the ports of before
    await stage.start_gateway()

    answer = await stage.send("outbound", "li@corp.test", ["buyer@acme.example"], PRICED)
    assert (answer.code, "hold" in answer.text) == (250, True), answer.text
    listed = await stage.command("held", "list")
    assert answer.message_id in listed.text, listed.text
    shown = await stage.command("held", "show", answer.message_id)
    assert f"sealgate held release {answer.message_id}" in shown.text, shown.text
    words = ("held", "release", answer.message_id, "--operator", "wang.fang", "--code", "-")
    released = await stage.command(*words, stdin=code() + "\n")
    assert (released.status, "released 已放行" in released.text) == (0, True), released.text
    async with asyncio.timeout(PATIENCE_S):
        while not any(each.data.endswith(PRICED) for each in stage.delivered()):
            await stage.pause(0.1)
    assert not (stage.state / "state.db").exists(), "nothing of it is in SQLite"
    doctor = await stage.command("doctor", "--no-dns")
    assert "PostgreSQL answers" in doctor.text, doctor.text
