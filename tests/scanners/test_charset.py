# ruff: noqa: E501 - tables read best with a row per line
"""Charsets as mail really uses them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanners import charset
from scanners.charset import CODECS, decode
from scanners.encoded import text_of

CASES = [
    ("合同总价", "gb2312", "gb18030", ""), ("镕堃", "gb2312", "gb18030", ""), ("合同总价", "GBK", "gb18030", ""), ("合同總價", "big5", "cp950", ""),
    ("契約金額", "Shift_JIS", "cp932", ""), ("契約金額", "iso-2022-jp", "iso2022_jp", ""), ("합계", "ks_c_5601-1987", "cp949", ""),
    ("合同总价", "hz-gb-2312", "hz", ""), ("合同总价", "utf-7", "utf-7", "utf7"), ("合同", "utf-16", "utf-16", ""), ("合同总价", "", "gb18030", ""),
    ("合同总价", "", "utf-8", ""), ("合同总价", "x-unknown", "gb18030", "unknown_charset"), ("é", "iso-8859-1", "latin-1", ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "label", "codec", "trouble"), CASES)
def test_labels(text: str, label: str, codec: str, trouble: str) -> None:
    decoded = decode(text.encode(codec), label)
    assert (decoded.text, decoded.trouble) == (text, trouble)


@pytest.mark.parametrize(
    ("content", "label"),
    [("合同总价".encode("gbk"), "utf-8"), ("合同总价".encode("gbk"), "iso-8859-1"), ("合同总价".encode("hz"), "us-ascii"), ("合同".encode("iso2022_jp"), "")],
)  # fmt: skip
def test_a_wrong_label_leaves_a_second_reading(content: bytes, label: str) -> None:
    assert "合同" in decode(content, label).other


def test_iso_2022_cn() -> None:
    assert decode(b"\x1b$)A\x0e:OM,\x0f abc", "iso-2022-cn").text == "合同 abc"


def test_noise_is_unreadable() -> None:
    assert decode(bytes(range(128, 256)) * 4 + b"\xff\xff\xff", "utf-8").trouble in ("undecodable", "wrong_charset")
    assert decode(b"\x80\xff" * 100, "euc-kr").trouble == "undecodable"


@given(st.binary(max_size=200), st.sampled_from([*CODECS, "", "zlib", "idna", "unicode_escape", "x"]))
def test_decode_never_raises_and_gives_text(content: bytes, label: str) -> None:
    decoded = decode(content, label)
    decoded.text.encode("utf-8")
    decoded.other.encode("utf-8")


WORDS = [
    (b"=?utf-8?Q?=E5=90=88=E5=90=8C?=", "合同"), (b"Re: =?GBK?b?us/NrA==?= x", "Re: 合同 x"), (b"=?utf-8?B?5ZA=?=\r\n =?utf-8?B?iOWQjA==?=", "合同"),
    (b"=?utf-8*zh?Q?a_b?=", "a b"), (b"=?utf-8?B?5ZCI5ZCM", "合同"), (b"=?x?y?z", "=?x?y?z"), (b"a =?b", "a =?b"), (b"=?utf-8?Q?a b?=", "a b"),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "expected"), WORDS)
def test_encoded_words(raw: bytes, expected: str) -> None:
    assert text_of(raw) == expected


@pytest.mark.parametrize("codec", ["cp037", "cp500", "cp273", "cp1026", "cp1140"])
@pytest.mark.parametrize("label", ["", "us-ascii", "utf-8", "iso-8859-1", "gb2312", "x-unknown"])
def test_ebcdic_without_its_label(codec: str, label: str) -> None:
    found = decode("customer id card 110101190001010014 thank you".encode(codec), label)
    assert "110101190001010014" in found.text + found.other


@pytest.mark.parametrize("label", ["ibm037", "cp037", "IBM500", "ebcdic-cp-us", "cp273"])
def test_ebcdic_with_its_label(label: str) -> None:
    assert "110101190001010014" in decode("id 110101190001010014".encode("cp037"), label).text


@pytest.mark.parametrize("codec", ["utf-32-le", "utf-32-be"])
def test_utf_32_without_a_mark(codec: str) -> None:
    text = "客户身份证号 110101190001010014"
    assert decode(text.encode(codec)).text == text


@pytest.mark.parametrize("text", ["客户身份证号码，请查收附件。", "合同总价为人民币三千元整，谢谢合作"])
@pytest.mark.parametrize("codec", ["gb18030", "big5", "shift_jis", "euc_kr"])
def test_east_asian_text_is_no_ebcdic(text: str, codec: str) -> None:
    assert not charset.is_ebcdic(text.encode(codec, "ignore"))
