"""Any text given as a rule file loads or is refused with a place; nothing else happens."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from policies import load as loading
from policies.problem import PolicyError
from scanners.registry import CATALOGUE

FILES = sorted((Path(loading.__file__).parent / "builtin").glob("*.toml"))
WORDS = ['"', "'''", "[", "]", "{", "}", "=", "1", "true", "[[rule]]", "[]", "{}", ".", "\n", "#", "\\", "\x00", "any"]
VALUES = [
    "1",
    "-1",
    "1.5",
    "inf",
    "true",
    '""',
    '"x"',
    "[]",
    "[1]",
    '["x"]',
    "[[]]",
    "{}",
    "{ a = 1 }",
    "[{}]",
    "2020-01-01",
    "2020-01-01T00:00:00Z",
    "12:00:00",
]
EDITS = st.lists(
    st.tuples(st.integers(0, 10**6), st.integers(0, 12), st.sampled_from(WORDS) | st.text(max_size=5)),
    min_size=1,
    max_size=4,
)


def refused_or_loaded(text: str) -> None:
    try:
        loading.load([("a.toml", text)], CATALOGUE, {})
        return
    except PolicyError as error:
        problems = error.problems
    assert problems
    for problem in problems:
        assert problem.file == "a.toml"
        assert 0 <= problem.line <= text.count("\n") + 2
        assert problem.zh
        assert problem.en


@settings(max_examples=100)
@given(st.sampled_from(FILES), EDITS)
def test_a_damaged_file(file: Path, edits: list[tuple[int, int, str]]) -> None:
    text = file.read_text(encoding="utf-8")
    for at, gone, word in edits:
        at %= len(text)
        text = text[:at] + word + text[at + gone :]
    refused_or_loaded(text)


@settings(max_examples=150)
@given(
    st.sampled_from(FILES), st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from(VALUES)), min_size=1, max_size=3)
)
def test_values_of_the_wrong_kind(file: Path, edits: list[tuple[int, str]]) -> None:
    lines = file.read_text(encoding="utf-8").split("\n")
    for at, value in edits:
        places = [number for number, line in enumerate(lines) if " = " in line and not line.endswith("[")]
        number = places[at % len(places)]
        key, _, rest = lines[number].rpartition(" = ")
        tail = rest[rest.find("}") - 1 :] if "}" in rest else ""
        lines[number] = f"{key} = {value}{tail}"
    refused_or_loaded("\n".join(lines))
