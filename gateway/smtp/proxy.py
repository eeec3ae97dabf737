"""What a trusted hop says about the client behind it: PROXY protocol v1 and v2, XCLIENT, XFORWARD. Sans-io parsers.

The formats are HAProxy's proxy-protocol.txt and Postfix's XCLIENT_README and XFORWARD_README. Whether the hop is trusted is not
decided here.
"""

import ipaddress
from dataclasses import dataclass

from gateway.smtp.addresses import KEYWORD, ParameterError, xtext

V2_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
MAX_V1 = 107
"""Octets of a v1 header with its CRLF (proxy-protocol.txt 2.1)."""
MAX_V2 = 16 + 4096
"""Octets of a v2 header with its TLVs: the length field would allow 65 kB, no proxy comes near 4."""
XCLIENT_NAMES = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN", "DESTADDR", "DESTPORT")
XFORWARD_NAMES = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE")
MAX_VALUE = 255
"""Characters of one decoded attribute (XFORWARD_README)."""
UNAVAILABLE = ("[UNAVAILABLE]", "[TEMPUNAVAIL]")


class ProxyError(ValueError):
    """Not a PROXY header; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class Proxied:
    """A whole header: ``size`` octets of it, and the source address, or None (LOCAL, UNKNOWN, UNSPEC: the hop speaks for itself)."""

    size: int
    source: str | None
    local: bool = False


def parse_proxy(data: bytes) -> Proxied | None:
    """Read a PROXY header at the start of ``data``; None when more octets are needed. Raises ProxyError."""
    if data[:12] == V2_SIGNATURE:
        return _v2(data)
    if V2_SIGNATURE.startswith(data[:12]) or b"PROXY ".startswith(data[:6]):
        return None if len(data) < 12 and not data.startswith(b"PROXY ") else _v1(data)
    if data.startswith(b"PROXY "):
        return _v1(data)
    raise ProxyError("no PROXY header")


def attributes(text: str, names: tuple[str, ...]) -> dict[str, str | None]:
    """``NAME=value ...`` of XCLIENT or XFORWARD; a value of None means the hop doesn't know it. Raises ParameterError."""
    found: dict[str, str | None] = {}
    for word in text.split():
        keyword, equals, value = word.partition("=")
        keyword = keyword.upper()
        if not equals or not value or not KEYWORD.fullmatch(keyword):
            raise ParameterError("attributes are NAME=value")
        if keyword not in names:
            raise ParameterError(f"{keyword} is not an attribute offered here")
        if keyword in found:
            raise ParameterError(f"{keyword} given twice")
        decoded = xtext(value)
        if not decoded.isprintable() or len(decoded) > MAX_VALUE:
            raise ParameterError(f"bad value of {keyword}")
        found[keyword] = None if decoded.upper() in UNAVAILABLE else decoded
    if not found:
        raise ParameterError("attributes are NAME=value")
    return found


def address(text: str | None) -> str | None:
    """An ADDR attribute in its one spelling (IPv4-mapped as IPv4); None stays None. Raises ParameterError."""
    if text is None:
        return None
    bare = text[5:] if text[:5].upper() == "IPV6:" else text
    try:
        return canonical(bare)
    except ValueError as error:
        raise ParameterError("bad value of ADDR") from error


def canonical(text: str) -> str:
    """One spelling for an IP address. Raises ValueError."""
    ip = ipaddress.ip_address(text)
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.scope_id:
            ip = ipaddress.IPv6Address(int(ip))
        if ip.ipv4_mapped:
            ip = ip.ipv4_mapped
    return str(ip)


def _v1(data: bytes) -> Proxied | None:
    end = data.find(b"\n", 0, MAX_V1)
    if end < 0:
        if len(data) >= MAX_V1:
            raise ProxyError("v1 header over 107 octets")
        return None
    if not data.startswith(b"PROXY ") or data[end - 1 : end] != b"\r":
        raise ProxyError("malformed v1 header")
    try:
        words = data[6 : end - 1].decode("ascii").split(" ")
    except UnicodeDecodeError as error:
        raise ProxyError("malformed v1 header") from error
    if words[0] == "UNKNOWN":
        return Proxied(end + 1, None)
    if len(words) != 5 or words[0] not in ("TCP4", "TCP6"):
        raise ProxyError("malformed v1 header")
    family, source, destination, *ports = words
    kind = ipaddress.IPv4Address if family == "TCP4" else ipaddress.IPv6Address
    try:
        kind(source), kind(destination)
    except ValueError as error:
        raise ProxyError("malformed v1 address") from error
    for port in ports:
        if (
            not port.isdecimal()
            or not port.isascii()
            or len(port) > 5
            or int(port) > 65535
            or (port[0] == "0" and port != "0")
        ):
            raise ProxyError("malformed v1 port")
    return Proxied(end + 1, canonical(source))


def _v2(data: bytes) -> Proxied | None:
    if len(data) < 16:
        return None
    if data[12] >> 4 != 2:
        raise ProxyError("unknown version")
    command, family = data[12] & 15, data[13]
    size = 16 + int.from_bytes(data[14:16], "big")
    if size > MAX_V2:
        raise ProxyError("v2 header over 4112 octets")
    if len(data) < size:
        return None
    if command == 0:
        return Proxied(size, None, local=True)
    if command != 1:
        raise ProxyError("unknown v2 command")
    if family == 0x11:
        if size < 16 + 12:
            raise ProxyError("truncated v2 address")
        return Proxied(size, canonical(str(ipaddress.IPv4Address(data[16:20]))))
    if family == 0x21:
        if size < 16 + 36:
            raise ProxyError("truncated v2 address")
        return Proxied(size, canonical(str(ipaddress.IPv6Address(data[16:32]))))
    if family == 0x00:
        return Proxied(size, None)
    raise ProxyError("v2 transport is not TCP")
