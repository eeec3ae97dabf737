"""Judges a saved mail as the gateway would, without sending it: what `sealgate explain` and `sealgate policy test` stand on."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from gateway.config import Config
from gateway.context.gather import Gatherer
from gateway.judging.judge import Judge
from gateway.treatments import trim
from policies import examples, facts, rule
from policies.facts import Context, Facts, domain_of, fold_address
from policies.mailbox import from_addresses
from policies.sample import Sample
from scanners.base import Scanned, scan
from scanners.message import Direction, Envelope, Recipient

DEADLINE_S = 60.0
"""For one saved mail: nobody waits on the wire, but a person waits at the screen."""
MAX_BYTES = 100_000_000
"""Of one saved mail: more than any listener accepts."""
MAX_RECIPIENTS = 100


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the person says of the mail that the file doesn't: envelope, authentication, history."""

    sender: str | None = None
    recipients: tuple[str, ...] = ()
    direction: str = ""
    login: str = ""
    auth: tuple[tuple[str, str], ...] = ()
    first_contact: bool | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """One mail judged: what was found, and for each recipient the facts and what the rules say."""

    envelope: Envelope
    scanned: Scanned
    judged: tuple[tuple[Recipient, Facts, rule.Judgement], ...]
    guessed: tuple[str, ...] = field(default=())
    """Which parts of the envelope were taken from the header fields, since nobody named them."""


async def judge_bytes(made: Judge, config: Config, raw: bytes, wanted: Wanted, now: datetime) -> Tried:
    """Parse, scan and decide. Authentication is what ``wanted`` says: nothing is asked of the DNS."""
    envelope, guessed = _envelope(raw, wanted, config, now)
    message, _ = trim.read(envelope, raw, config.gateway.local_domains)
    scanned = await scan(message, made.scanners, made.opener, DEADLINE_S, time.monotonic)
    author = from_addresses(_first(raw, b"from"))
    stated = Sample(envelope.sender, "", author=author[0] if author else "", auth=wanted.auth)
    findings = (*scanned.findings, *examples.claimed(stated))
    contexts = await _contexts(config, scanned, envelope, now, wanted)
    shared = facts.common(scanned.message, findings)
    judged: list[tuple[Recipient, Facts, rule.Judgement]] = []
    for recipient, context in contexts:
        known = facts.build(scanned.message, findings, context, recipient, shared)
        judged.append((recipient, known, rule.decide(made.ruleset, known)))
    return Tried(envelope, scanned, tuple(judged), guessed)


async def _contexts(
    config: Config, scanned: Scanned, envelope: Envelope, now: datetime, wanted: Wanted
) -> Sequence[tuple[Recipient, Context]]:
    gathered = await Gatherer.of(config, lambda: now)(scanned.message, frozenset(("country",)))
    return [(recipient, replace(context, first_contact=wanted.first_contact)) for recipient, context in gathered]


def _envelope(raw: bytes, wanted: Wanted, config: Config, now: datetime) -> tuple[Envelope, tuple[str, ...]]:
    """The envelope as said, and what of it had to be guessed from the header fields."""
    guessed: list[str] = []
    sender = wanted.sender
    if sender is None:
        found = from_addresses(_first(raw, b"from"))
        sender = found[0] if found else ""
        guessed.append("--from")
    recipients = wanted.recipients
    if not recipients:
        recipients = from_addresses(_first(raw, b"to"))[:MAX_RECIPIENTS] or ("postmaster@" + _home(config),)
        guessed.append("--to")
    direction = wanted.direction
    if not direction:
        local = {fold_address(domain) for domain in config.gateway.local_domains}
        direction = "outbound" if domain_of(sender) in local else "inbound"
        guessed.append("--direction")
    envelope = Envelope(
        id="trial",
        session="trial",
        listener="trial",
        direction=Direction(direction),
        received_at=now,
        client=None,
        hop="127.0.0.1",
        helo="",
        tls="",
        user=wanted.login,
        sender=sender,
        recipients=tuple(Recipient(address) for address in recipients),
    )
    return envelope, tuple(guessed)


def _home(config: Config) -> str:
    return config.gateway.local_domains[0] if config.gateway.local_domains else "localhost"


def _first(raw: bytes, name: bytes) -> bytes:
    """The first field of that name in the header, folded lines joined; only to guess an envelope, never to judge by."""
    value = b""
    for line in raw[:65536].split(b"\n"):
        line = line.rstrip(b"\r")
        if value and line[:1] in (b" ", b"\t"):
            value += line
        elif value or not line:
            break
        elif line[: len(name) + 1].lower() == name + b":":
            value = line[len(name) + 1 :] or b" "
    return value
