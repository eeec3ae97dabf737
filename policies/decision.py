"""What a policy may say. A decision is a join: adding a rule never weakens the result (law 4)."""

from dataclasses import dataclass, field
from enum import IntEnum


class Disposition(IntEnum):
    """What happens to the mail, from mild to strict; the stricter wins a join."""

    DELIVER = 0
    DELAY = 1
    APPROVE = 2
    QUARANTINE = 3
    REJECT = 4


@dataclass(frozen=True, slots=True)
class Title:
    """A line for people, in both languages."""

    zh: str
    en: str


@dataclass(frozen=True, slots=True, order=True)
class Treatment:
    """Something done to a message before it leaves: ``kind`` from the table in gateway.treatments, ``value`` its parameter.

    Kinds: tag (header line), banner, strip, redirect, copy, encrypt, notify-sender. Built-in and user rules name them as ``"encrypt"`` or
    ``"tag:X-Sealgate-Flag=money"``.
    """

    kind: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Reason:
    """One matching rule, as an event cites it.

    ``version`` is the hash of the rule with the dictionaries it names: a waiver (law 7) names both. ``waivable`` is False where no
    person may release (malware). ``approvers`` are groups or addresses entitled to answer, empty: any operator with the role.
    ``delay_s`` is the waiting time of a DELAY. ``enhanced`` is the status code of a REJECT (RFC 3463, RFC 7372).
    """

    rule: str
    version: str
    disposition: Disposition
    title: Title
    enhanced: str = "5.7.1"
    waivable: bool = True
    approvers: tuple[str, ...] = ()
    delay_s: int = 0
    part: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do for one recipient. ``a | b`` is the strictest of both with all treatments and reasons, in a stable order."""

    disposition: Disposition = Disposition.DELIVER
    treatments: frozenset[Treatment] = frozenset()
    reasons: tuple[Reason, ...] = field(default=())

    def __or__(self, other: "Decision") -> "Decision":
        return Decision(
            max(self.disposition, other.disposition),
            self.treatments | other.treatments,
            tuple(sorted({*self.reasons, *other.reasons}, key=lambda reason: (-reason.disposition, reason.rule, reason.version))),
        )


DELIVER = Decision()
