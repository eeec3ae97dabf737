# ruff: noqa: E501 - tables read best with a row per line
"""Identity numbers, cards, accounts and amounts: the shared table of valid examples and near misses, evasions, false friends."""

import os
from pathlib import Path

import pytest

from scanners.accounts import compact
from scanners.amounts import Amounts, han_number
from scanners.finding import Finding
from scanners.identifiers import CODES, IdentifierScanner, masked
from scanners.normalise import normalise
from tests.cost import least_s
from tests.scanners.letters import AT, plain, read

OWN = ("6222 0200 0000 0000 026",)


@pytest.fixture(scope="module")
def scanner() -> IdentifierScanner:
    return IdentifierScanner(OWN)


@pytest.fixture(scope="module")
def by_re2() -> IdentifierScanner:
    return IdentifierScanner(OWN, "re2")


def found(scanner: IdentifierScanner, text: str) -> dict[str, Finding]:
    return {one.code.partition(".")[2]: one for one in scanner.find(plain(text).readings, AT)}


def rows() -> list[tuple[str, str, str, str]]:
    path = Path(os.environ.get("SEALGATE_SHARED", Path(__file__).parents[3] / "shared")) / "data" / "identifiers.tsv"
    if not path.exists():
        return []
    lines = [
        line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")
    ]
    return [(line[0], line[1], line[2].replace("\\n", "\n"), line[3] if len(line) > 3 else "") for line in lines]


def test_the_shared_table_is_there() -> None:
    if not rows():
        assert not os.environ.get("CI"), "identifiers.tsv missing"
        pytest.skip("identifiers.tsv missing: set SEALGATE_SHARED")
    assert len(rows()) > 120


FRAMES = ["{c}{e}", "{c}：{e}，谢谢", "请看 {c} {e} 完", "{c}: {e}。", "{e} ({c})"]


@pytest.mark.parametrize(("detector", "kind", "example", "context"), rows())
def test_valid_is_found_and_near_misses_are_not(
    scanner: IdentifierScanner, by_re2: IdentifierScanner, detector: str, kind: str, example: str, context: str
) -> None:
    code = "identifier." + detector.replace(".", "_")
    for frame in FRAMES:
        text = frame.format(c=context, e=example)
        assert (code in found(scanner, text)) == (kind == "valid"), text
        assert found(scanner, text) == found(by_re2, text)


OWN_EXAMPLES = [
    ("1101 0119 0001 0100 14", "identifier.cn_id18"), ("110101-19000101-0014", "identifier.cn_id18"), ("１１０１０１１９０００１０１００１４", "identifier.cn_id18"),
    ("身份证33010119000101004Х，", "identifier.cn_id18"), ("3301011900010100 4x", "identifier.cn_id18"), ("1 1 0 1 0 1 1 9 0 0 0 1 0 1 0 0 1 4", "identifier.cn_id18"),
    ("①①0101190001010014", "identifier.cn_id18"), ("1101011900\u200b01010014", "identifier.cn_id18"), ("6228-4800-0000-0000-018", "identifier.bank_card"),
    ("6228 4800 0000 0000 018", "identifier.bank_card"), ("4111.1111.1111.1111", "identifier.bank_card"), ("+86 138-0013-8000", "identifier.cn_mobile"),
    ("手机13800138000。", "identifier.cn_mobile"), ("Tel.13800138000", "identifier.cn_mobile"), ("1.13800138000\n2.张三", "identifier.cn_mobile"),
    ("张三,13800138000.0,男", "identifier.cn_mobile"), ("尾号 622202.0000000000026", "identifier.bank_card"), ("ID 110101.190001010014", "identifier.cn_id18"),
    ("4111111111111111 x 3", "identifier.bank_card"), ("XX11 DE89 3704 0044 0532 0130 00", "identifier.iban"), ("the IBAN DE89 3704 0044 0532 0130 00 and more", "identifier.iban"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "code"), OWN_EXAMPLES)
def test_separators_and_disguises(scanner: IdentifierScanner, text: str, code: str) -> None:
    assert code in found(scanner, text)


SILENT = ["快递 YT13800138000123", "订单号202401011380013800", "流水 9913800138000777", "13800138000@163.com", "110101201801010016", "2024-01-01 12:00:00",
          "192.168.100.100", "5.1118874\t425.1114443334444\t138.00138000\t\n", "a,4.111111111111111,1.3800138000\n", "ISBN 978-7-302-51166-0", "版本 1.2.3.4.5.6.7.8.9", "J18.9", "PO20240101-0001"]  # fmt: skip


@pytest.mark.parametrize("text", SILENT)
def test_false_friends_stay_silent(scanner: IdentifierScanner, text: str) -> None:
    assert found(scanner, text) == {}


def test_a_child_needs_the_context_word(scanner: IdentifierScanner) -> None:
    from scanners.checks import cn_id18

    number = next(n for d in "0123456789X" if cn_id18(n := "11010120180101001" + d))
    assert found(scanner, f"订单 {number}") == {}
    assert "identifier.cn_id18" in found(scanner, f"身份证 {number}")


def test_counts_are_distinct_and_evidence_is_masked(scanner: IdentifierScanner) -> None:
    one = found(scanner, "110101190001010014 和 110101190001010014 和 310101190503150022")["identifier.cn_id18"]
    assert one.count == 2
    assert one.evidence is not None
    assert one.evidence.masked == "1101**********0014"
    assert (one.evidence.offset, one.evidence.length) == (0, 18)
    assert masked("13800138000") == "13*******00"


def test_text_and_html_of_one_number_count_once(scanner: IdentifierScanner) -> None:
    body = 'Content-Type: multipart/alternative; boundary="b"\n\n--b\n\n110101190001010014\n--b\nContent-Type: text/html\n\n<p>110101<b>19000101</b>0014\n--b--\n'
    assert [one.count for one in scanner.find(read(body).readings, AT)] == [1]


def test_accounts(scanner: IdentifierScanner) -> None:
    assert set(found(scanner, "6222020000000000026")) == {"identifier.bank_card", "account.own"}
    assert "account.foreign" not in found(scanner, "银行账号 6222020000000000026")
    assert "account.foreign" in found(scanner, "收款账号: 12345678901234 开户行")
    assert "account.foreign" in found(scanner, "收款账户: 开户行 示例银行")
    assert "account.foreign" in found(scanner, "银行账号 6222020000000000026，账号 12345678901234")
    assert found(scanner, "编号 12345678901234") == {}
    assert compact("gb82 west-1234") == "GB82WEST1234"


@pytest.mark.parametrize(
    "text",
    ["我司账户变更，请付至 账号 12345678901234", "please use our new bank account: DE89370400440532013000", "原账户停用，改为账号：12345678901234", "our account has been changed, account number 12345678901234"],
)  # fmt: skip
def test_changed_accounts(scanner: IdentifierScanner, text: str) -> None:
    assert "changed_account" in found(scanner, text)


def test_changed_words_need_a_foreign_account_nearby(scanner: IdentifierScanner) -> None:
    assert "changed_account" not in found(scanner, "账户变更流程说明")
    assert "changed_account" not in found(scanner, "账户变更，新账号 6222020000000000026")
    assert "changed_account" not in found(scanner, "账户变更" + "无关。" * 300 + "账号 12345678901234")


AMOUNTS = [
    ("人民币壹佰贰拾万元整", "CNY", "1200000"), ("USD 120,000.00", "USD", "120000.00"), ("￥3500", "CNY", "3500"), ("总计120万元", "CNY", "1200000"),
    ("1.2亿美元", "USD", "120000000.0"), ("€ 1.234,56", "EUR", "1234.56"), ("US$ 3.5 million.", "USD", "3500000.0"), ("玖佰捌拾元叁角伍分", "CNY", "980.35"),
    ("壹億貳仟萬圓整", "CNY", "120000000"), ("¥１２０，０００", "CNY", "120000"), ("500 dollars", "USD", "500"),
    ("RMB 1,200,000,00", "CNY", "1200000.00"), ("1.200.00 元", "CNY", "1200.00"), ("EUR 1.234,567", "EUR", "1234567"), ("$1,234.567", "USD", "1234.567"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "currency", "value"), AMOUNTS)
def test_amounts(scanner: IdentifierScanner, text: str, currency: str, value: str) -> None:
    read_as = Amounts.build().find(normalise(text).data)
    assert [(str(one.value), one.currency) for one in read_as] == [(value, currency)]
    said = found(scanner, text)["amount"]
    assert (said.about, said.score) == (currency, int(float(value)))


def test_numerals() -> None:
    assert [han_number(text) for text in ("十五", "二百零三", "一万二千", "两亿", "二〇二四")] == [
        15,
        203,
        12000,
        200000000,
        2024,
    ]


def test_a_flood_of_numbers_is_bounded_and_said(scanner: IdentifierScanner) -> None:
    flood = "1 " * 1_100_000 + "\n6228480000000000018"
    assert "limit.numbers" in found(scanner, flood)
    assert least_s(lambda: found(scanner, flood), 10) < 10


def test_a_large_sheet_is_read_to_its_end(scanner: IdentifierScanner) -> None:
    rows = "".join(f"{n}\t{n * 0.73:.12f}\t2026-11-22\t{1700000000000 + n}\t{n * 7919:010}\t\n" for n in range(20_000))
    assert found(scanner, rows) == {}
    assert least_s(lambda: found(scanner, rows), 2) < 2
    said = found(scanner, rows + "13800138000\t6228480000000000018\t\n")
    assert set(said) == {"identifier.bank_card", "identifier.cn_mobile", "account.foreign"}


def test_a_long_list_in_one_run_is_read_to_its_end(scanner: IdentifierScanner) -> None:
    assert set(found(scanner, "12345 67890 " * 30_000 + "13800138000")) == {"identifier.cn_mobile"}


DECOYS = [
    ("XX00 0000 0000 0000 ", "DE89 3704 0044 0532 0130 00", "identifier.iban"),
    ("DE00 0000 0000 0000 ", "DE89 3704 0044 0532 0130 00", "identifier.iban"),
    ("台胞证12345678901 ", "台胞证12345678", "identifier.cn_twpermit"),
    ("91350100M000100Y44 ", "91350100M000100Y43", "identifier.cn_uscc"),
]


@pytest.mark.parametrize(("decoy", "real", "code"), DECOYS)
def test_decoys_hide_nothing(scanner: IdentifierScanner, decoy: str, real: str, code: str) -> None:
    assert code in found(scanner, decoy * 3_000 + real)


async def test_scan_and_codes(scanner: IdentifierScanner) -> None:
    result = await scanner.scan(plain("身份证 110101190001010014" + "。" * 70_000))
    assert {one.code for one in result.findings} <= {one.code for one in CODES}
    assert result.findings
