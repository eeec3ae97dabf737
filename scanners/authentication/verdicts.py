"""What authentication found: frozen records, one per mechanism, each with the record and reason that decided it."""

from dataclasses import dataclass
from enum import StrEnum

from msgspec import Struct


class Verdict(StrEnum):
    """Result words of RFC 8601 2.7, shared by all mechanisms; each uses its own subset."""

    NONE = "none"
    PASS = "pass"  # noqa: S105  # a result word
    FAIL = "fail"
    SOFTFAIL = "softfail"
    NEUTRAL = "neutral"
    POLICY = "policy"
    """Signed and perhaps valid, but in a way we don't accept (RFC 8601 2.7.1): never counts as authenticated."""
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


class Disposition(StrEnum):
    """What a domain owner asks for mail that fails DMARC (RFC 9989 4.7)."""

    NONE = "none"
    QUARANTINE = "quarantine"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Spf:
    """The SPF verdict (RFC 7208). ``judged`` is False when the client's address isn't known: that is not a fail.

    ``domain`` is the A-label domain that was checked, by ``identity`` ("mailfrom" or "helo"); ``record`` the text that decided, found at
    ``record_domain``; ``mechanism`` its term that matched; ``explanation`` what the domain owner says, stranger's text, printable ASCII.
    """

    verdict: Verdict
    domain: str = ""
    identity: str = "mailfrom"
    record: str = ""
    record_domain: str = ""
    mechanism: str = ""
    reason: str = ""
    explanation: str = ""
    judged: bool = True


class Dkim(Struct, frozen=True):
    """The verdict on one DKIM signature (RFC 6376), top signature first.

    ``flags`` are stable words for what is odd about it: ``length`` (l=), ``weak_key`` (RSA under 2048), ``weak_algorithm``, ``testing``
    (t=y), ``duplicate_header``, ``expired``, ``unsigned_subject`` ... ``bits`` is the size of the RSA key, 256 for Ed25519.
    """

    verdict: Verdict
    domain: str = ""
    selector: str = ""
    identity: str = ""
    algorithm: str = ""
    bits: int = 0
    record: str = ""
    reason: str = ""
    signature: str = ""
    """The first characters of b=, to tell signatures apart (RFC 6008)."""
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Arc:
    """The verdict on the ARC chain (RFC 8617). ``trusted`` is the trusted sealer that vouches for the author domain, or ``""``."""

    verdict: Verdict
    instances: int = 0
    sealers: tuple[str, ...] = ()
    """d= of each seal, oldest first."""
    reason: str = ""
    trusted: str = ""
    vouched: str = ""
    """The statement of the trusted sealer that was relied on, e.g. ``i=1 dmarc=pass``."""


@dataclass(frozen=True, slots=True)
class Dmarc:
    """The DMARC verdict on one author domain (RFC 9989).

    ``disposition`` is what the owner asks for on a fail (``t=y`` makes it none), ``requested`` the policy as published; ``record`` was
    found at ``record_domain``; ``organization`` is the organizational domain, ``""`` when it wasn't needed. ``aligned`` names the
    identifiers that passed and align: ``spf``, ``dkim``.
    """

    verdict: Verdict
    domain: str = ""
    disposition: Disposition = Disposition.NONE
    requested: Disposition = Disposition.NONE
    record: str = ""
    record_domain: str = ""
    organization: str = ""
    spf_aligned: bool = False
    dkim_aligned: bool = False
    testing: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Author:
    """Whom the From fields name. ``ambiguous`` holds one stable word per reason why a reader might see somebody else."""

    domains: tuple[str, ...] = ()
    """Distinct A-label domains of all mailboxes, in order; empty if none can be read."""
    address: str = ""
    """The mailbox, when there is exactly one."""
    display: str = ""
    ambiguous: tuple[str, ...] = ()

    @property
    def domain(self) -> str:
        """The first author domain, or ``""``."""
        return self.domains[0] if self.domains else ""


@dataclass(frozen=True, slots=True)
class Authentication:
    """Everything about who sent a message, as events, rules and the Authentication-Results field cite it."""

    spf: Spf
    dkim: tuple[Dkim, ...]
    arc: Arc
    dmarc: Dmarc
    author: Author
    sender: str = ""
    helo: str = ""
    duplicates: tuple[str, ...] = ()
    """Singleton header fields that occur more than once, lower case."""

    @property
    def from_domain(self) -> str:
        """The author domain that DMARC judged."""
        return self.author.domain
