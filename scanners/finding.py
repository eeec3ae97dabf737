"""What a scanner may say: a Finding, and the Code that declares it.

A code is a stable dotted word (``auth.dmarc.fail``, ``content.identifier.cn_id18``). Policies are checked against the declared
codes when they load, and the reference page is generated from them.
"""

from dataclasses import dataclass
from enum import IntEnum

from msgspec import Struct


class Severity(IntEnum):
    """How much a finding says on its own; it never decides (law 3)."""

    INFO = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


@dataclass(frozen=True, slots=True)
class Code:
    """A code a scanner may report, with one sentence each for people.

    ``code`` may end in ``.*`` when the last word comes from the operator's own files (``malware.yara.*``).
    """

    code: str
    severity: Severity
    zh: str
    en: str


class Evidence(Struct, frozen=True):
    """Where it was seen, without the raw text.

    ``masked`` is safe to show (``1101**********0014``); ``offset`` and ``length`` are characters of the part's text;
    ``count`` is the number of distinct hits.
    """

    masked: str = ""
    count: int = 1
    offset: int | None = None
    length: int | None = None


class Finding(Struct, frozen=True):
    """One thing that was seen in one place.

    ``summary`` is a short English line without personal data; ``part`` the path of the Part (``None``: the whole message);
    ``about`` what the code speaks of when that is public and not personal: the domain of a DKIM pass, the name of a
    YARA rule, the phrase list. ``score`` is the weight for scored dictionaries, else 0.
    """

    code: str
    severity: Severity
    summary: str
    part: str | None = None
    evidence: Evidence | None = None
    about: str = ""
    score: int = 0

    @property
    def count(self) -> int:
        """Distinct hits, at least 1."""
        return self.evidence.count if self.evidence else 1
