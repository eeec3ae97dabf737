"""sealgate audit."""

import asyncio
import shutil
from pathlib import Path

import pytest

from audit.reader import LogView
from audit.verify import verify
from gateway.commands import audit
from gateway.recording.keeper_client import KeeperClient
from gateway.recording.keeper_protocol import Erase, EraseDone
from tests.fakes.keeper import keeper, recorder
from tests.gateway.commands.logged import call, call_beside, code, fill, write_config


async def test_verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path)
    assert await call_beside(audit, config, "verify") == 2
    assert "没有日志" in capsys.readouterr().err
    await fill(tmp_path / "state")
    assert call(audit, config, "verify") == 0
    assert "7 events, checkpoint 7, every tile and root agree" in capsys.readouterr().out
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "state" / "audit", copy)
    bundle = copy / "tile/entries/000.p/7"
    bundle.chmod(0o600)
    data = bundle.read_bytes()
    bundle.write_bytes(data.replace(b'"outcome":"hold"', b'"outcome":"bold"'))
    assert call(audit, config, "verify", "--dir", str(copy)) == 1
    out = capsys.readouterr().out
    assert "event 3 does not match tile 0/000" in out
    assert "不完整" in out


async def test_verify_beside_a_writer(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    async with keeper(tmp_path / "state"):
        assert await call_beside(audit, config, "verify") == 0


async def test_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path)
    events = await fill(tmp_path / "state")
    line = LogView.open(tmp_path / "state" / "audit").entry(1).line.decode()
    async with keeper(tmp_path / "state") as socket:
        for name in ("1", events[0].id):
            assert await call_beside(audit, config, "show", name) == 0
            shown = capsys.readouterr()
            assert shown.out == line + "\n"
            assert "#1 in checkpoint 8 of gw.test/audit, verified" in shown.err
        with KeeperClient(socket) as client:
            erase = Erase(1, "", "smtp", "2026-11", 0, "PIPL 47", "DPO", ["li", "wang"])
            await asyncio.to_thread(client.ask, erase, EraseDone)
        assert await call_beside(audit, config, "show", "1") == 0
        shown = capsys.readouterr()
        erased = LogView.open(tmp_path / "state" / "audit").entry(8)
        assert shown.out.startswith(line + "\n")
        assert f"from: [erased 2026-11-22, event {erased.text('id')}]" in shown.out
    for missing in ("999", "01KAMZ3W8Q0000000000000M01", ""):
        assert call(audit, config, "show", missing) == 1


async def test_new_shard(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path)
    state = tmp_path / "state"
    await fill(state)
    good = state / "audit" / "tile/0/000.p/7"
    good.chmod(0o600)
    good.write_bytes(good.read_bytes()[:-1] + b"\0")
    assert await call_beside(audit, config, "new-shard", "--reason", "disk replaced") == 2
    assert await call_beside(audit, config, "new-shard", "--reason", "x", "--as", "wang", "--code", code()) == 2
    async with keeper(tmp_path / "elsewhere"):
        pass
    asked = ("new-shard", "--reason", "disk replaced", "--as", "li", "--code", code())
    assert await call_beside(audit, config, *asked) == 0
    assert "gw.test/audit/2" in capsys.readouterr().out
    aside = next(state.glob("audit.aside-*"))
    assert verify(aside).mismatches
    first = LogView.open(state / "audit").entry(0)
    assert first.text("type") == "audit.new_shard"
    assert first.record["old"]["head"].startswith("gw.test/audit\n7\n")
    assert first.record["old"]["aside"] == aside.name
    assert (first.record["actor"], first.text("reason")) == ({"role": "operator", "id": "li"}, "disk replaced")
    assert first.record["mismatches"] == len(verify(aside).mismatches)
    async with keeper(state) as socket, recorder(socket) as log:
        assert (await log.message_key([])).place.leaf == 1024, "keys went along"
    assert verify(state / "audit").mismatches == ()


async def test_new_shard_while_the_keeper_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path)
    async with keeper(tmp_path / "state"):
        asked = ("new-shard", "--reason", "x", "--as", "li", "--code", code())
        assert await call_beside(audit, config, *asked) == 1
    assert "stop the gateway first" in capsys.readouterr().err
