"""One thing that sealgate doctor looked at."""

from dataclasses import dataclass
from enum import StrEnum

PROBE_S = 5.0
"""For one answer of a port or a socket."""


class Health(StrEnum):
    """How a check came out."""

    GOOD = "good"
    REMARK = "remark"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at, in both languages; ``advice`` says in both what to do, whenever it is not good."""

    subject: str
    health: Health
    zh: str
    en: str
    advice: str = ""
