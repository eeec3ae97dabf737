"""sealgate trace."""

from dataclasses import replace
from pathlib import Path

import pytest

from audit.reader import LogView
from gateway.commands import trace
from tests.fakes.keeper import keeper, recorder
from tests.gateway.commands.logged import call, call_beside, code, fill, write_config


async def test_a_relayed_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path)
    events = await fill(tmp_path / "state")
    async with keeper(tmp_path / "state"):
        assert await call_beside(trace, config, events[0].msg) == 0
    out = capsys.readouterr().out
    for text in (
        f"{events[0].msg}  outbound  2026-11-22 ",
        "RELAYED 已转发",
        "from z***@corp.test  to b***@acme.example  16 384 bytes, 2 parts",
        "      0.0   1.1  read               2 parts",
        "content.dictionary.company  1x, part 1: 本合同**：***",
        "policy 77b1, 42 rules, 1 matched -> deliver",
        "+ contract-price",
        "      1.4        log                #1 message.decided durable (relay)",
        "      8.4        log                #2 message.relayed durable (relayed)  250 2.0.0 by 127.0.0.1",
        "proof: #1, #2 in checkpoint",
    ):
        assert text in out, (text, out)
    assert "zhang" not in out
    assert "合同总价" not in out


async def test_a_held_message_and_an_event_id(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path)
    events = await fill(tmp_path / "state")
    assert call(trace, config, events[1].id) == 0
    shown = capsys.readouterr()
    assert "HELD for approval 待审批" in shown.out
    assert f"sealgate held show {events[1].msg}" in shown.out
    assert "from [sealed]  to [sealed]" in shown.out
    assert "keeper is not running" in shown.err


async def test_reveal_is_an_event(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path)
    events = await fill(tmp_path / "state")
    async with keeper(tmp_path / "state"):
        asked = (events[0].msg, "--reveal", "to")
        assert await call_beside(trace, config, *asked) == 2
        assert await call_beside(trace, config, *asked, "--purpose", "p", "--as", "li", "--code", "1") == 2
        assert await call_beside(trace, config, *asked, "--purpose", "p", "--as", "li", "--code", code()) == 0
        out = capsys.readouterr().out
        assert "from z***@corp.test  to buyer@acme.example" in out
        types = [stored.text("type") for stored in LogView.open(tmp_path / "state" / "audit").entries()]
        assert types.count("audit.view_sealed") == 1


@pytest.mark.parametrize(
    "identifier", ["01KAMZ3W8Q0000000000000M01", "nothing", "", "../../etc", '"', "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"]
)
async def test_unknown_ids(tmp_path: Path, identifier: str) -> None:
    config = write_config(tmp_path)
    assert call(trace, config, identifier) == 1
    await fill(tmp_path / "state")
    assert call(trace, config, identifier) == 1


async def test_what_has_become_of_a_held_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path)
    events = await fill(tmp_path / "state")
    async with keeper(tmp_path / "state") as socket, recorder(socket) as log:
        public = {"delivery": "D1", "next_hop": "smtp://mail.test:25"}
        for kind, outcome in (("message.released", "queued"), ("message.delivered", "sent")):
            step = replace(events[1], id=f"{kind[-5:]:0>26}".upper(), type=kind, outcome=outcome, public=public)
            await log.record([step], await log.message_key([]))
        assert await call_beside(trace, config, events[1].msg) == 0
    shown = capsys.readouterr().out
    assert "now 现状: sent  已送达" in shown
    assert "next hop: smtp://mail.test:25, sent." in shown
    assert "held show" not in shown, "it is not held any more"
