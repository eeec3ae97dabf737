"""Numbers in words, in letters, in rows, backwards: found when their check digits fit. What looks like that in trade stays silent."""

import random
import time

import pytest

from scanners import disguises
from scanners.disguises import put_together
from scanners.identifiers import IdentifierScanner
from scanners.message import Direction
from tests.scanners.letters import AT, plain

CN_ID, WITH_X = "110101190001010014", "33010119000101004X"
CARD, MOBILE = "6228480000000000018", "13800138000"
ID, BANK, PHONE = "content.identifier.cn_id18", "content.identifier.bank_card", "content.identifier.cn_mobile"


def said(number: str, digits: str, between: str = "") -> str:
    """``number`` in the numerals given."""
    words = digits.split() if " " in digits else digits
    return between.join(words[int(one)] if one.isdigit() else one for one in number)


ENGLISH = "zero one two three four five six seven eight nine"
FOUND = {
    "numerals": (said(CN_ID, "零一二三四五六七八九"), ID),
    "numerals on the telephone": (said(CN_ID, "洞幺两三四五六拐八勾"), ID),
    "numerals for money": (said(CN_ID, "零壹贰叁肆伍陆柒捌玖"), ID),
    "traditional numerals": (said(CN_ID, "零壹貳叁肆伍陸柒捌玖"), ID),
    "numerals with commas": (said(CN_ID, "零一二三四五六七八九", "，"), ID),
    "numerals with marks": (said(CN_ID, "零一二三四五六七八九", "、"), ID),
    "numerals and X": (said(WITH_X, "零一二三四五六七八九"), ID),
    "numerals and digits": (f"一一0101 1900零一01零零14 {'ok'}", ID),
    "numerals behind another number": (f"13800138000，{said(CN_ID, '零一二三四五六七八九')}", ID),
    "a phone in numerals": (said(MOBILE, "零一二三四五六七八九"), PHONE),
    "market numerals": (said(CN_ID, "〇〡〢〣〤〥〦〧〨〩"), ID),
    "English": (said(CN_ID, ENGLISH, " "), ID),
    "English with commas": (said(CN_ID, ENGLISH.title(), ", "), ID),
    "English over lines": (said(CN_ID, ENGLISH, "\n"), ID),
    "English with oh": (said(CN_ID, ENGLISH.replace("zero", "oh"), " "), ID),
    "English with X": (said(WITH_X, ENGLISH, " "), ID),
    "English with double": ("one one zero one zero one one nine triple zero one zero one double zero one four", ID),
    "a card in English": (said(CARD, ENGLISH, "-"), BANK),
    "pinyin": (said(CN_ID, "ling yi er san si wu liu qi ba jiu", " "), ID),
    "O and l": (CN_ID.translate(str.maketrans("01", "Ol")), ID),
    "o and I in groups": (f"{CN_ID[:6]} {CN_ID[6:14]} {CN_ID[14:]}".translate(str.maketrans("01", "oI")), ID),
    "a few of them": (CN_ID.replace("0", "O", 3), ID),
    "a card with O": (CARD.replace("0", "O"), BANK),
    "letters between": ("a".join(CN_ID), ID),
    "words between": ("的".join(CN_ID), ID),
    "a digit a row": ("\n".join(f"第{place}位：{digit}" for place, digit in enumerate(CN_ID)) + "\n", ID),
    "a digit a row, last cell": ("\n".join(f"{place}\t{digit}" for place, digit in enumerate(CN_ID)) + "\n", ID),
    "a digit a row, middle cell": ("\n".join(f"row {place}\t{digit}\tabc" for place, digit in enumerate(CN_ID)) + "\n", ID),
    "a digit a row, first cell": ("\n" + "\n".join(f"{digit}\tabc" for digit in CN_ID) + "\n", ID),
    "a digit in every second line": ("\n".join(f"{place}\n{digit}" for place, digit in enumerate(CN_ID)) + "\n", ID),
    "a digit in every third line": ("\n" + "\n".join(f"row\n{digit}\nmore" for digit in CN_ID) + "\n", ID),
    "a formula": (f'="{CN_ID[:9]}"&"{CN_ID[9:]}"', ID),
    "strings put together": (f"var a = '{CN_ID[:5]}' + '{CN_ID[5:11]}' + '{CN_ID[11:]}';", ID),
    "backwards": (f"no. {CN_ID[::-1]}", ID),
    "codes of ASCII": (" ".join(str(ord(one)) for one in CN_ID), ID),
}  # fmt: skip


def codes(text: str, direction: Direction = Direction.OUTBOUND) -> set[str]:
    return {one.code for one in IdentifierScanner(()).find(plain(text, direction).readings, AT)}


@pytest.mark.parametrize("name", FOUND)
def test_what_was_taken_apart_is_found(name: str) -> None:
    text, code = FOUND[name]
    assert code in codes(text), put_together(text.encode())


QUIET = (
    "一、二、三、四、五、六、七、八、九、十、十一、十二",
    "二〇二六年一月一日至二〇二六年十二月三十一日",
    "壹佰贰拾叁万肆仟伍佰陆拾柒元捌角玖分",
    "one of the two or three items; one to nine, zero defects",
    "qty\n1\n2\n3\n1\n2\n1\n5\n1\n1\n2\n3\n4\n1\n2\n1\n1\n2\n3\n1\n",
    "part no. O1O2-IlIO, lot 1O0I200l3, S/N 62O8480000000000IO",
    "".join(f"item {number}\t{number % 7}\t{number * 3}.50\n" for number in range(300)),
    "A1B2C3D4E5F6A7B8C9D0E1F2A3B4C5D6E7F8",
    "size 1 x 2 x 3, 4 pcs, 5 box, 6 ctn, 7 plt, 8 days, 9 men, 1 day, 2 men, 3 pcs, 4 box, 5 ctn, 6 plt, 7 d, 8 m, 9 p",
)


@pytest.mark.parametrize("text", QUIET)
def test_ordinary_text_stays_silent(text: str) -> None:
    assert not {code for code in codes(text) if code != "content.amount"}


def test_columns_of_figures_are_no_numbers() -> None:
    rows = random.Random(7)
    table = "".join(f"x\t{rows.randrange(10)}\t{rows.randrange(10)}\n" for _ in range(20_000))
    assert ID not in codes(table)


def test_more_than_is_put_together_is_said() -> None:
    flood = "".join(f"{number:06d}\n{number:06d}\n-\n" for number in range(100_000, 100_000 + disguises.MAX_FOUND + 5))
    assert "content.limit.disguises" in codes(flood)
    assert put_together(b"x " * (disguises.MAX_SEARCHED // 2) + "一".encode() * 20).more
    assert not put_together(b"x " * (disguises.MAX_SEARCHED // 2 + 10)).more


def test_hostile_text_takes_linear_time() -> None:
    for piece in ("1a", "一、", "one ", "O1", "1\n", "\t1\t\n", "48 ", "1 ", "零1", "double "):
        began = time.process_time()
        put_together((piece * (200_000 // len(piece))).encode())
        assert time.process_time() - began < 4, piece
    began = time.process_time()
    put_together(b"1\n" * 2_000_000)  # two seconds; a minute where a column grows by copying
    assert time.process_time() - began < 20
