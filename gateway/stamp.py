"""The trace fields a gateway puts in front (RFC 5321 4.4, RFC 8601), and the address behind a trusted hop. Pure."""

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime

from gateway.smtp.proxy import canonical
from scanners.message import Envelope, Header

MAX_RECEIVED = 50
"""More fields than this is a loop (RFC 5321 6.3 says at least 100 hops must not be needed; architecture section 4 says 50)."""
MAX_CLAUSE = 1000
"""Characters of a Received field that are looked through for the client."""
MAX_OWN_RECEIVED = 3
"""So many fields of our own mean that our next hop sends to us."""

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def received(envelope: Envelope, hostname: str, at: datetime) -> bytes:
    """One Received field. The recipient is named only when there is one: others must not learn of each other."""
    address = envelope.client or envelope.hop
    literal = f"IPv6:{address}" if ":" in address else address
    protocol = (
        ("UTF8SMTP" if envelope.smtputf8 else "ESMTP") + ("S" if envelope.tls else "") + ("A" if envelope.user else "")
    )
    helo = _token(envelope.helo) or f"[{literal}]"
    lines = [f"from {helo} ([{literal}])", f" by {hostname} with {protocol} id {envelope.id}"]
    if len(envelope.recipients) == 1 and (envelope.smtputf8 or envelope.recipients[0].address.isascii()):
        lines.append(f" for <{envelope.recipients[0].address}>")
    lines[-1] += ";"
    lines.append(f" {date(at)}")
    return ("Received: " + "\r\n".join(lines) + "\r\n").encode("utf-8", "replace")


def date(at: datetime) -> str:
    """A time as RFC 5322 3.3 writes it, in UTC; the standard library's way takes six times as long."""
    at = at.astimezone(UTC)
    clock = f"{at.hour:02d}:{at.minute:02d}:{at.second:02d}"
    return f"{DAYS[at.weekday()]}, {at.day:02d} {MONTHS[at.month - 1]} {at.year:04d} {clock} +0000"


def _token(helo: str) -> str:
    """What the client called itself, without anything that could end the field or open a comment."""
    return "".join(c for c in helo[:255] if c.isascii() and (c.isalnum() or c in ".-_:[]"))


def loops(headers: Sequence[Header], hostname: str) -> bool:
    """True if the message has been here too often."""
    fields = _received(headers)
    if len(fields) > MAX_RECEIVED:
        return True
    ours = sum(1 for header in fields if _by(header) == hostname.lower())
    return ours >= MAX_OWN_RECEIVED


def _received(headers: Sequence[Header]) -> list[Header]:
    return [header for header in headers if len(header.name) == len("received") and header.key == "received"]


def _by(header: Header) -> str:
    words = header.text.replace("\t", " ").lower().split(None, 64)
    for index, word in enumerate(words[:-1]):
        if word == "by":
            return words[index + 1].rstrip(";")
    return ""


def client_behind(headers: Sequence[Header], trusted: Sequence[Network]) -> str | None:
    """The first untrusted address in the Received fields that trusted hops wrote, newest first; None if they name none.

    A field is believed only while every newer one named a trusted address: what lies below the first stranger is
    the stranger's own word (architecture section 7).
    """
    for header in _received(headers)[:MAX_RECEIVED]:
        address = _from_address(header.text)
        if address is None:
            return None
        parsed = ipaddress.ip_address(address)
        if not any(parsed in network for network in trusted if network.version == parsed.version):
            return address
    return None


def _from_address(text: str) -> str | None:
    """The address that the hop saw, in the ``from`` clause; a bracket after ``by`` is not the client's.

    Beside it stands what the client called itself, which may be a literal, hold blanks, brackets and `` by `` (Postfix writes it down as it
    came), and names from the client's certificate. So what could be read in two ways is not read at all.
    """
    clause = " ".join(text[:MAX_CLAUSE].lower().split())
    if not clause.startswith("from ") or clause.count(" by ") > 1:
        return None
    inside, outside = _bracketed(clause.split(" by ", 1)[0])
    named = inside or outside
    return next(iter(named)) if len(named) == 1 else None


def _bracketed(clause: str) -> tuple[set[str], set[str]]:
    """The addresses in brackets within comments, where most servers write what they saw, and those outside; without ``helo=[...]``,
    as Exim writes a client's own word."""
    found: tuple[set[str], set[str]] = (set(), set())
    depth = 0
    for at, letter in enumerate(clause):
        if letter == "(":
            depth += 1
        elif letter == ")" and depth:
            depth -= 1
        elif letter == "[" and not clause.endswith("helo=", 0, at):
            literal = clause[at + 1 :].partition("]")[0].removeprefix("ipv6:")
            try:
                found[0 if depth else 1].add(canonical(literal))
            except ValueError:
                continue
    return found
