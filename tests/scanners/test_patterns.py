"""Marks answer as ``in`` does, whatever the engine, the length and the place."""

import builtins
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanners.patterns import MIN_MARKED, Marks

STRINGS = (b" \r\n", b"\t\r\n", b" \n", b"\\x41", b"\0[", b"\xff.")
MARKS = Marks(*STRINGS)


@given(
    st.lists(
        st.sampled_from((*STRINGS, b" ", b"\r\n", b"\n", b"\t", b"A", b"[", b".", b"\xff", b"\0", b"word")), max_size=20
    ),
    st.sampled_from((0, MIN_MARKED, 5 * MIN_MARKED)),
    st.booleans(),
)
def test_marks_are_found_as_in_finds_them(pieces: list[bytes], padding: int, behind: bool) -> None:
    text = b"".join(pieces)
    data = b"x" * padding + text if behind else text + b"x" * padding
    assert MARKS.any_in(data) == any(mark in data for mark in STRINGS)


def test_without_the_engine_the_answer_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    there = builtins.__import__

    def missing(name: str, *rest: Any, **named: Any) -> Any:
        if name == "hyperscan":
            raise ImportError(name)
        return there(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", missing)
    plain = Marks(b" \n")
    assert [plain.any_in(b"x" * MIN_MARKED + tail) for tail in (b" \n", b"\n")] == [True, False]
