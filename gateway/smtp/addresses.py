"""The grammar of RFC 5321 paths and ESMTP parameters, of RFC 3461 xtext, and domains in their A-label form. Pure.

Everything is linear: hand code and single character classes, never a pattern with two ways to match the same text.
"""

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache

import idna

ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+")
LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?")
HEX = re.compile(r"[0-9A-F]{2}")
KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")

MAX_LOCAL_BYTES = 64
"""RFC 5321 4.5.3.1.1: the local part of a recipient."""
MAX_SENDER_LOCAL_BYTES = 128
"""A sender's local part: bounce addresses (VERP, SRS) exceed 64 in daily mail, and refusing them refuses good mail."""
MAX_DOMAIN_BYTES = 255
"""RFC 5321 4.5.3.1.2."""
MAX_LABEL_BYTES = 63
"""RFC 1035 2.3.4."""
REMEMBERED = 1024
"""Paths read lately, with what followed them: a company's own people come up all day. At most 4 MB, since lines are bounded."""
MAX_PARAMETERS = 20
"""More than any extension we offer can need in one command."""


class AddressError(ValueError):
    """Not a path by the grammar; the text says which rule it breaks. ``utf8`` when only SMTPUTF8 is missing."""

    def __init__(self, text: str, *, utf8: bool = False) -> None:
        super().__init__(text)
        self.utf8 = utf8


class ParameterError(ValueError):
    """A parameter that can't be read; the text names it."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """``local`` without needless quotes; ``domain`` as written, ``""`` for ``<postmaster>``; ``key`` is the domain to compare by."""

    local: str
    domain: str
    key: str

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}" if self.domain else self.local


NULL = Mailbox("", "", "")
"""``<>``, the sender of notices."""


def a_label(domain: str) -> str:
    """The domain in lower case, U-labels as A-labels (RFC 5890), so that two spellings of one domain compare equal.

    Raises AddressError for a domain that has no A-label form.
    """
    if domain.isascii():
        return domain.lower()
    try:
        return idna.encode(domain, uts46=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError) as error:
        raise AddressError("domain is not a valid internationalised name") from error


@lru_cache(maxsize=REMEMBERED)
def path(text: str, *, utf8: bool, sender: bool) -> tuple[Mailbox, str]:
    """Read ``<...>`` (RFC 5321 4.1.2) at the start of ``text``; returns the mailbox and what follows it, stripped.

    A source route is read and dropped (appendix C). The null path is allowed for a sender, a bare ``<postmaster>`` for a recipient.
    ``utf8``: SMTPUTF8 was asked for. Raises AddressError.
    """
    if not text.startswith("<"):
        raise AddressError("the address must stand in <>")
    end = _closing(text)
    inner, rest = text[1:end], text[end + 1 :]
    if rest and not rest.startswith(" "):
        raise AddressError("a blank must follow >")
    if not inner:
        if sender:
            return NULL, rest.strip(" ")
        raise AddressError("a recipient is needed")
    return mailbox(inner, utf8=utf8, sender=sender), rest.strip(" ")


def mailbox(text: str, *, utf8: bool, sender: bool) -> Mailbox:
    """Read what stands between the angle brackets, but for the null path. Raises AddressError."""
    if not text.isprintable() or "\x7f" in text:
        raise AddressError("control characters in the address")
    if text.startswith("@"):
        text = _without_route(text, utf8=utf8)
    local, domain = _split(text)
    limit = MAX_SENDER_LOCAL_BYTES if sender else MAX_LOCAL_BYTES
    if len(local.encode("utf-8", "surrogateescape")) > limit:
        raise AddressError(f"local part over {limit} octets")
    if not text.isascii() and not utf8:
        raise AddressError("address needs SMTPUTF8", utf8=True)
    if not domain and not sender and local.lower() == "postmaster":
        return Mailbox(local, "", "")
    return Mailbox(_canonical_local(local), domain, domain_key(domain))


def domain_key(domain: str) -> str:
    """Check a domain or address literal (RFC 5321 4.1.2, 4.1.3) and give the form to compare by. Raises AddressError."""
    if domain.startswith("["):
        return _literal(domain)
    key = a_label(domain)
    if not key:
        raise AddressError("the address has no domain")
    if len(key) > MAX_DOMAIN_BYTES:
        raise AddressError(f"domain over {MAX_DOMAIN_BYTES} octets")
    for label in key.split("."):
        if len(label) > MAX_LABEL_BYTES or not LABEL.fullmatch(label):
            raise AddressError("not a domain name")
    return key


def parameters(text: str) -> dict[str, str | None]:
    """ESMTP parameters (RFC 5321 4.1.2) as keyword in upper case -> value as written. Raises ParameterError."""
    found: dict[str, str | None] = {}
    if not text:
        return found
    words = text.split(" ")
    if len(words) > MAX_PARAMETERS:
        raise ParameterError("too many parameters")
    for word in words:
        if not word:
            continue
        keyword, equals, value = word.partition("=")
        if not KEYWORD.fullmatch(keyword) or (equals and not value):
            raise ParameterError("malformed parameter")
        if not value.isprintable() or "=" in value:
            raise ParameterError(f"malformed value of {keyword.upper()}")
        if keyword.upper() in found:
            raise ParameterError(f"{keyword.upper()} given twice")
        found[keyword.upper()] = value if equals else None
    return found


def xtext(text: str) -> str:
    """Decode RFC 3461 4 xtext. Raises ParameterError when it isn't xtext."""
    if "+" not in text:
        return text
    head, *pieces = text.split("+")
    out = bytearray(head.encode("utf-8", "surrogateescape"))
    for piece in pieces:
        if not HEX.match(piece):
            raise ParameterError("malformed xtext")
        out.append(int(piece[:2], 16))
        out += piece[2:].encode("utf-8", "surrogateescape")
    return out.decode("utf-8", "surrogateescape")


def _closing(text: str) -> int:
    """Index of the ``>`` that ends the path, quoted strings skipped."""
    if '"' not in text:
        end = text.find(">")
        if end < 0 or text.find("<", 1, end) > 0:
            raise AddressError("the address must stand in <>")
        return end
    quoted = escaped = False
    for index, char in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and char == "\\":
            escaped = True
        elif char == '"':
            quoted = not quoted
        elif char == ">" and not quoted:
            return index
        elif char == "<" and index and not quoted:
            break
    raise AddressError("the address must stand in <>")


def _without_route(text: str, *, utf8: bool) -> str:
    """Drop ``@a,@b:`` after checking it."""
    route, colon, rest = text.partition(":")
    if not colon or not rest:
        raise AddressError("malformed source route")
    for hop in route.split(","):
        if not hop.startswith("@"):
            raise AddressError("malformed source route")
        if not hop.isascii() and not utf8:
            raise AddressError("address needs SMTPUTF8", utf8=True)
        domain_key(hop[1:])
    return rest


def _split(text: str) -> tuple[str, str]:
    """Local part and domain; a quoted local part may hold ``@``."""
    if not text.startswith('"'):
        local, _, domain = text.partition("@")
        if "@" in domain:
            raise AddressError("more than one @ in the address")
        return local, domain
    escaped = False
    for index in range(1, len(text)):
        if escaped:
            escaped = False
        elif text[index] == "\\":
            escaped = True
        elif text[index] == '"':
            if index + 1 < len(text) and text[index + 1] != "@":
                break
            return text[: index + 1], text[index + 2 :]
    raise AddressError("malformed quoted local part")


def _canonical_local(local: str) -> str:
    """Check the local part; quotes that aren't needed are dropped, so that one mailbox has one spelling (RFC 5321 4.1.2)."""
    if not local.startswith('"'):
        if not _dot_string(local):
            raise AddressError("malformed local part")
        return local
    plain: list[str] = []
    escaped = False
    for char in local[1:-1]:
        if escaped or char != "\\":
            plain.append(char)
            escaped = False
        else:
            escaped = True
    text = "".join(plain)
    if not text:
        raise AddressError("empty local part")
    return text if _dot_string(text) else local


def _dot_string(text: str) -> bool:
    return all(atom and (ATOM.fullmatch(atom) or _utf8_atom(atom)) for atom in text.split("."))


def _utf8_atom(atom: str) -> bool:
    """RFC 6531 3.3: UTF8-non-ascii joins atext. Lone surrogates are bytes that weren't UTF-8."""
    return not atom.isascii() and all(
        ATOM.fullmatch(char) if char.isascii() else not "\ud800" <= char <= "\udfff" for char in atom
    )


def _literal(domain: str) -> str:
    if not domain.endswith("]"):
        raise AddressError("malformed address literal")
    inner = domain[1:-1]
    if "%" in inner:
        # A zone (RFC 4007) is no part of a literal, and behind its sign the library takes anything, blanks and > too.
        raise AddressError("malformed address literal")
    try:
        if inner[:5].upper() == "IPV6:":
            return f"[{ipaddress.IPv6Address(inner[5:])}]"
        return f"[{ipaddress.IPv4Address(inner)}]"
    except ValueError as error:
        raise AddressError("malformed address literal") from error
