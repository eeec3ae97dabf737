"""A page that was neutralised on its way: the recipient has the harmless one, an officer can still read the original."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.demo.stage import CONFIG, Stage
from tests.e2e.conftest import SECRET, code

PATIENCE_S = 120.0
RULE = """
schema = 1
[[rule]]
name = "disarm-all"
title = { zh = "HTML 无害化", en = "HTML is neutralised" }
when.all = [{ fact = "subject", contains = "page" }]
then = { disposition = "deliver", treatments = ["disarm"] }
"""
PAGE = (
    b"From: li@corp.test\r\nTo: zhang@corp.test\r\nSubject: page\r\nMIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
    b'<p>hello</p><form action="https://x.test/"><input name="a"></form><iframe src="https://x.test/"></iframe>\r\n'
)


@pytest.fixture
async def disarming(tmp_path: Path) -> AsyncIterator[Stage]:
    """A gateway with the treatment."""
    (tmp_path / "policies.d").mkdir()
    (tmp_path / "policies.d" / "rule.toml").write_text(RULE, encoding="utf-8")
    async with Stage(tmp_path, SECRET, config=CONFIG + '\n[policies]\ndir = "policies.d"\n') as made:
        yield made


async def test_the_original_of_a_disarmed_mail_can_be_read(disarming: Stage) -> None:
    answer = await disarming.send("outbound", "li@corp.test", ["zhang@corp.test"], PAGE)
    assert answer.code == 250, answer.text
    async with asyncio.timeout(PATIENCE_S):
        while not disarming.delivered():
            await asyncio.sleep(0.05)
    assert b"<form" not in disarming.delivered()[0].data
    out = disarming.folder / "original.eml"
    words = (
        "held",
        "original",
        answer.message_id,
        "--operator",
        "wang.fang",
        "--purpose",
        "complaint",
        "--out",
        str(out),
    )
    printed = await disarming.command(*words, "--code", "-", stdin=code() + "\n")
    assert (printed.status, out.exists()) == (0, True), printed.text
    assert out.read_bytes() == PAGE
