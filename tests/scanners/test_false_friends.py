"""Numbers and words of trade that look like something else stay silent; what is really there is found however it is broken up.

Through the reader and both word scanners, as mail: the subject of a test is the text, not one function.
"""

from collections.abc import Sequence

import pytest

from scanners import registry
from scanners.base import Scanner
from scanners.message import Message
from tests.scanners.letters import plain, read

CN_ID = "110101190001010014"
CARD = "6228480000000000018"
ID, BANK, MOBILE = "content.identifier.cn_id18", "content.identifier.bank_card", "content.identifier.cn_mobile"


@pytest.fixture(scope="module")
def looking() -> Sequence[Scanner]:
    return registry.scanners(registry.Settings(local_domains=("corp.test",)), registry.dictionaries_of(), None)


async def said(looking: Sequence[Scanner], message: Message) -> set[str]:
    """Codes of words and numbers."""
    found = [finding.code for scanner in looking for finding in (await scanner.scan(message)).findings]
    return {code for code in found if code.startswith(("content.identifier", "content.account", "content.dictionary"))}


SILENT = {
    "DHL": "DHL waybill 1234567890, AWB 020-12345675",
    "UPS": "UPS tracking 1Z999AA10123456784",
    "FedEx": "FedEx 123456789012, door tag DT123456789012",
    "EMS": "EMS 单号 EA123456789CN，顺丰 SF1234567890123",
    "SF of fifteen digits": "顺丰快递 SF1390013800138",
    "phone inside a tracking number": "运单 JT3013800138000 已发",
    "phone inside a longer number": "批号 2026138001380001234",
    "phone with letters on": "料号 A13800138000B",
    "order with a date": "订单号 20260101138001380",
    "order of eighteen digits": "订单号 202601011234567890",
    "order of nineteen digits": "支付宝交易号 2026010122001412345678901234",
    "IBAN-like part": "part no. DE89-3704-0044 and GB12ABCD1234, see FR14-200",
    "part with check digits that fail": "item GB00WEST12345698765432",
    "HS codes": "HS编码 8471.30.00 / 8517620090 / 84713000",
    "container whose check digit fails": "container MSCU1234560, seal CN1234567",
    "LC number": "L/C No. LC0123456789012, issued 20260101, ref 0012345678901",
    "invoice": "Invoice INV-2026-000123, PI20260101-0001, contract SC-2026/0098-A",
    "customs declaration": "报关单号 220120261234567890 项 1",
    "bill of lading": "B/L COSU6123456780, voyage 0123W",
    "EAN": "EAN 6901234567892, ITF-14 16901234567899",
    "ISBN": "ISBN 978-7-302-51166-0",
    "serials": "S/N 4111111111111112, 862222222222222222",
    "bottom price is no word of ours": "到底价格如何？请到底价格处说明",
    "version and address": "firmware 1.2.3.4567890123, 192.168.100.100",
    "measures": "1200x800x1500 mm, 380V 50Hz 3.7kW, M12x1.75x60",
    "times": "2026-01-01 12:00:00 to 20260101T120000Z",
    "decimal in a cell": "数量\t138.00138000\t\n合计\t5.1114443334444\t\n",
    "decimal at a row's start": "138.00138000,张三,12\n",
    "decimal of a price": "单价：138.00138000 元",
}
"""Each is ordinary text of a trading company."""


@pytest.mark.parametrize("name", SILENT)
async def test_false_friends_stay_silent(looking: Sequence[Scanner], name: str) -> None:
    assert await said(looking, plain(SILENT[name])) == set()


@pytest.mark.parametrize("name", SILENT)
async def test_false_friends_stay_silent_in_a_table(looking: Sequence[Scanner], name: str) -> None:
    cells = "".join(f"<td>{word}</td>" for word in SILENT[name].split("\t"))
    page = f"Content-Type: text/html; charset=utf-8\n\n<table><tr>{cells}</tr></table>"
    assert await said(looking, read(page)) == set()


REAL = {
    "a phone with one odd separator": ("手机,138.00138000", MOBILE),
    "a phone beside its word, in a row": ("张三,手机,138.00138000,男", MOBILE),
    "a phone with blanks": ("电话 138 0013 8000", MOBILE),
    "a container": ("container CSQU3054383", "content.identifier.container"),
    "an IBAN": ("IBAN DE89 3704 0044 0532 0130 00", "content.identifier.iban"),
    "full-width": (CN_ID.translate({48 + n: 0xFF10 + n for n in range(10)}), ID),
    "zero-width": ("\u200b".join(CN_ID), ID),
    "look-alike digits": (CN_ID.translate({48 + n: 0x1D7CE + n for n in range(10)}), ID),
    "Arabic digits": (CN_ID.translate({48 + n: 0x660 + n for n in range(10)}), ID),
    "circled digits": ("①①0101190001010014", ID),
    "a check mark of another script": ("33010119000101004Х", ID),
    "hyphens": (f"{CN_ID[:6]}-{CN_ID[6:14]}-{CN_ID[14:]}", ID),
    "dots": (f"{CN_ID[:6]}.{CN_ID[6:14]}.{CN_ID[14:]}", ID),
    "en dashes": (f"{CN_ID[:6]}\u2013{CN_ID[6:14]}\u2013{CN_ID[14:]}", ID),
    "a card in fours": ("6228 4800 0000 0000 018", BANK),
    "broken over two lines": (f"身份证 {CN_ID[:10]}\n{CN_ID[10:]} 张三", ID),
    "broken over two lines after a hyphen": (f"身份证 {CN_ID[:10]}-\n{CN_ID[10:]}", ID),
    "broken over two quoted lines": (f"> 身份证 {CN_ID[:10]}\n> {CN_ID[10:]}", ID),
    "a card over two lines": (f"卡号 {CARD[:8]}\n{CARD[8:]}", BANK),
    "traditional words": ("請見合同總價如下", "content.dictionary.company"),
    "traditional words with blanks": ("合 同 總 價", "content.dictionary.company"),
    "words over two lines": ("合同\n总价", "content.dictionary.company"),
}
"""What is really there."""


@pytest.mark.parametrize("name", REAL)
async def test_what_is_there_is_found(looking: Sequence[Scanner], name: str) -> None:
    text, code = REAL[name]
    assert code in await said(looking, plain(text))


PAGES = {
    "a break": f"<p>{CN_ID[:10]}<br>{CN_ID[10:]}</p>",
    "a soft wrap in the source": f"<p>{CN_ID[:10]}\r\n{CN_ID[10:]}</p>",
    "cells": f"<table><tr><td>{CN_ID[:6]}</td><td>{CN_ID[6:14]}</td><td>{CN_ID[14:]}</td></tr></table>",
    "a cell for each digit": "<table><tr>" + "".join(f"<td>{digit}</td>" for digit in CN_ID) + "</tr></table>",
    "blocks in a row": "".join(f"<div style='display:inline-block'>{digit}</div>" for digit in CN_ID),
    "paragraphs": f"<p>{CN_ID[:10]}</p><p>{CN_ID[10:]}</p>",
}
"""One number in several pieces of a page."""


@pytest.mark.parametrize("name", PAGES)
async def test_a_number_in_pieces_of_a_page_is_found(looking: Sequence[Scanner], name: str) -> None:
    page = f"Content-Type: text/html; charset=utf-8\n\n<html><body>身份证 {PAGES[name]}</body></html>"
    assert ID in await said(looking, read(page))


async def test_soft_breaks_and_flowed_lines_are_joined(looking: Sequence[Scanner]) -> None:
    quoted = f"Content-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\n{CN_ID[:10]}=\n{CN_ID[10:]}\n"
    flowed = f"Content-Type: text/plain; format=flowed; delsp=yes\n\n{CN_ID[:10]} \n{CN_ID[10:]}\n"
    for raw in (quoted, flowed):
        assert ID in await said(looking, read(raw))
