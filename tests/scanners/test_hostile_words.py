"""Words, numbers, links and names dressed up for people and not for programs: each row must raise its finding, ordinary mail none."""

import base64
import time
from collections.abc import Mapping

import pytest

from scanners import mime, registry
from scanners.base import scan
from scanners.disguises import put_together
from scanners.message import Direction
from tests.scanners.attachments.samples import CN_ID
from tests.scanners.letters import envelope

PHRASE = "合同总价"
WORDS, NUMBER = "content.dictionary.company", "content.identifier.cn_id18"
PEOPLE = ("张伟", "wang.fang@corp.test")
SETTINGS = registry.Settings(local_domains=("corp.test",), people=PEOPLE)
SCANNERS = registry.scanners(SETTINGS, registry.dictionaries_of(), None)


async def codes(
    body: str, kind: str = "text/plain", author: str = "a@corp.test", direction: Direction = Direction.OUTBOUND
) -> set[str]:
    """What the scanners of a mail's own text say."""
    data = base64.encodebytes(body.encode()).decode()
    head = f"From: {author}\r\nTo: b@x.example\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    message = mime.parse(envelope(direction), (head + data).encode())
    seen = await scan(message, SCANNERS, None, 30.0, time.monotonic)
    return {finding.code for finding in seen.findings}


MARKS = (
    *"*·_/|、★—😀.~+:;#,'-", ")(", "\n", "\r\n", "\t", "\u3000", "\xa0", "\u2009", "\u2028", "\x0c",
)  # fmt: skip
RINGS = "⓿❶❷❸❹❺❻❼❽❾"
SEGMENTS = "".join(chr(0x1FBF0 + value) for value in range(10))
TAKEN_APART: Mapping[str, tuple[str, str]] = {
    **{f"a number with {mark!r}": (f"号码 {mark.join(CN_ID)} 。", NUMBER) for mark in MARKS},
    **{f"words with {mark!r}": (f"见 {mark.join(PHRASE)} 。", WORDS) for mark in MARKS},
    **{
        f"digits as {digits[1]}": ("".join(digits[int(digit)] for digit in CN_ID), NUMBER)
        for digits in (RINGS, SEGMENTS, "〇一二三四五六七八九", "零壹贰叁肆伍陆柒捌玖", "⓪①②③④⑤⑥⑦⑧⑨")
    },
    "over two lines": (f"{CN_ID[:9]}\r\n{CN_ID[9:]}", NUMBER),
    "over two quoted lines": (f"> {CN_ID[:9]}\r\n> {CN_ID[9:]}", NUMBER),
    "in three columns": (f"{CN_ID[:6]}\t{CN_ID[6:14]}\t{CN_ID[14:]}", NUMBER),
    "in brackets": ("".join(f"【{one}】" for one in PHRASE), WORDS),
    "from right to left": (f"\u202e{PHRASE[::-1]}", WORDS),
    "pasted as base64": (base64.encodebytes(f"{PHRASE} 见附件的第二页，请查收".encode()).decode(), WORDS),
}


async def test_what_was_taken_apart_is_put_together() -> None:
    unseen = [row for row, (text, code) in TAKEN_APART.items() if code not in await codes(text)]
    assert not unseen, f"{len(unseen)} of {len(TAKEN_APART)}: {unseen}"


def cells(text: str, tag: str) -> str:
    """Every letter in an element of its own."""
    return "".join(f"<{tag}>{one}</{tag.partition(' ')[0]}>" for one in text)


PAGES: Mapping[str, tuple[str, str]] = {
    "cells": (f"<table><tr>{cells(CN_ID, 'td')}</tr></table>", NUMBER),
    "floating blocks": (cells(CN_ID, "div style='float:left'"), NUMBER),
    "paragraphs": (cells(PHRASE, "p"), WORDS),
    "ruby": ("".join(f"<ruby>{one}<rt>q</rt></ruby>" for one in PHRASE), WORDS),
    "hidden by a reference": ("<i style='display&colon;none'>q</i>".join(PHRASE), WORDS),
    "zero characters": ("\0".join(PHRASE), WORDS),
    "a page in a frame": (f'<iframe srcdoc="{"&lt;b&gt;&lt;/b&gt;".join(PHRASE)}"></iframe>', WORDS),
    "without frames": (f"<noframes>{'<b></b>'.join(PHRASE)}</noframes>", WORDS),
    "generated": (
        "<style>.a:before{content:'" + "".join(f"\\{ord(one):x} " for one in PHRASE) + "'}</style><p class=a>",
        WORDS,
    ),
    "a braille blank": ("\u2800".join(PHRASE), WORDS),
}


async def test_pages_are_read_as_they_are_shown() -> None:
    unseen = [row for row, (page, code) in PAGES.items() if code not in await codes(f"<p>hi</p>{page}", "text/html")]
    assert not unseen, f"{len(unseen)} of {len(PAGES)}: {unseen}"


LINKS: Mapping[str, tuple[str, str]] = {
    "refresh": ("<meta http-equiv=refresh content='0;url=http://192.0.2.9/'>", "url.ip_host"),
    "a form": ("<form action='http://192.0.2.9/x'><input type=password></form>", "url.ip_host"),
    "a button": ("<button formaction='http://192.0.2.9/'>x</button>", "url.ip_host"),
    "a frame": ("<iframe src='http://192.0.2.9/'></iframe>", "url.ip_host"),
    "an object": ("<object data='http://[2001:db8::1]/x'></object>", "url.ip_host"),
    "a style sheet": ("<link rel=stylesheet href='http://192.0.2.9/x.css'>", "url.ip_host"),
    "a base": ("<base href='http://192.0.2.9/'>", "url.ip_host"),
    "a drawing": ("<svg><a xlink:href='javascript:alert(1)'><text>x</text></a></svg>", "url.scheme"),
    "an Office address": ("<a href='ms-word:ofe|u|http://x.test/x.docx'>x</a>", "url.scheme"),
    "a search": ("<a href='search-ms:query=x&crumb=location:x'>x</a>", "url.scheme"),
    "a share": ("<a href='\\\\192.0.2.9\\x'>x</a>", "url.scheme"),
}


async def test_addresses_anywhere_in_a_page() -> None:
    unseen = [row for row, (page, code) in LINKS.items() if code not in await codes(page, "text/html")]
    assert not unseen, f"{len(unseen)} of {len(LINKS)}: {unseen}"


NAMES = (
    "张伟（总经理） <x@mail.example>", "张伟总 <x@mail.example>", "张伟 - corp.test <x@mail.example>", "张伟/财务部 <x@mail.example>",
    '"wang.fang＠corp.test" <x@mail.example>', '"wang.fang@corp.test"@mail.example', "Fang Wang (Sales) <x@mail.example>",
)  # fmt: skip
STRANGERS = (
    "张伟明 <x@mail.example>",
    "Wang Fangyuan <x@mail.example>",
    "王总 <x@mail.example>",
    "Sales - ACME <x@mail.example>",
)


@pytest.mark.parametrize("author", NAMES)
async def test_names_of_colleagues_with_something_added(author: str) -> None:
    assert "impersonation.display_name" in await codes("hi", author=author, direction=Direction.INBOUND)


@pytest.mark.parametrize("author", STRANGERS)
async def test_names_that_only_begin_alike(author: str) -> None:
    assert "impersonation.display_name" not in await codes("hi", author=author, direction=Direction.INBOUND)


async def test_our_domain_without_its_dot() -> None:
    assert "impersonation.lookalike" in await codes("hi", author="x@corptest.example", direction=Direction.INBOUND)


CHANGES = (
    "do not use the previous account any more; use this one: DE89370400440532013000",
    "Unsere Bankverbindung hat sich geändert. Neue IBAN: DE89370400440532013000",
    "Nuestra cuenta bancaria ha cambiado. Nuevo IBAN: ES9121000418450200051332",
    "Nos coordonnées bancaires ont changé. Nouvel IBAN : FR1420041010050500013M02606",
    "振込先口座が変更になりました。新口座：GB29NWBK60161331926819",
)


@pytest.mark.parametrize("text", CHANGES)
async def test_changed_accounts_in_other_languages(text: str) -> None:
    assert "impersonation.changed_account" in await codes(text, author="x@acme.example", direction=Direction.INBOUND)


ORDINARY = (
    "尊敬的客户：\r\n\r\n　　报价见附件。交期：45 天；付款：T/T。第1条、第2条、第3条。\r\n电话：0574-8888 6666\r\n",
    "Item 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 are ready.\r\nQty: 120\r\n240\r\n360\r\n",
    "品名\t数量\t单价\r\n法兰\t100\t12.5\r\n弯头\t200\t3.2\r\n" * 20,
    "Order 110000\r\n220000\r\n330000\r\nPO 4500012345\r\n4500012346\r\n",
)


@pytest.mark.parametrize("text", ORDINARY)
@pytest.mark.parametrize("direction", [Direction.INBOUND, Direction.OUTBOUND])
async def test_ordinary_mail_raises_nothing(text: str, direction: Direction) -> None:
    assert await codes(text, author="x@acme.example", direction=direction) <= {
        "content.dictionary.price",
        "content.identifier.cn_landline",
    }


def test_plain_sentences_are_left_alone() -> None:
    assert not put_together("请确认交期，谢谢。Please confirm by 2026-11-30, qty 1,200.\r\n".encode() * 50).text
