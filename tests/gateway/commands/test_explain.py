"""sealgate explain: every rule, what it met and missed, both languages."""

from pathlib import Path

import pytest

from gateway.cli import main
from tests.gateway.commands.policy_files import RULE, configured, saved


def test_every_rule_is_shown_with_what_it_met(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, mail = configured(tmp_path, RULE.replace("MIN", "1KB")), saved(tmp_path)
    assert main(["explain", str(mail), "--config", str(config)]) == 0
    text = capsys.readouterr().out
    assert "to buyer@acme.example: APPROVE 待审批" in text
    assert "+ outbound-company-words  匹配 matched" in text
    assert "收件人在本公司之外：是 / the recipient is outside the company: yes   实为 found: 是 yes" in text
    assert "- big-mail  未满足 missed: 邮件大小" in text
    assert "- dmarc-reject  不管这个方向 not for this direction" in text
    assert "--from --to --direction" in text


def test_authentication_and_envelope_are_taken_as_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configured(tmp_path)
    mail = saved(tmp_path, b"From: x@bank.example\r\nTo: li@corp.test\r\n\r\nhello\r\n")
    words = ["--from", "y@bank.example", "--to", "wang@corp.test", "--auth", "dmarc=fail", "--auth", "policy=reject"]
    assert main(["explain", str(mail), *words, "--stranger", "--config", str(config)]) == 0
    text = capsys.readouterr().out
    assert "to wang@corp.test: REJECT 拒收" in text
    assert "+ dmarc-reject  匹配 matched" in text
    assert main(["explain", str(mail), *words, "--known", "--rule", "dmarc-reject", "--config", str(config)]) == 0
    text = capsys.readouterr().out
    assert "QUARANTINE" in text
    assert "- 初次往来（本公司从未给对方写过信）：是" in text
    assert "dmarc-quarantine" not in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{mail}", "--rule", "nope"], "nope"),
        (["{mail}", "--auth", "dmrc=fail"], "--auth dmrc=fail"),
        (["/no/such.eml"], "No such file"),
    ],
)
def test_wrong_use_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    config, mail = configured(tmp_path), saved(tmp_path)
    arguments = [word.replace("{mail}", str(mail)) for word in words]
    assert main(["explain", *arguments, "--config", str(config)]) == 2
    assert said in capsys.readouterr().err


def test_rubbish_is_judged_not_a_crash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, mail = configured(tmp_path), saved(tmp_path, b"\x00\xff\n\n\n:::")
    assert main(["explain", str(mail), "--config", str(config)]) == 0
    assert "收件人 to postmaster@corp.test" in capsys.readouterr().out
