"""sealgate policy test, check, explain, diff, replay."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from audit import event as events
from audit.log import Entry
from audit.reader import Stored
from gateway.cli import main
from gateway.commands.replay import Changed, kept_of, report, span_s
from policies.decision import Disposition
from policies.replay import compare_kept
from policies.rule import Ruleset
from tests.audit.events import decided, open_log
from tests.gateway.commands.policy_files import RULE, configured, saved
from tests.policies.world import rule, rules

SMALL = RULE.replace("MIN", "2KB")


def test_test_says_what_would_happen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, mail = configured(tmp_path), saved(tmp_path)
    arguments = ["policy", "test", str(mail), "--config", str(config)]
    assert main(arguments) == 0
    assert (
        "APPROVE 待审批   处理 treatments: notify-sender   因 because: outbound-company-words"
        in capsys.readouterr().out
    )
    assert main([*arguments, "--expect", "approve"]) == 0
    assert main([*arguments, "--expect", "reject"]) == 1
    assert main([*arguments, "--to", "wang@corp.test", "--expect", "deliver"]) == 0


def test_check_runs_examples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configured(tmp_path, SMALL)
    assert main(["policy", "check", "--config", str(config)]) == 0
    assert "(1 of your own)" in capsys.readouterr().out


def test_check_names_file_and_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configured(tmp_path, RULE.replace("MIN", "1MB"))
    assert main(["policy", "check", "--config", str(config)]) == 1
    text = capsys.readouterr().err
    assert "10-own.toml:7:1" in text
    assert "should give approve but gave no-match; missed: size in bytes" in text
    (tmp_path / "policies.d" / "10-own.toml").write_text(SMALL.replace("recipient.outside", "recipient.outsid"))
    assert main(["policy", "check", "--config", str(config)]) == 1
    assert 'did you mean "recipient.outside"?' in capsys.readouterr().err


def test_check_warns_of_exceptions_that_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = '[[allow]]\nlist = "big-mail"\nsender = "corp.test"\nauth = "relay"\nreason = "x"\nexpires = 2020-01-01\n'
    config = configured(tmp_path, SMALL.replace("[[rule]]", entry + "[[rule]]", 1))
    assert main(["policy", "check", "--config", str(config)]) == 0
    assert "ended on 2020-01-01" in capsys.readouterr().err


def test_explain_in_plain_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configured(tmp_path, SMALL)
    assert main(["policy", "explain", "big-mail", "--config", str(config)]) == 0
    text = capsys.readouterr().out
    for line in (
        "大邮件 / Large mail",
        "邮件大小（字节，可写 10MB）至少 2000",
        "则 扣下，等待审批 / then hold for approval",
        "approvers group:boss",
    ):
        assert line in text
    assert main(["policy", "explain", "--config", str(config)]) == 0
    assert "malware" in capsys.readouterr().out
    assert main(["policy", "explain", "nope", "--config", str(config)]) == 1
    assert "sealgate policy explain" in capsys.readouterr().err
    assert main(["policy", "explain", "big-mial", "--config", str(config)]) == 1
    assert 'did you mean "big-mail"?' in capsys.readouterr().err


def test_diff(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configured(tmp_path, SMALL)
    draft = tmp_path / "draft.toml"
    draft.write_text(SMALL.replace("2KB", "4KB"), encoding="utf-8")
    old = str(tmp_path / "policies.d")
    assert main(["policy", "diff", old, old, "--config", str(config)]) == 0
    capsys.readouterr()
    assert main(["policy", "diff", old, str(draft), "--config", str(config)]) == 1
    text = capsys.readouterr().out
    assert "~ big-mail" in text
    assert "- " in text
    assert "at least 4000" in text
    draft.write_text('schema = 1\n[[disable]]\nrule = "malware"\nreason = "test"\n', encoding="utf-8")
    assert main(["policy", "diff", old, str(draft), "--config", str(config)]) == 1
    text = capsys.readouterr().out
    assert "- malware" in text
    assert "- big-mail" in text


def test_replay_without_a_log_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configured(tmp_path)
    assert main(["policy", "replay", "--draft", str(tmp_path / "policies.d"), "--config", str(config)]) == 2
    assert "no log yet" in capsys.readouterr().err
    assert main(["policy", "replay", "--draft", str(tmp_path), "--since", "soon", "--config", str(config)]) == 2


READ = {"size": 100, "recipients": 1, "bodies": {"1": "text/plain", "2": "text/html"}}


def record(
    *codes: str, matched: tuple[str, ...] = (), version: str = "", disposition: str = "deliver", **more: object
) -> dict:
    return {
        "type": "message.decided", "time": datetime(2026, 11, 20, tzinfo=UTC).isoformat(), "msg": "M1", "dir": "out", "listener": "out",
        "policy": {"version": version, "disposition": disposition, "matched": list(matched)},
        "findings": [{"code": code, "part": "1", "count": 2} for code in codes], "read": {"size": 100, "recipients": 1}, **more,
    }  # fmt: skip


def scored(*scores: int, **more: object) -> dict:
    """The same words in the plain and the HTML version of a body: the larger score counts."""
    lines = [
        {"code": "content.dictionary.bank", "part": str(n), "count": 1, "score": s} for n, s in enumerate(scores, 1)
    ]
    return {**record(**more), "findings": lines, "read": READ}


NOTHING = Ruleset()
REPLAYS = [
    ('"malware.clamav"', record("malware.clamav"), ("r",), ()),
    ('"malware.clamav"', record(), (), ()),
    ('"malware.clamav"', record(findings_more=3), (), ("malware.clamav",)),
    ('{ finding = "content.identifier.cn_id18", min_count = 2 }', record("content.identifier.cn_id18"), ("r",), ()),
    ('{ finding = "content.identifier.cn_id18", min_count = 3 }', record("content.identifier.cn_id18"), (), ()),
    ('{ finding = "content.dictionary.bank", min_score = 8 }', record("content.dictionary.bank"), (), ("content.dictionary.bank",)),
    ('{ all = ["malware.clamav", "recipient.outside"] }', record("malware.clamav"), (), ("recipient.outside",)),
    ('{ all = ["malware.clamav", "recipient.outside"] }', record(), (), ()),
    ('{ fact = "subject", contains = "x" }', record(), (), ("subject",)),
    ('{ all = ["malware.clamav", { fact = "size", max = 200 }] }', record("malware.clamav"), ("r",), ()),
    # A log that keeps scores, bodies and facts answers more.
    ('{ finding = "content.dictionary.bank", min_score = 8 }', scored(5, 7), (), ()),
    ('{ finding = "content.dictionary.bank", min_score = 7 }', scored(5, 7), ("r",), ()),
    ('{ finding = "content.dictionary.bank", part = "body" }', scored(5, 7), ("r",), ()),
    ('{ finding = "content.dictionary.bank", part = "attachment" }', scored(5, 7), (), ()),
    ('{ finding = "content.dictionary.bank", part = "nested" }', scored(5), (), ("content.dictionary.bank",)),
    ('{ finding = "content.dictionary.bank", about = "x" }', scored(5), (), ("content.dictionary.bank",)),
    ('{ finding = "content.dictionary.bank", min_score = 99 }', scored(5, findings_more=1), (), ("content.dictionary.bank",)),
    ('"recipient.outside"', record(facts=[{"recipient.outside": False}, {"recipient.outside": True}]), ("r",), ()),
    ('"recipient.outside"', record(facts=[{"recipient.outside": False}]), (), ()),
    ('"recipient.outside"', record(facts=[{"recipient.outside": False}, {}]), (), ("recipient.outside",)),
    ('{ fact = "first_contact", is = false }', record(facts=[{"first_contact": False}]), ("r",), ()),
    ('{ fact = "direction", is = "submission" }', record(facts=[{"direction": "submission"}]), ("r",), ()),
    ('{ fact = "recipient.country", in = ["de"] }', record(facts=[{"recipient.country": "de"}]), ("r",), ()),
]  # fmt: skip


@pytest.mark.parametrize(("when", "line", "gained", "unsure"), REPLAYS)
def test_a_draft_is_judged_on_kept_facts_only(
    when: str, line: dict, gained: tuple[str, ...], unsure: tuple[str, ...]
) -> None:
    difference = compare_kept(NOTHING, rules(rule(when)), kept_of(line))
    assert (difference.gained if difference else ()) == gained
    assert tuple(fact for _, facts in (difference.unsure if difference else ()) for fact in facts) == unsure


def test_what_the_current_rules_did_is_known_from_the_log() -> None:
    current = rules(rule('{ fact = "subject", contains = "x" }'))
    line = record(matched=("r",), version=current.version, disposition="approve")
    assert compare_kept(current, current, kept_of(line)) is None
    gone = compare_kept(current, NOTHING, kept_of(line))
    assert gone is not None
    assert (gone.lost, gone.before, gone.after) == (("r",), Disposition.APPROVE, Disposition.DELIVER)


def test_the_report_counts_rules_and_people_and_lists_mails() -> None:
    line = record("malware.clamav")
    difference = compare_kept(NOTHING, rules(rule('"malware.clamav"')), kept_of(line))
    assert difference is not None
    text = "\n".join(report(10, 0, [Changed(Stored(1, b"", line), difference)], {"M1": "z***@corp.test"}))
    for part in (
        "10 mails, 1 would change, 0 only a rescan",
        "held or refused: 0 -> 1",
        "+ r  1",
        "people: z***@corp.test ×1",
        "deliver -> approve",
    ):
        assert part in text


@pytest.mark.parametrize(("text", "seconds"), [("12h", 43200), ("7d", 604800), ("2w", 1209600)])
def test_spans(text: str, seconds: int) -> None:
    assert span_s(text) == seconds


def test_replay_reads_a_real_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configured(tmp_path)
    (tmp_path / "state").mkdir()
    log = open_log(tmp_path / "state" / "audit")
    past = [replace(decided(number), at=datetime.now(UTC) - timedelta(days=number)) for number in range(5)]
    log.append([Entry(event.id, events.line(event, "gw.test")) for event in reversed(past)])
    log.publish()
    log.close()
    draft = tmp_path / "draft.d"
    draft.mkdir()
    one = rule('"content.dictionary.company"', then='disposition = "quarantine"', name="strict")
    (draft / "a.toml").write_text("schema = 1\n" + one, encoding="utf-8")
    arguments = ["policy", "replay", "--draft", str(draft), "--since", "60h", "--config", str(config)]
    assert main(arguments) == 1
    text = capsys.readouterr().out
    assert "3 mails, 3 would change" in text
    assert "held or refused: 0 -> 3" in text
    assert "+ strict  3" in text
    assert "- contract-price  3" in text
