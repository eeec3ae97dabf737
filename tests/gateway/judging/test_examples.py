"""The shipped rules' examples hold whatever the operator has turned off."""

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config import Config, Gateway
from gateway.judging import examples


@pytest.mark.parametrize("text", [True, False])
async def test_shipped_rules_start_with_attachments_read_or_not(tmp_path: Path, text: bool) -> None:
    config = Config(Gateway("gw.test", ("corp.test",), state_dir=tmp_path, attachment_text=text))
    nobody = tmp_path / "decoder.sock"
    version = await examples.check(config, None if text else nobody)
    assert version.startswith("sha256:")
    other = replace(config, gateway=replace(config.gateway, attachment_text=not text))
    assert await examples.check(other) != version
