"""Paths, domains and parameters of RFC 5321, 3461 and 6531."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smtp.addresses import AddressError, ParameterError, a_label, domain_key, parameters, path, xtext
from tests.cost import least_s

GOOD = [
    ("<a@s.example>", "a@s.example", ""),
    ("<A.b+tag=x@S.Example> SIZE=1  BODY=7BIT", "A.b+tag=x@S.Example", "SIZE=1  BODY=7BIT"),
    ("<@one.example,@two.example:a@s.example>", "a@s.example", ""),
    ('<"plain"@s.example>', "plain@s.example", ""),
    ('<"two words"@s.example>', '"two words"@s.example', ""),
    ('<"a>b"@s.example> X=1', '"a>b"@s.example', "X=1"),
    ('<"a\\"b"@s.example>', '"a\\"b"@s.example', ""),
    ('<"a@b"@s.example>', '"a@b"@s.example', ""),
    ("<a@[192.0.2.1]>", "a@[192.0.2.1]", ""),
    ("<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]", ""),
    ("<postmaster>", "postmaster", ""),
    ("<PostMaster>", "PostMaster", ""),
    ("<张三@例子.中国>", "张三@例子.中国", ""),
    ("<" + "l" * 64 + "@s.example>", "l" * 64 + "@s.example", ""),
]
BAD = [
    "", "a@s.example", "<a@s.example", "<<a@s.example>>", "<a@s.example>x", "<>", "<@s.example>", "<a@>", "<a>", "<a@@s.example>",
    "<a@b@s.example>", "<a b@s.example>", "<.a@s.example>", "<a.@s.example>", "<a..b@s.example>", "<a@.example>", "<a@s.example.>",
    "<a@-s.example>", "<a@s-.example>", "<a@s..example>", "<a@s_.example >", "<a\t@s.example>", "<a\x7f@s.example>", '<"a@s.example>',
    '<""@s.example>', '<"a"b@s.example>', '<"a\x01"@s.example>', "<a@[1.2.3]>", "<a@[IPv6:1.2.3.4]>", "<a@[1.2.3.4>",
    "<a@[fe80::1%eth0]>", "<a@[IPv6:fe80::1%eth0]>", '<a@[IPv6:fe80::1%"> BODY=8BITMIME "]>',
    "<@:a@s.example>", "<@one.example a@s.example>", "<one.example:a@s.example>", "<a@" + "x" * 64 + ".example>",
    "<a@" + "x." * 130 + "example>", "<" + "l" * 65 + "@s.example>", "<\udc80@s.example>", "<a@\udc80.example>", "<a@例 子.中国>",
]  # fmt: skip


@pytest.mark.parametrize(("text", "address", "rest"), GOOD)
def test_paths(text: str, address: str, rest: str) -> None:
    box, after = path(text, utf8=True, sender=False)
    assert (str(box), after) == (address, rest)


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_path(text: str) -> None:
    with pytest.raises(AddressError):
        path(text, utf8=True, sender=False)


def test_null_and_long_senders() -> None:
    assert str(path("<>", utf8=False, sender=True)[0]) == ""
    assert path("<" + "l" * 128 + "@s.example>", utf8=False, sender=True)
    with pytest.raises(AddressError):
        path("<postmaster>", utf8=False, sender=True)
    with pytest.raises(AddressError):
        path("<" + "l" * 129 + "@s.example>", utf8=False, sender=True)


def test_what_only_lacks_smtputf8_is_told_apart() -> None:
    for text in ("<张三@s.example>", "<a@例子.中国>", "<@例子.中国:a@s.example>"):
        with pytest.raises(AddressError) as error:
            path(text, utf8=False, sender=False)
        assert error.value.utf8


def test_one_domain_has_one_key() -> None:
    assert a_label("例子.中国") == "xn--fsqu00a.xn--fiqs8s" == domain_key("XN--FSQU00A.xn--fiqs8s")
    assert domain_key("[IPv6:2001:DB8:0:0::1]") == domain_key("[IPV6:2001:db8::1]")


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for candidate in (text, f"<{text}>", f'<"{text}"@s.example>', f"<a@{text}>"):
        try:
            box, _ = path(candidate, utf8=True, sender=False)
        except AddressError:
            continue
        again, rest = path(f"<{box}>", utf8=True, sender=False)
        assert (again, rest) == (box, "")


def test_long_text_costs_little() -> None:
    def read() -> None:
        for text in (
            "<" * 12_000,
            '<"' + "\\" * 12_000,
            "<" + "@a," * 4_000,
            "<a@" + "a." * 6_000 + ">",
            "<" + "a." * 6_000 + "@b>",
        ):
            with pytest.raises(AddressError):
                path(text, utf8=True, sender=False)

    assert least_s(read, 0.5) < 0.5


def test_parameters() -> None:
    assert parameters("size=10 SMTPUTF8  envid=AbC") == {"SIZE": "10", "SMTPUTF8": None, "ENVID": "AbC"}
    for text in (
        "=",
        "A=",
        "A==",
        "A=b=c",
        "-A=1",
        "A=1 a=2",
        "A\t=1",
        "A=\x01",
        "ü=1",
        " ".join(f"A{n}=1" for n in range(21)),
    ):
        with pytest.raises(ParameterError):
            parameters(text)


def test_xtext() -> None:
    assert xtext("plain") == "plain"
    assert xtext("a+2Bb+3D") == "a+b="
    for text in ("+", "+2", "+2b", "+GG", "a+"):
        with pytest.raises(ParameterError):
            xtext(text)
