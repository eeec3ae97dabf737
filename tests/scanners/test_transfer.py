"""Transfer encodings: what they mean, and what a body of nothing but short lines may cost."""

import binascii
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanners.transfer import loose_lines, quoted_printable, transferred


def line_by_line(body: bytes) -> bytes:
    """RFC 2045 6.7 rule 3 as it is written."""
    lines = [line.rstrip(b" \t\r") + (b"\r" if line.endswith(b"\r") else b"") for line in body.split(b"\n")]
    return binascii.a2b_qp(b"\n".join(lines))


@given(
    st.lists(
        st.sampled_from((b" ", b"\t", b" " * 12, b"\r\n", b"\n", b"\r", b"a", b"=41", b"=", b"=\r\n")), max_size=40
    )
)
def test_blanks_before_a_line_end_go_however_many_they_are(pieces: list[bytes]) -> None:
    body = b"".join(pieces)
    if any(line.endswith((b" ", b"\t", b" \r", b"\t\r")) for line in body.split(b"\n")[:-1]):
        assert quoted_printable(body) == line_by_line(body)


def test_a_blank_does_not_undo_a_soft_break() -> None:
    assert quoted_printable(b"=\t \r\nab=  \r\nc \r\n") == b"abc\r\n"


@pytest.mark.parametrize("line", [b"a \r\n", b"a" + b" " * 9 + b"\r\n", b"a\r \n"])
def test_short_lines_take_no_thirty_times_their_size(line: bytes) -> None:
    body = line * (2_000_000 // len(line))
    tracemalloc.start()
    try:
        quoted_printable(body)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 8 * len(body)


def test_lines_that_are_no_base64_are_told_apart_from_those_that_are() -> None:
    good = b"QUJD" * 19
    body = b"\r\n".join([good, b"-- a footer, not base64", good])
    loose, rest = loose_lines(body)
    assert loose.strip() == b"-- a footer, not base64"
    assert transferred(rest, "base64").content == b"ABC" * 38


def test_a_body_that_no_encoder_wrote_is_text_as_it_stands() -> None:
    body = "总\r\n价\r\n".encode() * 60_000
    assert loose_lines(body) == (body, body)
    few = "总\r\n价\r\n".encode() * 100
    assert loose_lines(few)[0].replace(b"\n", b"") == few.replace(b"\n", b"")
