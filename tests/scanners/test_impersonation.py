# ruff: noqa: E501 - tables read best with a row per line
"""Who the reader would take the sender for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanners.impersonation import ImpersonationScanner, addresses, one_edit
from scanners.message import Direction
from tests.scanners.letters import read

SCANNER = ImpersonationScanner(("corp.test", "example.com"), ("张三", "John Smith", "li.si@corp.test"))


async def said(head: str, direction: Direction = Direction.INBOUND) -> set[str]:
    result = await SCANNER.scan(read(head + "\n\nx", direction))
    assert {one.code for one in result.findings} <= {one.code for one in SCANNER.codes}
    return {one.code.removeprefix("impersonation.") for one in result.findings}


CASES = [
    ("From: =?utf-8?B?5byg5LiJ?= <zs@gmail.com>", "display_name"), ('From: "张 三" <a@x.test>', "display_name"), ("From: John Smith <a@x.test>", "display_name"),
    ('From: "Smith, John" <a@x.test>', "display_name"), ("From: Jоhn Smith <a@x.test>", "display_name"), ("From: Li.Si <q@y.org>", "display_name"),
    ('From: "ceo@corp.test" <x@evil.org>', "display_name"), ("From: a@c0rp.test", "lookalike"), ("From: x@exarnple.com", "lookalike"),
    ("From: x@exmaple.com", "lookalike"), ("From: x@example-finance.com", "lookalike"), ("From: x@example.com.evil.org", "lookalike"),
    ("From: x@exаmple.com", "lookalike"), ("From: x@xn--exmple-4nf.com", "lookalike"), ("From: x@example.net", "lookalike"), ("From: a@corp.test", "own_domain"),
    ("From: a@mail.corp.test", "own_domain"), ("From: x@partner.org\nReply-To: x@gmail.com", "reply_to"), ("From: x@partner.org\nReply-To: x@other.org", "reply_to"),
    ("From: x@partner.org\nReply-To: x@examp1e.com", "lookalike"), ("From: x@partner.org\nFrom: a@corp.test", "own_domain"),
]  # fmt: skip


@pytest.mark.parametrize(("head", "code"), CASES)
async def test_found(head: str, code: str) -> None:
    assert code in await said(head)


@pytest.mark.parametrize(
    "head",
    ["From: Jane Doe <jane@partner.org>", "From: x@sample.com", "From: x@counterexample.com", "From: x@partner.org\nReply-To: y@mail.partner.org",
     "From: x@partner.org\nReply-To: y@corp.test", "From: ", "Subject: x", "From: x@corporate.test"],
)  # fmt: skip
async def test_silent(head: str) -> None:
    assert await said(head) == set()


@pytest.mark.parametrize("ours", ["例子.测试", "XN--FSQU00A.xn--0zwm56d"])
@pytest.mark.parametrize("domain", ["例子.测试", "xn--fsqu00a.xn--0zwm56d", "mail.xn--fsqu00a.xn--0zwm56d"])
async def test_our_own_domain_in_either_form(ours: str, domain: str) -> None:
    result = await ImpersonationScanner((ours,)).scan(read(f"From: ceo@{domain}\n\nx", Direction.INBOUND))
    assert [one.code for one in result.findings] == ["impersonation.own_domain"]


async def test_outbound_is_not_looked_at() -> None:
    assert await said("From: a@corp.test", Direction.OUTBOUND) == set()


@given(st.text(max_size=200))
def test_addresses_never_raise(text: str) -> None:
    addresses(text)


def test_edits() -> None:
    assert one_edit("abcd", "abdc")
    assert one_edit("abcd", "abc")
    assert not one_edit("abcd", "abcd")
    assert not one_edit("abcd", "badc")
