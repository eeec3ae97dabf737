"""Where a line and a message end: against a model that is slow and plain, for every way the octets may be cut."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.smtp import reading
from gateway.smtp.reading import Bad, DataReader, LineReader

ATOMS = st.sampled_from([b"\r\n", b".", b"\r\n.", b"\r\n.\r\n", b"a", b"..", b"text", b"\r\n..\r\n"])
HOSTILE = st.sampled_from([b"\r", b"\n", b"\0", b"\n.\n", b"\r.\r"])


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    return [*pieces, data[at:]]


def model(data: bytes) -> tuple[bytes | None, bytes]:
    """RFC 5321 4.1.1.4 and 4.5.2 word by word: the message (None: no end, or a fault in it) and what follows its end."""
    whole = b"\r\n" + data
    end = whole.find(b"\r\n.\r\n")
    if end < 0:
        return None, b""
    content, rest = whole[2 : end + 2], whole[end + 5 :]
    if re.search(rb"(?<!\r)\n|\r(?!\n)|\0", content):
        return None, rest
    lines = content.split(b"\r\n")
    return b"\r\n".join(line[1:] if line.startswith(b".") else line for line in lines), rest


def read(pieces: list[bytes], tmp_path: Path, limit: int = 10_000_000) -> tuple[bytes | Bad | None, bytes]:
    reader = DataReader(limit, tmp_path, lambda _: True)
    for number, piece in enumerate(pieces):
        rest = reader.feed(piece)
        if rest is not None:
            return reader.finish(), rest + b"".join(pieces[number + 1 :])
    reader.close()
    return None, b""


@settings(max_examples=400)
@given(st.lists(ATOMS | HOSTILE, max_size=30), st.lists(st.integers(0, 7), max_size=40))
def test_any_cut_gives_the_models_message(
    tmp_path_factory: pytest.TempPathFactory, atoms: list[bytes], sizes: list[int]
) -> None:
    data = b"".join(atoms)
    got, rest = read(cut(data, sizes), tmp_path_factory.getbasetemp())
    want, after = model(data)
    assert (got if isinstance(got, bytes) else None) == want
    assert rest == after


@settings(max_examples=150)
@given(st.lists(ATOMS, max_size=60), st.lists(st.integers(0, 30), max_size=40))
def test_any_cut_through_blocks_and_spool(
    tmp_path_factory: pytest.TempPathFactory, atoms: list[bytes], sizes: list[int]
) -> None:
    """The same with blocks of 16 octets and the spool from 32 octets."""
    data = b"".join(atoms) + b"\r\n.\r\nNOOP"
    patch = pytest.MonkeyPatch()
    with patch.context() as small:
        small.setattr(reading, "BLOCK", 16)
        small.setattr(reading, "IN_MEMORY", 32)
        small.setattr(reading, "DOTS_ONE_BY_ONE", 3)
        got, rest = read(cut(data, sizes), tmp_path_factory.getbasetemp())
    want, after = model(data)
    assert rest == after
    assert got == want or got is Bad.LONG_LINE


def test_a_large_message_comes_back_whole(tmp_path: Path) -> None:
    body = b"".join(b".line %d\r\n" % number for number in range(400_000))
    wire = body.replace(b"\r\n.", b"\r\n..")
    wire = b"." + wire + b".\r\nQUIT\r\n"
    got, rest = read([wire[at : at + 65_536] for at in range(0, len(wire), 65_536)], tmp_path)
    assert got == body
    assert rest == b"QUIT\r\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("octets", "bad"),
    [
        (b"a\nb\r\n", Bad.BARE_LF),
        (b"a\rb\r\n", Bad.BARE_CR),
        (b"a\r\r\n", Bad.BARE_CR),
        (b"\n\r\r\n", Bad.BARE_LF),
        (b"a\0b\r\n", Bad.NUL),
        (b"x" * 65_535 + b"\r\n", None),
        (b"x" * 65_536 + b"\r\n", Bad.LONG_LINE),
        (b"short\r\n" * 3 + b"x" * 65_536 + b"\r\nshort\r\n", Bad.LONG_LINE),
        (b"x" * 3_000_000 + b"\r\n", Bad.LONG_LINE),
        (b"x" * 70_000 + b"\r\n" + b"y\r\n" * 700_000, Bad.LONG_LINE),
    ],
    ids=["lf", "cr", "cr-crlf", "lf-cr", "nul", "longest", "too long", "too long inside", "one line", "too long first"],
)
def test_what_is_refused(tmp_path: Path, octets: bytes, bad: Bad | None) -> None:
    got, rest = read([octets + b".\r\nQUIT"], tmp_path)
    assert (got if isinstance(got, Bad) else None) is bad
    assert rest == b"QUIT"
    pieces = [octets[at : at + 50_000] for at in range(0, len(octets), 50_000)]
    got, rest = read([*pieces, b".\r\nQUIT"], tmp_path)
    assert (got if isinstance(got, Bad) else None) is bad
    assert rest == b"QUIT"


def test_too_big_is_read_to_its_end_and_counted(tmp_path: Path) -> None:
    reader = DataReader(1_000_000, tmp_path, lambda _: True)
    for _ in range(40):
        assert reader.feed(b"0123456789abcdef" * 4000 + b"\r\n" * 4096) is None
    assert reader.discarded > 1_000_000
    assert reader.feed(b"\r\n.\r\n") == b""
    assert reader.finish() is Bad.TOO_BIG


def test_no_memory_left(tmp_path: Path) -> None:
    reader = DataReader(10**9, tmp_path, lambda octets: octets <= 100)
    assert reader.feed(b"x" * 98 + b"\r\n.\r\n") == b""
    assert len(reader.finish()) == 100  # type: ignore[arg-type]
    reader = DataReader(10**9, tmp_path, lambda octets: octets <= 100)
    assert reader.feed(b"x" * 99 + b"\r\n.\r\n") == b""
    assert reader.finish() is Bad.NO_MEMORY


def test_a_spool_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    reader = DataReader(10**9, tmp_path / "missing", lambda _: True)
    assert reader.feed(b"text\r\n" * 1_500_000) is None
    assert reader.feed(b".\r\n") == b""
    assert reader.finish() is Bad.NO_SPOOL


def test_dot_lines_cost_no_more_than_others(tmp_path: Path) -> None:
    """A million dot lines: the terminator is still found where it is."""
    got, rest = read([b".\r\r\n" * 10 + b"..\r\n" * 1_000_000 + b".\r\nrest"], tmp_path)
    assert got is Bad.BARE_CR
    assert rest == b"rest"


LINES = st.lists(st.sampled_from([b"NOOP", b"\r\n", b"\n", b"\r", b"\0", b"x" * 13_000, b" "]), max_size=20)


def commands(pieces: list[bytes]) -> list[bytes | Bad]:
    reader, found = LineReader(), []
    for piece in pieces:
        reader.feed(piece)
        while (line := reader.take()) is not None:
            found.append(line)
            if isinstance(line, Bad) and line is not Bad.LONG_LINE:
                return found
    return found


@settings(max_examples=300)
@given(LINES, st.lists(st.integers(0, 5000), max_size=30))
def test_lines_do_not_depend_on_the_cut(atoms: list[bytes], sizes: list[int]) -> None:
    data = b"".join(atoms)
    whole, pieces = commands([data]), commands(cut(data, sizes))
    assert pieces[: len(whole)] == whole
    for line in whole:
        assert isinstance(line, Bad) or not {b"\r"[0], b"\n"[0], 0} & set(line)


def test_an_endless_line_is_given_up() -> None:
    reader = LineReader()
    answers = []
    for _ in range(20):
        reader.feed(b"x" * 5000)
        answers.append(reader.take())
        assert len(reader) <= 20_000
    assert Bad.TOO_BIG in answers
