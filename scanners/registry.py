"""The explicit list of what a message is looked at with, and the catalogue of every code that can be said."""

from dataclasses import dataclass
from importlib.resources import files

from scanners import base, dictionaries, disguises, escapes, identifiers, impersonation, mime, urls
from scanners.attachments import codes as attachments
from scanners.attachments.clamav import ClamavScanner
from scanners.authentication import codes as authentication
from scanners.authentication.scanner import AuthenticationScanner
from scanners.base import Scanner
from scanners.dictionaries import Dictionaries, DictionaryScanner
from scanners.finding import Code
from scanners.identifiers import IdentifierScanner
from scanners.impersonation import ImpersonationScanner
from scanners.resolver import Resolver
from scanners.urls import UrlScanner

CATALOGUE: tuple[Code, ...] = (
    *base.CODES,
    *mime.CODES,
    *authentication.CODES,
    *attachments.CODES,
    attachments.CLAMAV,
    *dictionaries.CODES,
    *identifiers.CODES,
    *impersonation.CODES,
    *urls.CODES,
)
"""Policies are checked against it when they load, and docs/reference/findings.md is made from it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What scanners need to know of a configuration."""

    local_domains: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    own_accounts: tuple[str, ...] = ()
    trusted_sealers: tuple[str, ...] = ()
    clamav_address: str = ""
    clamav_timeout_s: float = 20.0


def dictionaries_of(own: str = "") -> Dictionaries:
    """The shipped words and the operator's own TOML text. Raises DictionaryError."""
    shipped = (files("scanners") / "data" / "keywords.toml").read_text(encoding="utf-8")
    return dictionaries.load(shipped, own) if own else dictionaries.load(shipped)


def scanners(settings: Settings, words: Dictionaries, resolver: Resolver | None) -> tuple[Scanner, ...]:
    """Everything a message is looked at with; without a resolver nothing asks the DNS (examples, tests)."""
    escapes.prepare()
    disguises.prepare()
    made: list[Scanner] = []
    if resolver is not None:
        made.append(
            AuthenticationScanner(
                resolver, local_domains=settings.local_domains, trusted_sealers=settings.trusted_sealers
            )
        )
    if settings.clamav_address:
        made.append(ClamavScanner(settings.clamav_address, settings.clamav_timeout_s))
    made += [
        DictionaryScanner(words),
        IdentifierScanner(settings.own_accounts),
        ImpersonationScanner(settings.local_domains, settings.people),
        UrlScanner(),
    ]
    return tuple(made)
