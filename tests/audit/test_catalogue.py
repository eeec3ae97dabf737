"""Every type that the gateway writes has its sentence."""

import re
from pathlib import Path

from audit.catalogue import TYPES
from policies.vocabulary import FACTS

ROOT = Path(__file__).parents[2] / "gateway"
TYPE = re.compile(r'"((?:message|session|hold|quarantine|admin|config|policy|audit|privacy|delivery)\.[a-z_]+)"')


def test_types_in_the_code_are_in_the_catalogue() -> None:
    """What rules may look at is named in the same way, and is no event."""
    known = {item.name for item in TYPES}
    assert len(known) == len(TYPES)
    for path in ROOT.rglob("*.py"):
        assert set(TYPE.findall(path.read_text("utf-8"))) - set(FACTS) <= known, path


OUTCOMES = {"relayed", "refused", "deferred", "outcome_unknown"}
"""Kinds that gateway.events.outcome writes as ``message.<kind>`` (gateway.relay.outcome_kind)."""


def test_no_type_is_promised_that_nobody_writes() -> None:
    folders = (ROOT, ROOT.parent / "audit")
    texts = [
        path.read_text("utf-8") for folder in folders for path in folder.rglob("*.py") if path.name != "catalogue.py"
    ]
    written = {found for text in texts for found in TYPE.findall(text)} | {f"message.{kind}" for kind in OUTCOMES}
    assert {item.name for item in TYPES} <= written


def test_both_languages() -> None:
    assert all(item.zh and item.en for item in TYPES)
