"""Codes drawn with characters or cells become pictures in which they are found; tables and banners of ordinary mail don't."""

import io
import time

import pytest
import segno
import zxingcpp
from PIL import Image

from scanners import drawn
from scanners.drawn import pictures
from tests.corpus.trade.generate import corpus
from tests.scanners.letters import read

LINK = "https://login.example/x"


def squares() -> list[list[bool]]:
    return [[bool(one) for one in row] for row in segno.make(LINK, error="l", micro=False).matrix_iter(border=2)]


def halves(upper: str = "▀", lower: str = "▄", both: str = "█", none: str = " ") -> str:
    rows = squares()
    rows += [[False] * len(rows[0])] if len(rows) % 2 else []
    marks = {(True, True): both, (True, False): upper, (False, True): lower, (False, False): none}
    pairs = zip(rows[::2], rows[1::2], strict=True)
    return "\n".join("".join(marks[pair] for pair in zip(top, low, strict=True)) for top, low in pairs)


def wide(dark: str, light: str) -> str:
    return "\n".join("".join(dark if one else light for one in row) for row in squares())


def cells(style: str) -> str:
    rows = "".join(
        "<tr>"
        + "".join(f"<td {style.format('#000000' if one else '#ffffff')} width=4 height=4></td>" for one in row)
        + "</tr>"
        for row in squares()
    )
    return f"<table cellspacing=0>{rows}</table>"


def found(bitmap: bytes) -> list[str]:
    picture = Image.open(io.BytesIO(bitmap)).convert("L")
    view = memoryview(picture.tobytes()).cast("B", (picture.height, picture.width))
    return [one.text for one in zxingcpp.read_barcodes(view)]


TEXTS = {
    "half blocks": halves(),
    "half blocks, light on dark": halves("▄", "▀", " ", "█"),
    "full blocks": wide("██", "  "),
    "shades": wide("▓▓", "░░"),
    "hashes": wide("##", "  "),
    "squares": wide("⬛", "⬜"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_code_of_characters(name: str) -> None:
    for text in (TEXTS[name], f"Dear all,\n\nscan this:\n\n{TEXTS[name]}\n\nRegards\n"):
        assert LINK in [link for each in pictures(text, html=False) for link in found(each)]
    page = f"<html><body><p>scan</p><pre>{TEXTS[name]}</pre></body></html>"
    assert LINK in [link for each in pictures(page, html=True) for link in found(each)]


def test_a_code_of_rows_that_are_divided() -> None:
    page = "".join(f"<div>{row.replace(' ', '&nbsp;')}</div>" for row in TEXTS["full blocks"].split("\n"))
    assert LINK in [link for each in pictures(page, html=True) for link in found(each)]


@pytest.mark.parametrize("style", ["bgcolor={}", 'style="background:{}"', "style='background-color: {};padding:0'"])
def test_a_code_of_cells(style: str) -> None:
    assert LINK in [link for each in pictures(cells(style), html=True) for link in found(each)]


def test_the_reader_hands_it_on() -> None:
    message = read(f"Content-Type: text/plain; charset=utf-8\n\n{TEXTS['half blocks']}")
    assert [found(part.content) for part in message.parts if "drawn" in part.path] == [[LINK]]


def test_ordinary_mail_holds_no_drawing() -> None:
    assert not [mail.name for mail in corpus() if any("drawn" in part.path for part in read(mail.raw).parts)]
    banner = "##############################\n# NOTICE                     #\n##############################\n"
    assert pictures(banner, html=False) == []
    assert pictures("█ 100 %\n██ 200 %\n" * 20, html=False) == []


def test_more_than_are_taken_is_said() -> None:
    text = "\n\n\n".join([wide("█", "█")] * (drawn.MAX_DRAWINGS + 3))
    assert len(pictures(text, html=False)) == drawn.MAX_DRAWINGS + 1
    assert "content.limit.embedded" in {
        one.code for one in read(f"Content-Type: text/plain; charset=utf-8\n\n{text}").defects
    }


def test_hostile_drawings_take_linear_time() -> None:
    for text in (
        "█" * 500_000,
        "█\n" * 250_000,
        ("█" * 12 + "\n") * 6_000,
        "<tr>" + "<td>" * 20_000,
        "<tr>" * 20_000 + "<td>" * 500,
    ):
        began = time.process_time()
        pictures(text, html=True)
        assert time.process_time() - began < 5


def test_a_drawing_without_an_end_is_cut_and_counted() -> None:
    made = pictures("█" * drawn.MAX_COLUMNS + ("\n" + "#" * drawn.MAX_COLUMNS) * 20_000, html=False)
    assert len(made) == drawn.MAX_DRAWINGS + 1
    assert max(map(len, made)) < 4_000_000


def test_a_code_at_the_very_end_of_a_text_is_drawn() -> None:
    assert len(pictures("look:\n" + halves(), html=False)) == 1
