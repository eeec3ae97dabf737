# ruff: noqa: E501 - tables read best with a row per line
"""Words as people write and hide them, false friends, and equal findings from both engines."""

import os
from pathlib import Path

import pytest

from scanners.dictionaries import Dictionaries, DictionaryError, DictionaryScanner, find, load
from scanners.normalise import normalise, skeleton
from scanners.patterns import PatternError, compiled, prefilter
from tests.cost import least_s
from tests.scanners.letters import plain, read

SHIPPED = (Path(__file__).parents[2] / "scanners" / "data" / "keywords.toml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def lists() -> Dictionaries:
    return load(SHIPPED)


@pytest.fixture(scope="module")
def by_re2() -> Dictionaries:
    return load(SHIPPED, engine="re2")


def hits(lists: Dictionaries, text: str) -> dict[str, tuple[int, int]]:
    return {
        one.code.removeprefix("content.dictionary."): (one.count, one.score)
        for one in find(lists, plain(text).readings)
    }


COMPANY = [
    "合同总价", "本 合 同 總 價：USD 120,000", "合\u200b同\u00ad总\u2060价", "合　同　总　价", "合同\n总价", "合同總價", "銀行帳號", "银行帐号", "合同總価", "合͏同总价",
    "银\ufe0f行账号", "⾦合同总价", "合 \t 同 总 价",
]  # fmt: skip


@pytest.mark.parametrize("text", COMPANY)
def test_the_company_list_sees_through(lists: Dictionaries, text: str) -> None:
    assert "company" in hits(lists, text)


LATIN = [
    "cost price",
    "COST  PRICE",
    "cost\nprice",
    "ｃｏｓｔ ｐｒｉｃｅ",
    "сost рriсe",
    "c\u200bost price",
    "的cost price是",
    "cost_price.xlsx",
    "𝐜𝐨𝐬𝐭 price",
    "c̶o̶s̶t̶ price",
]


@pytest.mark.parametrize("text", LATIN)
def test_latin_phrases(lists: Dictionaries, text: str) -> None:
    assert hits(lists, text)["price"] == (1, 6)


SILENT = ["到底价格是多少？", "彻底价", "bottom price guarantee program", "recost prices", "报价和单价", "报价 USD", "> 底价\n好的", "帐篷", "机密的事", "合同很重要，总价不变", "",
          "This mail is strictly confidential. If you are not the intended recipient, delete it."]  # fmt: skip


@pytest.mark.parametrize("text", SILENT)
def test_false_friends_stay_silent(lists: Dictionaries, text: str) -> None:
    assert hits(lists, text) == {}


def test_weights_longest_and_overlaps(lists: Dictionaries) -> None:
    assert hits(lists, "底价 底价 成本价")["price"] == (2, 12)
    assert hits(lists, "合同总价")["price"] == (1, 6)
    assert "price_weak" not in hits(lists, "合同总价")
    assert hits(lists, "合同总价 总价")["price_weak"] == (1, 2)
    assert hits(lists, "报价 USD 50")["price_weak"] == (1, 2)
    assert hits(lists, "到底价，底价")["price"] == (1, 6)
    assert hits(lists, "> 合同总价") == {"company": (1, 1)}
    assert hits(lists, "底价\n-----原始邮件-----\n成本价")["price"] == (2, 12)
    assert "price" not in hits(lists, "好\n-----原始邮件-----\n成本价")


def test_groups_marks_and_evidence(lists: Dictionaries) -> None:
    found = {one.code: one for one in find(lists, plain("病历和CVV\n机密★10年\n").readings)}
    assert found["content.dictionary.sensitive"].about == "financial,medical"
    assert "content.dictionary.state_secret" in found
    evidence = find(lists, plain("请看合同总价").readings)[0].evidence
    assert evidence is not None
    assert (evidence.masked, evidence.offset, evidence.length) == ("合同**", 2, 4)


def test_subject_names_and_hidden_text(lists: Dictionaries) -> None:
    subject = read("Subject: =?utf-8?B?5ZCI5ZCM5oC75Lu3?=\n\nx")
    named = read('Content-Type: application/zip; name="合同总价.zip"\n\nx')
    hidden = read("Content-Type: text/html; charset=utf-8\n\n<i hidden>合同总价</i>x")
    split = read("Content-Type: text/html; charset=utf-8\n\n合<i hidden>x</i>同<b>总</b>价")
    for message in (subject, named, hidden, split):
        assert "content.dictionary.company" in {one.code for one in find(lists, message.readings)}


@pytest.mark.parametrize(
    "text", [*COMPANY, *LATIN, *SILENT, "病历", "密级：机密", "sort_code_2", "AKIA0000000000000000"]
)
def test_both_engines_find_the_same(lists: Dictionaries, by_re2: Dictionaries, text: str) -> None:
    readings = plain(text).readings
    assert find(lists, readings) == find(by_re2, readings)


async def test_the_scanner_answers_for_long_texts_too(lists: Dictionaries) -> None:
    result = await DictionaryScanner(lists).scan(plain("无关的文字" * 20_000 + "合同总价"))
    assert "content.dictionary.company" in {one.code for one in result.findings}
    assert {one.code for one in DictionaryScanner(lists).codes} >= {one.code for one in result.findings}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1", "must be a table"), ("[a]\nweight = true\nany = ['b']", "weight"), ("[a]\nany = 'x'", "list of phrases"),
        ("[a]\nregex = ['(?=x)']", "RE2"), ("[a]\nregex = ['x*']", "empty text"), ("[a]", "no phrases"), ("[a", "TOML"),
        ("[a]\nany = ['b']\nseverity = 'x'", "severity"), ("[a]\nany = ['']", "list of phrases"), ("[a]\nwieght = 3\nany = ['b']", "wieght"),
    ],
)  # fmt: skip
def test_errors_say_what_to_do(text: str, said: str) -> None:
    with pytest.raises(DictionaryError, match=said):
        load(text)


def test_later_files_replace_tables_and_change_versions(lists: Dictionaries) -> None:
    other = load(SHIPPED, '[company]\nany = ["蓝图"]\nsingle_hit = true')
    assert "company" in hits(other, "蓝图")
    assert "company" not in hits(other, "合同总价")
    assert other.version != lists.version
    assert other.versions["price"] == lists.versions["price"]
    assert other.versions["company"] != lists.versions["company"]


def test_the_shared_lists_load_and_fire() -> None:
    path = Path(os.environ.get("SEALGATE_SHARED", Path(__file__).parents[3] / "shared")) / "data" / "keywords.toml"
    if not path.exists():
        assert not os.environ.get("CI"), f"{path} missing"
        pytest.skip(f"{path} missing: set SEALGATE_SHARED")
    lists = load(path.read_text(encoding="utf-8"))
    assert set(hits(lists, "合同总价")) == {"company", "price"}


def test_bad_patterns_are_refused() -> None:
    with pytest.raises(PatternError):
        compiled("(a")
    assert prefilter([]).present(b"x") == []


def test_a_thousand_keywords_cost_one_pass() -> None:
    words = ", ".join(f'"词语{chr(0x4E00 + number)}号"' for number in range(1000))
    big, small = load(f"[a]\nany = [{words}]"), load('[a]\nany = ["词语一号"]')
    readings = plain("尊敬的客户您好，请查收附件资料。please find attached" * 400).readings

    def cost(lists: Dictionaries) -> float:
        find(lists, readings)
        return least_s(lambda: [find(lists, readings) for _ in range(50)], 0)

    assert cost(big) < 20 * cost(small) + 0.05


def test_normalise_keeps_places_and_clean_text() -> None:
    clean = normalise("尊敬的客户，您好 abc")
    assert (clean.text, clean.place(3)) == ("尊敬的客户，您好 abc", 3)
    assert normalise("①２Ⅻ٣𝟏❶").text == "12XII311"
    assert skeleton("с0rp.test") == skeleton("corp.test")


@pytest.mark.parametrize("piece", ["合 ", " ", "合\u3000", "Ａ", "價", "а", "\u200b"])
def test_normalise_is_linear(piece: str) -> None:
    assert least_s(lambda: normalise(piece * 100_000), 2) < 2
