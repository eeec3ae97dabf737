"""Positions in TOML: whatever tomllib reads, the walker walks to its end, and finds keys where they stand."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.problem import Problem
from policies.toml_text import MAX_TEXT, Document, parse

TEXT = """schema = 1  # [[x]]
"quoted key".b = 'it"s'
[[rule]]
name = "a"   # "
title = { zh = "外", en = "x" }
when.all = [
  { fact = "direction", in = ["outbound", 'sub'] },
  { finding = "content" },  # c [
]
[[rule.example]]
mail = { text = \"\"\"a
"[[[ b\"\"\"\"\" }
[[rule.example]]
expect='''x''''
at = 2026-11-20T10:00:00
[[rule]]
name = "b\\"]"
"""


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("schema",), (1, 10)),
        (("quoted key", "b"), (2, 18)),
        (("rule", 0, "title", "en"), (5, 26)),
        (("rule", 0, "when", "all", 0, "in", 1), (7, 43)),
        (("rule", 0, "when", "all", 1, "finding"), (8, 15)),
        (("rule", 0, "example", 1, "expect"), (14, 8)),
        (("rule", 1, "name"), (17, 8)),
        (("rule", 1), (16, 1)),
        (("rule", 1, "missing"), (16, 1)),
        ((), (1, 1)),
    ],
)
def test_places(path: tuple[str | int, ...], place: tuple[int, int]) -> None:
    document = parse("f", TEXT)
    assert isinstance(document, Document)
    assert document.place(path) == place


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = \nb = 1", 1),
        ("a = 1\na = 2", 2),
        ("a = [" * 100_000, 1),
        ("x = 1\n" + ".".join("a" * 1000) + " = 1", 2),
        ("x" * (MAX_TEXT + 1), 0),
        ('a = "\n', 1),
        ("a = '''", 1),
        ("\x00", 1),
    ],
)
def test_what_is_not_toml_is_a_problem_with_a_line(text: str, line: int) -> None:
    found = parse("f", text)
    assert isinstance(found, Problem)
    assert found.line == line


SCALAR = st.integers(0, 99) | st.text(max_size=8) | st.booleans()
VALUE = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def _write(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return (
            '"'
            + "".join(
                f"\\U{ord(letter):08X}" if not letter.isalnum() or not letter.isascii() else letter for letter in value
            )
            + '"'
        )
    if isinstance(value, list):
        return "[" + ",\n ".join(map(_write, value)) + ' # ] "\n]'
    assert isinstance(value, dict)
    return "{" + ", ".join(f"{_write(key)} = {_write(one)}" for key, one in value.items()) + "}"


@given(st.dictionaries(st.text(max_size=4).filter(str.isprintable), VALUE, max_size=4))
def test_every_path_has_its_place(data: dict[str, object]) -> None:
    text = "\n".join(f"{_write(key)} = {_write(value)}" for key, value in data.items())
    try:
        expected = tomllib.loads(text)
    except tomllib.TOMLDecodeError:  # a surrogate, or NUL
        return
    document = parse("f", text)
    assert isinstance(document, Document)
    assert document.data == expected

    def visit(path: tuple[str | int, ...], value: object) -> None:
        assert path in document.values
        if isinstance(value, dict):
            for key, one in value.items():
                assert text[document.keys[*path, key]] in "\"'"
                visit((*path, key), one)
        elif isinstance(value, list):
            for number, one in enumerate(value):
                visit((*path, number), one)

    for key, value in expected.items():
        visit((key,), value)


@given(st.text(alphabet="[]{}\"'=.#\n\\a1 ,", max_size=60))
def test_no_text_crashes_it(text: str) -> None:
    assert isinstance(parse("f", text), Document | Problem)
