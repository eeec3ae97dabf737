"""What direction marks turn round is read as it is displayed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanners import bidi
from scanners.bidi import displayed
from scanners.identifiers import IdentifierScanner
from scanners.message import Direction
from tests.scanners.letters import AT, plain, read

CN_ID = "110101190001010014"
TURNED = {
    "all": ("\u202e" + CN_ID[::-1], CN_ID),
    "to its end": (f"a \u202e{CN_ID[::-1]}\u202c b", f"a {CN_ID} b"),
    "half of it": (f"\u202e{CN_ID[:9][::-1]}\u202c{CN_ID[9:]}", CN_ID),
    "a part within that runs on": (f"\u202e{CN_ID[9:][::-1]}\u202d{CN_ID[:9]}\u202c", CN_ID),
    "isolates": (f"\u2067{CN_ID[9:]} \u2066{CN_ID[:9]}\u2069\u2069", f"{CN_ID[:9]} {CN_ID[9:]}"),
    "an isolate ends what it holds": (f"\u2067\u202e{CN_ID[::-1]}\u2069 a", f"{CN_ID} a"),
    "groups in an embedding": (f"\u202b{CN_ID[9:]} {CN_ID[:9]}\u202c", f"{CN_ID[:9]} {CN_ID[9:]}"),
    "a mark that ends nothing": (f"\u202c\u2069\u202e{CN_ID[::-1]}", CN_ID),
    "lines for themselves": (f"x\n\u202e{CN_ID[::-1]}\ny", CN_ID),
    "too deep": ("\u202e" * 200 + CN_ID[::-1], CN_ID),
}


@pytest.mark.parametrize("name", TURNED)
def test_as_displayed(name: str) -> None:
    stored, shown = TURNED[name]
    assert displayed(stored).text == shown


@pytest.mark.parametrize("name", TURNED)
@pytest.mark.parametrize("kind", ["text/plain", "text/html", "subject"])
def test_it_is_searched(name: str, kind: str) -> None:
    stored = TURNED[name][0]
    if kind == "subject":
        message = read(f"Subject: {stored.replace(chr(10), ' ')}\n\nhello", Direction.INBOUND)
    else:
        page = stored if kind == "text/plain" else f"<p>{stored.replace(chr(10), '<br>')}</p>"
        message = read(f"Content-Type: {kind}; charset=utf-8\n\n{page}")
    assert "content.identifier.cn_id18" in {one.code for one in IdentifierScanner(()).find(message.readings, AT)}


@given(st.text(alphabet="ab1 \n\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069", max_size=200))
def test_nothing_is_lost(text: str) -> None:
    lines = [line for line in text.split("\n") if bidi.is_turned(line)]
    plain_letters = sorted("".join(lines).translate(dict.fromkeys(range(0x2000, 0x2070))))
    assert sorted(displayed(text).text.replace("\n", "")) == plain_letters


def test_more_pieces_than_are_put_in_order_are_said() -> None:
    message = plain("\u202ea\u202c" * (bidi.MAX_RUNS + 5))
    assert "content.limit.disguises" in {one.code for one in IdentifierScanner(()).find(message.readings, AT)}
    assert displayed("\u2067" + "a b" * (bidi.MAX_RUNS + 5)).more
