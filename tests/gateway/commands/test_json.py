"""``--json``: each line of output is one object, whatever the command, and says the same as the words."""

import json
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.commands import audit, find, trace
from tests.fakes.keeper import keeper
from tests.gateway.commands.logged import call, call_beside, fill, write_config
from tests.gateway.commands.policy_files import configured

MAIL = b"From: li@corp.test\r\nTo: buyer@acme.example\r\nSubject: x\r\n\r\nhello\r\n"
RULES = """schema = 1
[[rule]]
name = "everything-out"
title = { zh = "外发", en = "Out" }
when.all = ["recipient.outside"]
then = { disposition = "approve" }
"""


def objects(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_saved_mail_for_scripts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configured(tmp_path, RULES)
    mail = tmp_path / "mail.eml"
    mail.write_bytes(MAIL)
    assert main(["policy", "test", str(mail), "--json", "--config", str(config)]) == 0
    (tested,) = objects(capsys)
    assert (tested["file"], tested["disposition"], tested["matched"]) == (str(mail), "approve", ["everything-out"])
    assert main(["explain", str(mail), "--rule", "everything-out", "--json", "--config", str(config)]) == 0
    (explained,) = objects(capsys)
    assert explained["to"] == "buyer@acme.example"
    assert [rule["matched"] for rule in explained["rules"]] == [True]  # type: ignore[attr-defined]
    main(["auth", str(mail), "--json", "--dns", "127.0.0.1:1", "--timeout", "0.01"])
    (judged,) = objects(capsys)
    assert {"steps", "findings", "authentication_results"} == set(judged)


def test_rules_for_scripts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configured(tmp_path, RULES)
    other = tmp_path / "draft.d"
    other.mkdir()
    words = ["policy", "diff", str(tmp_path / "policies.d"), str(other), "--json", "--config", str(config)]
    assert main(words) == 1
    assert [(line["sign"], line["name"]) for line in objects(capsys)] == [("-", "everything-out")]


async def test_the_log_for_scripts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path)
    events = await fill(tmp_path / "state")
    assert call(find, config, "--json") == 0
    found = objects(capsys)
    assert [line["msg"] for line in found] == [event.msg for event in reversed(events)]
    assert call(audit, config, "verify", "--json") == 0
    assert [line["mismatches"] for line in objects(capsys)] == [[]]
    async with keeper(tmp_path / "state"):
        assert await call_beside(trace, config, events[0].msg, "--json") == 0
    traced = objects(capsys)
    assert [line["event"]["type"] for line in traced] == ["message.decided", "message.relayed"]  # type: ignore[index]
    assert traced[0]["shown"]["from"] == "z***@corp.test"  # type: ignore[index]
    assert "sealed" not in traced[0]["event"]  # type: ignore[operator]
