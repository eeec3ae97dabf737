"""The hundred messages of compare_auth.py and the zone they are judged by."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dkim as signer

from tests.scanners.authentication.mail import PLAIN, ed_key, pem, record, rsa_key, sign
from tests.scanners.authentication.test_headers import test_structure, test_tricks
from tests.scanners.authentication.test_scanner import SAW, seal

GOOD, BAD = "192.0.2.1", "198.51.100.9"
NOW = int(time.time())
AT = datetime.fromtimestamp(NOW, UTC)
H = [b"from", b"to", b"subject", b"date", b"message-id", b"content-type"]


@dataclass(frozen=True, slots=True)
class Case:
    """One message and its envelope."""

    name: str
    raw: bytes
    ip: str = BAD
    sender: str = "x@elsewhere.test"
    helo: str = "mx.elsewhere.test"
    at: datetime = AT


def zone() -> dict[str, Any]:
    """Everything the messages ask for."""
    spf = {
        "fail": "-all",
        "soft": "~all",
        "neutral": "?all",
        "all": "+all",
        "incl": "include:a.test -all",
        "redir": "redirect=a.test",
        "a": "a -all",
        "mx": "mx -all",
        "void": "a:no1.test a:no2.test a:no3.test -all",
        "bad": "foo:bar -all",
        "dead": "include:servfail.test -all",
        "loop": "include:loop.spf.test -all",
        "ip6": "ip6:2001:db8::/32 -all",
        "macro": "exists:%{ir}.x.spf.test -all",
        "exp": "-all exp=why.spf.test",
    }
    made: dict[str, Any] = {f"{name}.spf.test": {"TXT": [f"v=spf1 {text}"]} for name, text in spf.items()}
    made["a.spf.test"] |= {"A": [GOOD]}
    made["mx.spf.test"] |= {"MX": [(1, "a.spf.test")]}
    made["two.spf.test"] = {"TXT": ["v=spf1 -all", "v=spf1 +all"]}
    made["1.2.0.192.x.spf.test"] = {"A": ["127.0.0.2"]}
    made["why.spf.test"] = {"TXT": ["no"]}
    made["servfail.test"] = "SERVFAIL"
    made |= {
        "a.test": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"], "A": [GOOD]},
        "sub.a.test": {"A": [GOOD], "TXT": ["v=spf1 ip4:192.0.2.1 -all"]},
        "elsewhere.test": {"TXT": ["v=spf1 -all"], "A": [GOOD]},
        "_dmarc.a.test": {"TXT": ["v=DMARC1; p=reject"]},
        "list.test": {"TXT": ["v=spf1 ip4:192.0.2.7 -all"]},
        "xn--fsqu00a.test": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"], "A": [GOOD]},
        "_dmarc.xn--fsqu00a.test": {"TXT": ["v=DMARC1; p=reject"]},
        "dead._domainkey.a.test": "SERVFAIL",
    }
    keys = {
        "s": record(),
        "ed": record(ed_key()),
        "weak": record(rsa_key(1024)),
        "revoked": "v=DKIM1; p=",
        "sha1": record(tags="v=DKIM1; h=sha1; "),
        "tls": record(tags="v=DKIM1; s=tlsrpt; "),
        "test": record(tags="v=DKIM1; t=y; "),
        "strict": record(tags="v=DKIM1; t=s; "),
        "junk": "v=DKIM1; p=AAAA",
    }
    made |= {f"{name}._domainkey.a.test": {"TXT": [text]} for name, text in keys.items()}
    made["s._domainkey.list.test"] = made["s._domainkey.evil.test"] = made["s._domainkey.sub.a.test"] = {
        "TXT": [record()]
    }
    for name, text in RECORDS.items():
        made[f"_dmarc.{name}.rec"] = {"TXT": text if isinstance(text, list) else [text]}
        made[f"{name}.rec"] = made[f"x.{name}.rec"] = {"A": [GOOD], "TXT": ["v=spf1 ip4:192.0.2.1 -all"]}
    made["_dmarc.dead.rec"] = "SERVFAIL"
    return made


RECORDS: dict[str, Any] = {
    "none": "v=DMARC1; p=none",
    "quarantine": "v=DMARC1; p=quarantine",
    "strict": "v=DMARC1; p=reject; aspf=s; adkim=s",
    "testing": "v=DMARC1; p=reject; t=y",
    "pct": "v=DMARC1; p=reject; pct=0",
    "broken": "v=DMARC1; p=rejct",
    "several": ["v=DMARC1; p=reject", "v=DMARC1; p=none"],
    "version": "v=DMARC2; p=reject",
    "nop": "v=DMARC1; rua=mailto:a@nop.rec",
    "dead": "v=DMARC1; p=none",
}


def cases() -> list[Case]:
    """All of them, in the order of the table."""
    found = [*_spf(), *_dkim(), *_dmarc(), *_arc(), *_from()]
    return found[:100]


def _spf() -> Iterator[Case]:
    for name in [
        "fail",
        "soft",
        "neutral",
        "all",
        "incl",
        "redir",
        "a",
        "mx",
        "void",
        "bad",
        "dead",
        "loop",
        "ip6",
        "macro",
        "exp",
        "two",
        "none",
    ]:
        yield Case(
            f"SPF {name}, from {GOOD}",
            PLAIN.replace(b"a.test", f"{name}.spf.test".encode()),
            GOOD,
            f"j@{name}.spf.test",
        )
    yield Case("SPF null sender", PLAIN, GOOD, "", "a.test")
    yield Case("SPF IPv4 from a stranger", PLAIN, BAD, "j@a.test")
    yield Case("SPF A-label sender", PLAIN.replace(b"joe@a.test", b"joe@xn--fsqu00a.test"), GOOD, "j@xn--fsqu00a.test")


def _dkim() -> Iterator[Case]:
    forms = [(a, b) for a in (b"relaxed", b"simple") for b in (b"relaxed", b"simple")]
    for form in forms:
        field = signer.sign(PLAIN, b"s", b"a.test", pem(), canonicalize=form, include_headers=H)
        yield Case(f"DKIM {b'/'.join(form).decode()}", field + PLAIN)
    made: dict[str, Callable[[], bytes]] = {
        "ed25519": lambda: sign(PLAIN, selector="ed", key=ed_key()),
        "1024 bit": lambda: sign(PLAIN, selector="weak", key=rsa_key(1024)),
        "changed body": lambda: sign(PLAIN).replace(b"Hello", b"Hallo"),
        "changed subject": lambda: sign(PLAIN).replace(b": hello", b": Hello"),
        "appended body": lambda: sign(PLAIN) + b"more\r\n",
        "l= and appended": lambda: sign(PLAIN, extra="l=5; ", body=b"Hello") + b"more\r\n",
        "From not signed": lambda: sign(PLAIN, h="to:subject"),
        "expired": lambda: sign(PLAIN, extra=f"x={NOW - 86400}; "),
        "expires later": lambda: sign(PLAIN, extra=f"t={NOW}; x={NOW + 9999}; "),
        "from the future": lambda: sign(PLAIN, extra=f"t={NOW + 86400}; "),
        "i= elsewhere": lambda: sign(PLAIN, extra="i=@b.test; "),
        "i= below": lambda: sign(PLAIN, extra="i=@x.a.test; "),
        "no key": lambda: sign(PLAIN, selector="gone"),
        "revoked key": lambda: sign(PLAIN, selector="revoked"),
        "key for sha1": lambda: sign(PLAIN, selector="sha1"),
        "key for tlsrpt": lambda: sign(PLAIN, selector="tls"),
        "testing key": lambda: sign(PLAIN, selector="test"),
        "strict key, i= below": lambda: sign(PLAIN, selector="strict", extra="i=@x.a.test; "),
        "unreadable key": lambda: sign(PLAIN, selector="junk"),
        "key SERVFAIL": lambda: sign(PLAIN, selector="dead"),
        "algorithm rsa-sha1": lambda: sign(PLAIN, algorithm="rsa-sha1"),
        "unknown version": lambda: sign(PLAIN).replace(b"v=1;", b"v=2;"),
        "two tags d=": lambda: sign(PLAIN, extra="d=b.test; "),
        "nonsense": lambda: b"DKIM-Signature: nonsense\r\n" + PLAIN,
        "bad and good": lambda: sign(sign(PLAIN), selector="gone"),
        "twelve signatures, the last good": lambda: _many(),
        "subdomain, relaxed": lambda: sign(PLAIN, domain="sub.a.test"),
        "signed by a stranger": lambda: sign(PLAIN, domain="evil.test"),
        "second Subject": lambda: b"Subject: pay\r\n" + sign(PLAIN),
        "second Content-Type": lambda: b"Content-Type: text/html\r\n" + sign(PLAIN),
        "second From": lambda: b"From: boss@a.test\r\n" + sign(PLAIN),
    }
    for name, make in made.items():
        yield Case(f"DKIM {name}", make())


def _many() -> bytes:
    raw = sign(PLAIN)
    for _ in range(11):
        raw = sign(raw, domain="evil.test", selector="gone")
    return raw


def _dmarc() -> Iterator[Case]:
    for name in RECORDS:
        yield Case(f"DMARC record {name}, spoofed", PLAIN.replace(b"joe@a.test", f"joe@{name}.rec".encode()))
    for name in ("none", "strict"):
        raw = PLAIN.replace(b"joe@a.test", f"joe@{name}.rec".encode())
        yield Case(f"DMARC record {name}, SPF of a subdomain", raw, GOOD, f"j@x.{name}.rec")
    yield Case("DMARC subdomain, spoofed", PLAIN.replace(b"joe@a.test", b"joe@sub.a.test"))
    yield Case("DMARC absent subdomain, spoofed", PLAIN.replace(b"joe@a.test", b"joe@nope.a.test"))
    yield Case("DMARC SPF passes for another", PLAIN, GOOD, "j@sub.spf.test")


def _arc() -> Iterator[Case]:
    yield Case("ARC list, trusted by us", seal(sign(PLAIN), SAW), "192.0.2.7", "b@list.test", "list.test")
    yield Case("ARC stranger's seal", seal(sign(PLAIN), SAW, b"evil.test"), "192.0.2.7", "b@list.test", "list.test")
    yield Case("ARC changed after the seal", seal(sign(PLAIN), SAW) + b"x\r\n", "192.0.2.7", "b@list.test", "list.test")
    yield Case(
        "ARC two seals",
        seal(seal(sign(PLAIN), SAW), "arc=pass; dmarc=fail", b"evil.test"),
        "192.0.2.7",
        "b@list.test",
        "list.test",
    )


def _from() -> Iterator[Case]:
    """The tricks of the From tests, as a.test sent them: SPF passes for a.test, and From is what it is."""
    for raw, reason in test_structure.pytestmark[0].args[1]:
        rest = PLAIN.partition(b"\r\n")[2]
        yield Case(f"From {reason}: {_shown(raw[:-4])}", raw[:-2] + rest, GOOD, "j@a.test")
    for value, reason, _ in test_tricks.pytestmark[0].args[1][::2]:
        octets = value.encode() if isinstance(value, str) else value
        raw = PLAIN.replace(b"From: Joe <joe@a.test>", b"From:" + octets)
        yield Case(f"From {reason}: {_shown(octets)}", raw, GOOD, "j@a.test")


def _shown(octets: bytes) -> str:
    text = octets.decode("utf-8", "backslashreplace").encode("unicode_escape").decode()
    return "`" + text.replace("|", "\\|").replace("`", "'")[:60] + "`"


WHY = {
    "SPF soft": "OpenDMARC knows pass and fail only",
    "SPF neutral": "OpenDMARC knows pass and fail only",
    "SPF all": "rspamd answers +all, which lets everybody pass, with permerror",
    "SPF void": "RFC 7208 4.6.4: more than two void lookups are a permerror; the peers don't count them",
    "SPF bad": "RFC 7208 4.6: an unknown mechanism is a permerror; the peers skip it",
    "SPF dead": "the same verdict, by another word",
    "SPF loop": "RFC 7208 4.6.4: beyond ten lookups is a permerror; the peers stop and say fail",
    "SPF two": "RFC 7208 4.5: two records are a permerror; the peers take the first",
    "DKIM l=": "appended content is not authenticated; the peers accept it",
    "DKIM expired": "no pass either way; RFC 8601 has policy for signatures we don't accept",
    "DKIM from the future": "no pass either way; RFC 8601 has policy for signatures we don't accept",
    "DKIM i= elsewhere": "RFC 6376 3.5: i= must be d= or below; rspamd doesn't compare",
    "DKIM no key": "no pass either way; RFC 6376 6.1.2 makes it permanent, OpenDKIM says fail",
    "DKIM revoked key": "no pass either way; RFC 6376 6.1.2 makes it permanent, OpenDKIM says fail",
    "DKIM key for sha1": "RFC 6376 3.6.1: h= of the key excludes SHA-256; rspamd ignores h=, OpenDKIM says fail",
    "DKIM key for tlsrpt": "RFC 6376 3.6.1: s= of the key excludes mail; rspamd ignores s=, OpenDKIM says fail",
    "DKIM strict key": "RFC 6376 3.6.1: t=s wants i= in the very domain; rspamd ignores t=s, OpenDKIM says fail",
    "DKIM unreadable key": "no pass either way, by another word",
    "DKIM key SERVFAIL": "OpenDMARC gets no DKIM result and says fail; nobody knows",
    "DKIM algorithm rsa-sha1": "no pass either way; RFC 8301 makes it permanent, OpenDKIM tried and says fail",
    "DKIM two tags d=": "no pass either way; RFC 6376 3.2: the whole list is invalid",
    "DKIM bad and good": "the same two verdicts, no key being fail to OpenDKIM",
    "DKIM twelve": "beyond the cap we verify the author domain's own signatures first; the peers the topmost, and miss it",
    "DKIM signed by a stranger": "OPENDMARC",
    "DKIM second Subject": "doubled singletons don't count here; rspamd fails them, OpenDKIM doesn't look",
    "DKIM second Content-Type": "doubled singletons don't count here; the peers don't look at Content-Type",
    "DKIM second From": "we judge every author domain, the worst counts; rspamd judges none, OpenDKIM and OpenDMARC one of them",
    "DMARC record several": "several records are no record (RFC 9989 4.10); OpenDMARC takes one",
    "DMARC record version": "not a DMARC record at all; OpenDMARC calls it a bad one",
    "DMARC record nop": "RFC 9989 4.7: without p= it is p=none; OpenDMARC calls it a bad record",
    "DMARC record dead": "SERVFAIL is not absence; OpenDMARC takes it so",
    "DMARC record strict, SPF": "OPENDMARC",
    "ARC": "OPENDMARC",
    "From": "FROM",
}
"""Why verdicts differ, by the beginning of a message's name."""
SHARED = {
    "OPENDMARC": "OpenDMARC 1.4.2 as set up here takes any pass for aligned, strict or relaxed",
    "FROM": "From has two readings: here nothing passes; the peers judge the reading they have, or leave DMARC out",
}


def why(name: str) -> str:
    """The reason for a difference, or ``NOT EXPLAINED``."""
    found = next((text for prefix, text in WHY.items() if name.startswith(prefix)), "NOT EXPLAINED")
    return SHARED.get(found, found)
