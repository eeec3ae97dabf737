"""PROXY headers, XCLIENT and XFORWARD attributes: good ones, malformed ones, and any cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smtp.addresses import ParameterError
from gateway.smtp.proxy import (
    MAX_V2,
    V2_SIGNATURE,
    XCLIENT_NAMES,
    Proxied,
    ProxyError,
    address,
    attributes,
    parse_proxy,
)


def v2(command: int, family: int, body: bytes, length: int | None = None) -> bytes:
    return V2_SIGNATURE + bytes([command, family]) + (len(body) if length is None else length).to_bytes(2, "big") + body


FOUR = bytes([198, 18, 0, 9, 127, 0, 0, 1, 0x9C, 0x40, 0, 25])
SIX = bytes.fromhex("20010db8000000000000000000000009") + bytes(15) + b"\x01" + b"\x9c\x40\x00\x19"
MAPPED = bytes(10) + b"\xff\xff" + bytes([198, 18, 0, 9]) + bytes(16) + bytes(4)

GOOD = [
    (b"PROXY TCP4 198.18.0.9 127.0.0.1 40000 25\r\n", "198.18.0.9"),
    (b"PROXY TCP6 2001:DB8:0::9 ::1 40000 25\r\n", "2001:db8::9"),
    (b"PROXY TCP6 ::ffff:198.18.0.9 ::1 0 65535\r\n", "198.18.0.9"),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", None),
    (v2(0x21, 0x11, FOUR), "198.18.0.9"),
    (v2(0x21, 0x11, FOUR + b"\x04\x00\x01x"), "198.18.0.9"),
    (v2(0x21, 0x21, SIX), "2001:db8::9"),
    (v2(0x21, 0x21, MAPPED), "198.18.0.9"),
    (v2(0x21, 0x00, b""), None),
    (v2(0x20, 0x00, b""), None),
    (v2(0x20, 0x11, FOUR), None),
]
BAD = [
    b"EHLO h.example\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00",
    b"PROXY\r\n",
    b"PROXYTCP4 1.2.3.4 1.2.3.4 1 1\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1 1\r\n",
    b"PROXY TCP4 1.2.3.4  1.2.3.4 1 1\r\n",
    b"PROXY TCP4 ::1 ::1 1 1\r\n",
    b"PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r\n",
    b"PROXY TCP5 1.2.3.4 1.2.3.4 1 1\r\n",
    b"PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n",
    b"PROXY tcp4 1.2.3.4 1.2.3.4 1 1\r\n",
    b"PROXY TCP4 1.2.3.256 1.2.3.4 1 1\r\n",
    b"PROXY TCP4 01.2.3.4 1.2.3.4 1 1\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 65536 1\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 -1 1\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 \xd9\xa1\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1\r\r\n",
    b"PROXY UNKNOWN " + b"x" * 100 + b"\r\n",
    v2(0x31, 0x11, FOUR),
    v2(0x11, 0x11, FOUR),
    v2(0x22, 0x11, FOUR),
    v2(0x21, 0x12, FOUR),
    v2(0x21, 0x31, bytes(216)),
    v2(0x21, 0x11, FOUR[:11]),
    v2(0x21, 0x21, SIX[:35]),
    v2(0x21, 0x11, b"", MAX_V2),
]


@pytest.mark.parametrize(("header", "source"), GOOD)
def test_good_headers(header: bytes, source: str | None) -> None:
    assert parse_proxy(header + b"EHLO") == Proxied(len(header), source, local=header[:13] == V2_SIGNATURE + b"\x20")
    for end in range(len(header)):
        assert parse_proxy(header[:end]) is None


@pytest.mark.parametrize("header", BAD)
def test_malformed_headers(header: bytes) -> None:
    with pytest.raises(ProxyError):
        parse_proxy(header)


@given(
    st.binary(max_size=40), st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", V2_SIGNATURE, V2_SIGNATURE + b"\x21\x11"])
)
def test_anything_is_a_header_or_refused_within_its_bound(data: bytes, start: bytes) -> None:
    try:
        header = parse_proxy(start + data)
    except ProxyError:
        return
    assert header is None or header.size <= len(start + data)


def test_a_v1_header_without_an_end_is_given_up() -> None:
    with pytest.raises(ProxyError):
        parse_proxy(b"PROXY TCP4 " + b"1" * 200)


def test_attributes() -> None:
    found = attributes("NAME=mail.s.example addr=IPV6:2001:db8::1 helo=a+2Bb LOGIN=[unavailable]", XCLIENT_NAMES)
    assert found == {"NAME": "mail.s.example", "ADDR": "IPV6:2001:db8::1", "HELO": "a+b", "LOGIN": None}
    assert address(found["ADDR"]) == "2001:db8::1"
    assert address(None) is None


@pytest.mark.parametrize(
    "text", ["", "ADDR", "ADDR=", "=1", "ADDR=1 ADDR=2", "FOO=1", "NAME=a+0Ab", "NAME=a+G0", "NAME=" + "x" * 256]
)
def test_malformed_attributes(text: str) -> None:
    with pytest.raises(ParameterError):
        attributes(text, XCLIENT_NAMES)


@pytest.mark.parametrize("text", ["1.2.3", "localhost", "IPV6:1.2.3.4.5", "[1.2.3.4]", "1.2.3.4/8"])
def test_malformed_addresses(text: str) -> None:
    with pytest.raises(ParameterError):
        address(text)
