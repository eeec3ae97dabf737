"""The one byte form."""

import json
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.event import Actor, Event, EventTooLarge, Place, derived_id, id_time_ms, line, new_id
from audit.spread import joined, spread
from tests.audit.events import NOW, decided, event_id


def event(**fields: object) -> Event:
    return Event(
        **{"id": event_id(0), "type": "t", "at": NOW, "actor": Actor("system", "gateway"), "outcome": "ok", **fields}
    )  # type: ignore[arg-type]


def test_order_of_keys_is_fixed_and_public_fields_stand_beside_the_envelope() -> None:
    data = line(
        event(public={"zz": 1, "aa": [1]}),
        "gw",
        Place("smtp", "2026-11", 7),
        {"from": ("ct:a", "cm:b")},
        {"body": "hmac-sha256:x"},
    )
    assert " ".join(json.loads(data)) == (
        "v id type time node tenant session msg dir actor outcome reason zz aa commits prev refs k sealed"
    )
    assert b"\n" not in data
    assert json.loads(data)["time"] == "2026-11-22T02:10:31.482Z"


def test_time_is_utc_whatever_the_zone() -> None:
    china = NOW.astimezone(timezone(timedelta(hours=8)))
    assert line(event(at=china), "gw") == line(event(), "gw")
    with pytest.raises(ValueError, match="zone"):
        line(event(at=datetime(2026, 1, 1)), "gw")  # noqa: DTZ001


def test_public_fields_may_not_shadow_the_envelope() -> None:
    with pytest.raises(ValueError, match="msg"):
        line(event(public={"msg": "x"}), "gw")


@given(st.dictionaries(st.text(max_size=5).map(lambda text: f"p{text}"), st.text()))
def test_any_text_gives_valid_json(public: dict[str, str]) -> None:
    json.loads(line(event(public=public), "gw"))


def test_half_a_surrogate_is_escaped() -> None:
    assert json.loads(line(event(public={"a": ["\ud800"]}), "gw"))["a"] == ["\\ud800"]


def test_too_large() -> None:
    with pytest.raises(EventTooLarge):
        line(event(public={"a": "x" * 40_000}), "gw")


def test_ids_sort_by_time_and_give_it_back() -> None:
    ids = [new_id(ms, bytes([255 - ms]) * 10) for ms in range(200)]
    assert ids == sorted(ids)
    assert [id_time_ms(identifier) for identifier in ids] == list(range(200))
    assert derived_id(ids[5], "a") == derived_id(ids[5], "a") != derived_id(ids[5], "b")
    assert id_time_ms(derived_id(ids[5], "a")) == 5


@given(st.integers(0, 80), st.integers(0, 120))
def test_spread_events_join_to_what_they_were(findings: int, missed: int) -> None:
    public = {
        "findings": [{"code": f"c{n}", "text": "x" * 500} for n in range(findings)],
        "policy": {"rules": 3, "missed": ["y" * 300] * missed, "matched": []},
        "plain": "z",
    }
    pages = spread(event(public=public))
    lines = [line(page, "gw") for page in pages]
    head, *parts = [json.loads(item) for item in lines]
    whole = joined(head, parts)
    assert {key: whole[key] for key in public} == public
    assert len({page.id for page in pages}) == len(pages)


def test_one_thing_too_large_to_spread() -> None:
    with pytest.raises(EventTooLarge):
        spread(event(public={"a": "x" * 30_000}))
    assert len(spread(decided())) == 1
