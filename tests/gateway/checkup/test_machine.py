"""State folder, descriptors and times as the doctor sees them; and that nothing is found wrong without saying what to do."""

import ast
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.checkup import examination, machine, neighbours, ports, running
from gateway.checkup.check import Health
from gateway.checkup.machine import check_descriptors, check_state, check_times
from gateway.config import Config, Gateway, Limits

GOOD, REMARK, WRONG = Health.GOOD, Health.REMARK, Health.WRONG


AS_NOBODY = """
import os, sys
from pathlib import Path
from gateway.config import Config, Gateway
from gateway.checkup.check import Health
from gateway.checkup.machine import check_state
os.setresuid(65534, 65534, 65534)
found = check_state(Config(Gateway("gw.test", ("corp.test",), state_dir=Path(sys.argv[1]))), 65534)
print(found)
sys.exit(0 if found.health is Health.WRONG and ("chown" in found.advice or "sudo" in found.advice) else 1)
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(Gateway("gw.test", ("corp.test",), state_dir=tmp_path / "state"))


def test_state(config: Config) -> None:
    state = config.gateway.state_dir
    assert check_state(config, 0).health is GOOD
    state.mkdir(mode=0o755)
    assert check_state(config, 0).health is REMARK
    state.chmod(0o700)
    assert check_state(config, 0).health is GOOD
    state.rmdir()
    state.write_text("")
    assert check_state(config, 0).health is WRONG


def test_state_of_somebody_else(config: Config, tmp_path: Path) -> None:
    """Asked by somebody who may not write there; root may everywhere, so root asks in a child without its rights."""
    state = config.gateway.state_dir
    (state / "audit").mkdir(parents=True)
    state.chmod(0o755)
    tmp_path.chmod(0o755)
    (state / "audit").chmod(0o500)
    if os.geteuid() == 0:
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, str(state)], check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return
    assert check_state(config, os.geteuid()).health is WRONG


def test_descriptors(config: Config) -> None:
    wanted = Limits().connections + machine.SPARE_DESCRIPTORS
    assert check_descriptors(config, (wanted, wanted)).health is GOOD
    assert check_descriptors(config, (-1, -1)).health is GOOD
    assert check_descriptors(config, (64, wanted)).health is REMARK
    assert str(wanted) in check_descriptors(config, (64, 128)).advice


def test_times(config: Config) -> None:
    now = datetime.now(UTC)
    assert check_times(config, now).health is GOOD
    (config.gateway.state_dir / "audit").mkdir(parents=True)
    (config.gateway.state_dir / "audit" / "checkpoint").touch()
    assert check_times(config, now).health is GOOD
    assert check_times(config, now - timedelta(days=1)).health is WRONG


@pytest.mark.parametrize("module", [examination, machine, neighbours, ports, running])
def test_every_remark_says_in_both_languages_what_to_do(module: object) -> None:
    tree = ast.parse(Path(str(module.__file__)).read_text("utf-8"))  # type: ignore[attr-defined]
    texts = {
        target.id: ast.unparse(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "Check"]
    found = [call for call in calls if ast.unparse(call.args[1]) != "Health.GOOD"]
    assert found
    for call in found:
        assert len(call.args) == 5, ast.unparse(call)
        advice = call.args[4]
        text = texts.get(advice.id, "") if isinstance(advice, ast.Name) else ast.unparse(advice)
        if isinstance(advice, ast.Call):  # a function that chooses: its text is looked at as a whole
            name = ast.unparse(advice.func)
            text = next(ast.unparse(n) for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == name)
        assert re.search("[a-z]{3}", text), ast.unparse(call)
        assert re.search("[\u4e00-\u9fff]", text), ast.unparse(call)
