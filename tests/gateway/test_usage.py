"""Arguments that are not understood, readers that go away, Ctrl-C and files of others."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import usage
from gateway.cli import COMMANDS, main
from tests.gateway.commands.policy_files import configured


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hold", "list"], "did you mean held? 是否想写 held？"),
        (["held", "realese"], "did you mean release? 是否想写 release？"),
        (["policy", "xyzzy"], "one of 可用: test, check, explain, diff, replay"),
        (["held", "show"], "缺少参数：ID / these arguments are required: ID"),
        ([], "缺少参数：COMMAND / these arguments are required: COMMAND"),
        (["find", "--sinse", "2h"], "did you mean --since? 是否想写 --since？"),
        (["held", "list", "--limt=3"], "did you mean --limit?"),
        (["find", "--limit", "many"], "--limit 的值 'many' 不正确 / --limit: 'many' is not right"),
        (["find", "--since"], "--since 之后须写一个值 / --since needs a value"),
        (["held", "list", "--json=1"], "--json 之后不写值 / --json takes no value"),
        (["audit", "verify", "here"], "不认识 not understood: here"),
        (["trace", "--re", "x"], "缺少参数：ID"),
    ],
)
def test_what_is_not_understood_is_said_with_what_was_meant(
    capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    error = capsys.readouterr().err
    assert (caught.value.code, said in error, "--help" in error) == (2, True, True), error


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_ends_with_status_0(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert f"sealgate {command}" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["policy", "explain"], ["policy", "--help"]])
def test_a_reader_that_goes_away_is_no_traceback(tmp_path: Path, words: list[str]) -> None:
    config = configured(tmp_path, "schema = 1\n")
    read_end, write_end = os.pipe()
    os.close(read_end)
    told = [] if "--help" in words else ["--config", str(config)]
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli", *words, *told], stdout=write_end, stderr=subprocess.PIPE, text=True
    )
    os.close(write_end)
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied", "/state/audit"), "/state/audit: 无权访问"),
        (OSError(28, "No space left on device", "/state/x"), "/state/x: No space left on device"),
        (OSError(28, "No space left on device"), "No space left on device"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(error: OSError, said: str) -> None:
    assert said in usage.trouble(error)
