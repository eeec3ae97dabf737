"""Sealed fields: personal data inside an immutable log, openable only while its keys are alive (audit-log 4)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from audit.event import Place


@dataclass(frozen=True, slots=True)
class SubjectKey:
    """One person's key of one month: a leaf of the subject tree, and which leaf."""

    key: bytes = field(repr=False)
    leaf: int = field(repr=False)


@dataclass(frozen=True, slots=True)
class MessageKey:
    """What all events of one message are sealed under: one leaf of a key tree and the keys of the people in it."""

    place: Place
    key: bytes = field(repr=False)
    subjects: Mapping[str, SubjectKey] = field(default_factory=dict, repr=False)
