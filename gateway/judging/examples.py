"""Runs every rule's own examples through the real scanners: a rule that does not do what it says refuses to load."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gateway.config import Config
from gateway.judging.judge import Judge
from gateway.judging.loading import (
    JudgeError,
    judge_version,
    load_dictionaries,
    load_ruleset,
    registry_settings,
    yara_source,
)
from gateway.judging.oneshot import judge_here
from policies import examples
from scanners import registry
from scanners.attachments.cache import Cache
from scanners.attachments.opener import AttachmentOpener
from scanners.attachments.poison import PoisonMemory
from scanners.attachments.yara import compile_rules
from scanners.base import scan
from scanners.finding import Finding
from scanners.message import Envelope, Message
from scanners.mime import parse

DEADLINE_S = 60.0
"""For one example: they are a few lines each, but the machine may be busy."""


def example_config(config: Config) -> Config:
    """Examples speak of corp.test; antivirus and our own domains would colour them.

    They are judged with attachments read even where the operator has turned that off: what a rule says is one thing, what it gets to
    see is another.
    """
    local = tuple(sorted(examples.LOCAL_DOMAINS))
    return replace(
        config,
        gateway=replace(config.gateway, local_domains=local, attachment_text=True),
        clamav=replace(config.clamav, address=""),
        groups=(),
        own_accounts=(),
    )


async def failures(config: Config) -> tuple[str, ...]:
    """A line per example that does not come out, with file and line. Raises JudgeError, DecoderError."""
    async with judge_here(example_config(config), None) as made:
        return await _outcome(made)


async def _outcome(made: Judge) -> tuple[str, ...]:
    outcome = await examples.run(made.ruleset, scan_with(made), made.version)
    return tuple(str(problem) for problem in outcome.problems)


def scan_with(made: Judge) -> examples.Scan:
    """What policies.examples wants: parse and scan as the gateway does."""

    async def run(envelope: Envelope, raw: bytes) -> tuple[Message, Sequence[Finding]]:
        scanned = await scan(parse(envelope, raw), made.scanners, made.opener, DEADLINE_S, time.monotonic)
        return scanned.message, scanned.findings

    return run


async def check(config: Config, decoders: Path | None = None) -> str:
    """All that a start would read, examples included. Raises JudgeError with a line per problem; gives the judge's version.

    ``decoders``: the socket of running decoders with this configuration's YARA rules; without it, or where those leave attachments
    unread, some are started for this.
    """
    dictionaries = load_dictionaries(config)
    ruleset = load_ruleset(config, dictionaries)
    version = judge_version(config, dictionaries, ruleset)
    if decoders is None or not config.gateway.attachment_text:
        problems = await failures(config)
    else:
        rules = compile_rules(yara_source(config)).version
        opener = AttachmentOpener(decoders, rules, Cache(0), PoisonMemory({}), DEADLINE_S)
        scanners = registry.scanners(registry_settings(example_config(config)), dictionaries, None)
        problems = await _outcome(Judge(scanners, opener, ruleset, version))
    if problems:
        raise JudgeError("\n".join(problems))
    return version
