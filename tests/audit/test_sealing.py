"""Slots open with their keys only, and only as what was sealed."""

import hashlib
import hmac
import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import sealing
from audit.event import Place, Secret
from audit.sealing import MessageKey, SlotError, SubjectKey
from tests.audit.events import ORIGIN, decided

KEY = hashlib.sha256(b"message").digest()
SUBJECT = SubjectKey(hashlib.sha256(b"person").digest(), 0x0123456789ABCDEF)


def slot_of(event_id: str, name: str, text: str, subject: SubjectKey | None = None) -> tuple[str, ...]:
    """One slot, sealed beside another."""
    person = "zhang@corp.test" if subject else ""
    sealed = {"ip": Secret("192.0.2.1"), name: Secret(text, person)}
    key = MessageKey(Place("smtp", "2026-11", 1), KEY, {person: subject} if subject else {})
    return sealing.seal(replace(decided(), id=event_id, sealed=sealed), ORIGIN, key)[name]


@given(st.binary(max_size=64), st.binary())
def test_derive_is_hmac(key: bytes, purpose: bytes) -> None:
    assert sealing.derive(key, purpose) == hmac.digest(key, purpose, "sha256")


@given(st.text(), st.booleans())
def test_a_slot_opens_to_what_was_sealed(text: str, person: bool) -> None:
    slot = slot_of("E1", "from", text, SUBJECT if person else None)
    assert sealing.subject_leaf(ORIGIN, "E1", "from", slot, KEY) == (SUBJECT.leaf if person else None)
    opened, secret = sealing.open_slot(ORIGIN, "E1", "from", slot, KEY, SUBJECT.key if person else None)
    assert opened == text
    assert sealing.open_with(slot, secret) == text


def test_surrogates_do_not_stop_an_event() -> None:
    slot = slot_of("E1", "from", "a\udcff")
    assert sealing.open_slot(ORIGIN, "E1", "from", slot, KEY, None)[0] == "a\\udcff"


def test_nothing_else_opens_it() -> None:
    slot = slot_of("E1", "from", "zhang@corp.test", SUBJECT)
    right = (ORIGIN, "E1", "from", slot, KEY, SUBJECT.key)
    wrong = ("other", "E2", "to0", (slot[0], slot[1].replace("cm:", "cm:AA"), slot[2]), bytes(32), bytes(32))
    for place in range(6):
        with pytest.raises(SlotError):
            sealing.open_slot(*right[:place], wrong[place], *right[place + 1 :])  # type: ignore[arg-type]
    for bad in ((), ("ct:!", "cm:!"), ("x", "y"), (slot[0],), (None, None)):
        with pytest.raises(SlotError):
            sealing.open_slot(ORIGIN, "E1", "from", bad, KEY, SUBJECT.key)  # type: ignore[arg-type]


def test_equal_texts_can_not_be_told_equal() -> None:
    places = itertools.product(("E1", "E2"), ("from", "to0"))
    slots = [slot_of(event, name, "same", SUBJECT) for event, name in places]
    assert len({part for slot in slots for part in slot}) == 12


def test_commitments_are_keyed_and_the_same_in_every_event_of_a_message() -> None:
    one = sealing.commit(KEY, "body", b"text")
    assert one == sealing.commit(KEY, "body", b"text")
    assert one not in {sealing.commit(KEY, "part", b"text"), sealing.commit(bytes(32), "body", b"text")}
    assert hashlib.sha256(b"text").hexdigest() not in one


def test_an_event_seals_all_its_slots() -> None:
    event = decided()
    key = MessageKey(Place("smtp", "2026-11", 1), KEY, {"zhang@corp.test": SUBJECT, "buyer@acme.example": SUBJECT})
    slots = sealing.seal(event, ORIGIN, key)
    assert {name: len(slot) for name, slot in slots.items()} == {"from": 3, "to0": 3, "subject": 2, "excerpt": 2}
    assert repr(key).count("b'") == 0, "keys do not show in logs"


def test_one_person_has_one_spelling() -> None:
    assert sealing.subject_of(" Zhang@CORP.test") == sealing.subject_of("zhang@corp.test")
    assert sealing.subject_of("é@x") == sealing.subject_of("e\u0301@x")
