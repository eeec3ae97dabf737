"""Whom From names: the plain forms, and every trick by which a reader sees somebody else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanners.authentication import headers
from tests.scanners.authentication.mail import prepare, split


def author(raw: bytes) -> headers.Author:
    return headers.author(prepare(raw), raw, split(raw))


def of(value: str | bytes) -> headers.Author:
    octets = value.encode() if isinstance(value, str) else value
    return author(b"To: x@corp.test\r\nFrom:" + octets + b"\r\n\r\nbody")


@pytest.mark.parametrize(
    ("value", "domain", "display"),
    [
        (" joe@a.test", "a.test", ""),
        (" Joe <joe@a.test>", "a.test", "Joe"),
        (' "Joe, Sales" <joe@A.Test>', "a.test", "Joe, Sales"),
        (" Joe (sales) <joe@a.test> (really)", "a.test", "Joe"),
        (" joe@a.test (Joe)", "a.test", ""),
        (" <joe@a.test>", "a.test", ""),
        ("\r\n Joe\r\n\t<joe@a.test>", "a.test", "Joe"),
        (" =?utf-8?B?5byg5LiJ?= <zhang@a.test>", "a.test", "张三"),
        (" =?gb2312?B?1cXI/Q==?= <zhang@a.test>", "a.test", "张三"),
        (" 张三 <张三@例子.test>", "xn--fsqu00a.test", "张三"),
        (" joe@a.test <joe@a.test>", "a.test", "joe@a.test"),
        (' "joe@a.test" <news@a.test>', "a.test", "joe@a.test"),
        (" joe.o'hara+x@a.test", "a.test", ""),
        (" a@sub_1.a.test", "sub_1.a.test", ""),
        (' "Doe @ Work" <joe@a.test>', "a.test", "Doe @ Work"),
    ],
)
def test_plain_authors(value: str, domain: str, display: str) -> None:
    result = of(value)
    assert (result.domains, result.display, result.ambiguous) == ((domain,), display, ())


@pytest.mark.parametrize(
    ("value", "reason", "domains"),
    [
        ("", "empty", ()),
        (" ", "empty", ()),
        (" <>", "no_address", ()),
        (" Joe", "no_address", ()),
        (" joe@", "no_address", ()),
        (" @a.test", "no_address", ()),
        (" a@a.test, b@b.test", "several_mailboxes", ("a.test", "b.test")),
        (" A <a@a.test>, B <b@b.test>", "several_mailboxes", ("a.test", "b.test")),
        (" <a@evil.test> <b@a.test>", "several_addresses", ("evil.test", "a.test")),
        (" Group: a@a.test, b@b.test;", "group", ("a.test", "b.test")),
        (" <@evil.test,@x.test:joe@a.test>", "source_route", ("a.test",)),
        (" <joe@a.test> evil@b.test", "text_after_address", ("a.test",)),
        (' "boss@bank.test" <x@evil.test>', "address_in_name", ("evil.test",)),
        (" boss@bank.test <x@evil.test>", "address_in_name", ("evil.test",)),
        (" =?utf-8?q?boss=40bank=2Etest?= <x@evil.test>", "address_in_name", ("evil.test",)),
        (" =?utf-8?b?Ym9zc0BiYW5rLnRlc3Q=?= <x@evil.test>", "address_in_name", ("evil.test",)),
        (" boss＠bank.test <x@evil.test>", "address_in_name", ("evil.test",)),
        (" x@evil.test (boss@bank.test)", "address_in_name", ("evil.test",)),
        (' "boss@bank.test"@evil.test', "several_at_signs", ("evil.test",)),
        (" boss@bank.test@evil.test", "several_at_signs", ("evil.test",)),
        (" boss@bank.test\0 <x@evil.test>", "control", ("evil.test",)),
        (" Joe\x07 <joe@a.test>", "control", ("a.test",)),
        (" \u202ejoe <joe@a.test>", "control", ("a.test",)),
        (" =?utf-8?q?a=00b?= <joe@a.test>", "control", ("a.test",)),
        (" =?utf-8?q?joe=0D=0AFrom=3A?= <joe@a.test>", "control", ("a.test",)),
        (" Joe <joe@a.test", "unterminated", ("a.test",)),
        (' "Joe <joe@a.test>', "unterminated", ()),
        (" (Joe <joe@a.test>", "unterminated", ()),
        (" joe@[192.0.2.1]", "odd_domain", ()),
        (" joe@a..test", "odd_domain", ()),
        (" joe@a.test.", "odd_domain", ("a.test",)),
        (" =?utf-8?q?joe=40bank.test?=", "odd_address", ()),
        (" =?utf-8?q?joe?=@a.test", "odd_address", ("a.test",)),
        (" <=?utf-8?q?joe?=@a.test>", "encoded_address", ("a.test",)),
        (" <joe@a.test (comment)>", "odd_address", ()),
        (" <jo e@a.test>", "odd_address", ("a.test",)),
        (" joe @a.test", "odd_address", ("a.test",)),
        (b" \xd5\xc5 <joe@a.test>", "not_utf8", ("a.test",)),
        (b" joe@\xd5\xc5.test", "not_utf8", ()),
        (" Joe\r\n \r\n <joe@a.test>", "blank_folding", ("a.test",)),
        (" x" * 5000 + " <joe@a.test>", "too_long", ()),
    ],
)
def test_tricks(value: str | bytes, reason: str, domains: tuple[str, ...]) -> None:
    result = of(value)
    assert reason in result.ambiguous, result
    if domains:
        assert result.domains == domains


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"To: x@corp.test\r\n\r\n", "missing"),
        (b"From: a@a.test\r\nFrom: b@b.test\r\n\r\n", "several_fields"),
        (b"From: a@a.test\r\nFROM: a@a.test\r\n\r\n", "several_fields"),
        (b"From: a@a.test\r\nFrom : b@b.test\r\n\r\n", "several_fields"),
        (b"From : a@a.test\r\n\r\n", "space_before_colon"),
        (b"From: a@a.test\r\n\xef\xbb\xbfFrom: b@b.test\r\n\r\n", "malformed_field"),
        (b"\0From: b@b.test\r\nFrom: a@a.test\r\n\r\n", "nul"),
        (b" From: b@b.test\r\nFrom: a@a.test\r\n\r\n", "malformed_field"),
        (b"Subject: x\nFrom: b@b.test\r\nFrom: a@a.test\r\n\r\n", "bare_line_end"),
        (b"Subject: x\rFrom: b@b.test\r\nFrom: a@a.test\r\n\r\n", "bare_line_end"),
        (b"Subject: x\n From: b@b.test\r\nFrom: a@a.test\r\n\r\n", "bare_line_end"),
    ],
)
def test_structure(raw: bytes, reason: str) -> None:
    assert reason in author(raw).ambiguous


@settings(max_examples=300)
@given(st.one_of(st.binary(max_size=200), st.text(alphabet='ab@.<>()",;:\\=?\r\n é张', max_size=60).map(str.encode)))
def test_anything_is_read_without_a_crash_and_domains_are_a_labels(value: bytes) -> None:
    result = of(value)
    assert all(domain.isascii() and domain == domain.lower() for domain in result.domains)
    assert result.domains or result.ambiguous
