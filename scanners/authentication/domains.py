"""Domain names as authentication compares them: lower-case A-labels (RFC 5890), never raw Unicode."""

from collections.abc import Callable
from functools import lru_cache

import idna
from publicsuffixlist import PublicSuffixList

from scanners.answers import MAX_NAME

MAX_TEXT = 1024
"""Characters of a domain as written that we look at; a U-label is never longer than its A-label's octets times a few."""

LDH = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")


def to_ascii(domain: str) -> str:
    """The lower-case A-label form, or ``""`` if it isn't a domain name. A trailing dot is dropped; underscores are let through."""
    if len(domain) > MAX_TEXT:
        return ""
    return _to_ascii(domain)


@lru_cache(maxsize=4096)
def _to_ascii(domain: str) -> str:
    if domain.isascii():
        name = domain.lower()
    else:
        try:
            name = idna.encode(domain, uts46=True, std3_rules=False, transitional=False).decode("ascii").lower()
        except (idna.IDNAError, UnicodeError, ValueError, IndexError):
            return ""
    name = name.removesuffix(".")
    if not name or len(name) > MAX_NAME:
        return ""
    if not all(0 < len(label) < 64 and LDH.issuperset(label) for label in name.split(".")):
        return ""
    return name


def split_address(address: str) -> tuple[str, str]:
    """Local part and domain of an SMTP address, at the last ``@`` (a quoted local part may hold others)."""
    local, _, domain = address.rpartition("@")
    return local, domain


def is_below(domain: str, parent: str) -> bool:
    """Whether ``domain`` is ``parent`` or a subdomain of it."""
    return domain == parent or domain.endswith("." + parent)


def public_suffixes() -> Callable[[str], bool]:
    """A test for the names under which registries register (ICANN part of the list that ships with the package; about 40 ms to load)."""
    suffixes = PublicSuffixList(accept_unknown=False, only_icann=True)

    def is_suffix(domain: str) -> bool:
        return bool(suffixes.publicsuffix(domain) == domain)

    return is_suffix
