"""sealgate find."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from audit.event import Secret
from audit.reader import LogView
from gateway.commands import find
from tests.audit.events import decided
from tests.fakes.keeper import keeper, recorder
from tests.gateway.commands.logged import call, call_beside, code, fill, write_config


async def test_public_fields_need_no_keeper(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path)
    assert call(find, config) == 1
    assert "尚无日志" in capsys.readouterr().err
    events = await fill(tmp_path / "state")
    assert call(find, config) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[2] for line in lines] == [event.msg for event in reversed(events)]
    assert call(find, config, "--verdict", "hold") == 0
    assert events[1].msg in capsys.readouterr().out
    assert call(find, config, "--limit", "1") == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert call(find, config, "--since", "2027-01-01") == 1
    assert "nothing found" in capsys.readouterr().err
    assert call(find, config, "--since", "yesterday") == 2
    assert call(find, config, "--limit", "0") == 2


async def test_sealed_fields_need_a_person_a_code_and_a_purpose(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path)
    events = await fill(tmp_path / "state")
    async with keeper(tmp_path / "state"):
        asked = ("--from", "ZHANG@", "--subject", "合同")
        for more in (
            (),
            ("--purpose", "p"),
            ("--purpose", "p", "--as", "li", "--code", "000000"),
            ("--purpose", "p", "--as", "nobody", "--code", code()),
        ):
            assert await call_beside(find, config, *asked, *more) == 2
        assert await call_beside(find, config, *asked, "--purpose", "p", "--as", "wang", "--code", code(-1)) == 2
        assert "auditor" in capsys.readouterr().err
        assert await call_beside(find, config, *asked, "--purpose", "complaint", "--as", "li", "--code", code()) == 0
        out = capsys.readouterr().out
        assert out.count("zhang@corp.test -> buyer@acme.example  合同总价") == len(events)
        viewed = [
            stored
            for stored in LogView.open(tmp_path / "state" / "audit").entries()
            if stored.text("type") == "audit.view_sealed"
        ]
        assert len(viewed) == 1, "one look-up, one event"
        assert viewed[0].text("who") == "li"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2h", timedelta(hours=2)),
        ("30m", timedelta(minutes=30)),
        ("7d", timedelta(days=7)),
    ],
)
def test_ages(text: str, expected: timedelta) -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    assert find.parse_since(text, now) == now - expected


def test_times() -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    assert find.parse_since("", now) is None
    assert find.parse_since("2026-11-22T10:00+08:00", now) == datetime(2026, 11, 22, 2, tzinfo=UTC)
    for bad in ("x", "10", "1y", "2026-13-01", "９d"):
        with pytest.raises(ValueError, match="--since"):
            find.parse_since(bad, now)


async def test_recipients_that_went_into_a_continuation_are_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path)
    people = [f"person{number}@{'long' * 50}.example" for number in range(100)]
    event = replace(decided(1), sealed={f"to{number}": Secret(person, person) for number, person in enumerate(people)})
    async with keeper(tmp_path / "state") as socket:
        async with recorder(socket) as log:
            receipt = await log.record([event, decided(2)], await log.message_key(people))
        assert LogView.open(tmp_path / "state" / "audit").entry(receipt.index + 1).text("type") == "message.part"
        asked = ("--to", "person99@", "--purpose", "p", "--as", "li", "--code", code())
        assert await call_beside(find, config, *asked) == 0
    assert event.msg in capsys.readouterr().out
