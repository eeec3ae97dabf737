"""Named lists: allow lists, whose entries need a passing authentication, a reason and an expiry, and watch lists, which only add.

An exception is never made for a name that anybody can write into a mail: an ``allow`` entry says by which proof its party is known.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from policies.decision import Title
from policies.facts import Facts, domain_of, fold_address, fold_domain

PROOFS: Mapping[str, Title] = {
    "dmarc": Title("DMARC 通过，核对信头 From", "DMARC passed; From is compared"),
    "dkim": Title("signer 所写的域的 DKIM 签名通过", "a DKIM signature of the domain in signer passed"),
    "spf": Title("SPF 通过，核对信封发件人", "SPF passed; the envelope sender is compared"),
    "arc": Title("受信任的 ARC 签署者（signer 可限定）", "a trusted ARC sealer, signer may name it"),
    "login": Title("发件人登录过（SMTP AUTH），核对登录名", "the sender logged in (SMTP AUTH); the login is compared"),
    "relay": Title(
        "来自准许中继的内网客户端（outbound 监听）", "came by an outbound listener, from a network allowed to relay"
    ),
}
"""What may prove who an allow entry's party is."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a list. ``sender`` and ``recipient`` are an address or a domain (then its subdomains too), or empty: any."""

    name: str
    allow: bool
    sender: str
    recipient: str
    proof: str
    signer: str
    reason: str
    expires: date | None

    def source(self) -> str:
        """The entry as one line, for hashing."""
        day = self.expires.isoformat() if self.expires else ""
        kind = "allow" if self.allow else "watch"
        return "\t".join((kind, self.name, self.sender, self.recipient, self.proof, self.signer, day))


def tester(entries: Sequence[Entry]) -> Callable[[Facts], bool | None]:
    """Whether any entry applies; unknown when one would but for the date, which isn't known."""
    kept = tuple(entries)

    def test(facts: Facts) -> bool | None:
        result: bool | None = False
        for entry in kept:
            value = applies(entry, facts)
            if value:
                return True
            if value is None:
                result = None
        return result

    return test


def applies(entry: Entry, facts: Facts) -> bool | None:
    """Whether the entry's parties are those of the mail, proven as it says, on or before its last day."""
    if entry.recipient and not _party(entry.recipient, facts.recipient):
        return False
    if entry.proof and not _proven(entry, facts):
        return False
    if entry.sender and not _party(entry.sender, _identity(entry, facts)):
        return False
    if entry.expires is None:
        return True
    return None if facts.context.now is None else facts.context.now.date() <= entry.expires


def _party(wanted: str, address: str | None) -> bool:
    if not address:
        return False
    if "@" in wanted:
        return address == wanted
    domain = domain_of(address)
    return domain == wanted or domain.endswith("." + wanted)


def _identity(entry: Entry, facts: Facts) -> str | None:
    """The address that the entry's proof speaks of."""
    common = facts.common
    if entry.proof == "login":
        return logged_in(facts)
    return common.from_address if entry.proof in ("dmarc", "dkim", "arc") else common.sender


def logged_in(facts: Facts) -> str | None:
    """Whose login it is: the envelope sender is what the same person wrote beside it, and may be a colleague's address.

    A login without a domain is the sender's if it is the local part of an address of ours.
    """
    common, user = facts.common, fold_address(facts.common.user or "")
    if "@" in user:
        return user
    local, _, domain = (common.sender or "").rpartition("@")
    return common.sender if local == user and domain in facts.context.local_domains else None


def _proven(entry: Entry, facts: Facts) -> bool:
    common = facts.common
    found = common.by_code
    if entry.proof == "dmarc":
        return "auth.dmarc.pass" in found and "auth.from.ambiguous" not in found
    if entry.proof == "spf":
        return any(fold_domain(one.about) in (common.sender_domain, "") for one in found.get("auth.spf.pass", ()))
    if entry.proof == "dkim":
        return any(fold_domain(one.about) == entry.signer for one in found.get("auth.dkim.pass", ()))
    if entry.proof == "arc":
        return any(
            not entry.signer or fold_domain(one.about) == entry.signer for one in found.get("auth.arc.trusted", ())
        )
    if entry.proof == "login":
        return bool(common.user)
    return common.direction == "outbound"
