"""What reaches a terminal."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import cli
from gateway.terminal import Harmless, harmless, safe


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain 中文\n", "plain 中文\n"),
        ("\x1b[31m", "\\u001b[31m"),
        ("a\rb", "a\\u000db"),
        ("\x9b2J", "\\u009b2J"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\U000e0041", "\\udb40\\udc41"),
        ("\udc80", "\\udc80"),
    ],
)
def test_what_a_terminal_would_act_on_is_written_out(text: str, shown: str) -> None:
    assert harmless(text) == shown


@given(st.text())
def test_nothing_gets_through(text: str) -> None:
    assert safe(text).isprintable()
    assert harmless(text).replace("\n", "").replace("\t", "").isprintable()


@given(st.text(alphabet=st.characters(exclude_categories=("Cs",))))
def test_json_reads_back_the_same(text: str) -> None:
    assert json.loads(harmless(json.dumps(text, ensure_ascii=False))) == text


def test_a_stream_is_otherwise_itself() -> None:
    inner = io.StringIO()
    stream = Harmless(inner)
    assert (stream.write("\x07"), inner.getvalue(), stream.isatty()) == (1, "\\u0007", False)


def test_every_command_writes_through_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["explain", "mail.eml", "--no\x1b[2J"])
    assert "\x1b" not in capsys.readouterr().err
