"""A breaker per next hop: after failures running, stop trying for a while that grows and is bounded. Pure; time is an argument."""

from dataclasses import dataclass

FAILURES = 5
"""Running failures that open it."""
FIRST_PAUSE_S = 10.0
"""First pause; each further one doubles."""
LONGEST_PAUSE_S = 300.0
"""No hop is left alone for longer: five minutes after it comes back, mail flows."""


@dataclass(slots=True)
class Breaker:
    """``allows`` before each attempt, then ``succeeded``, ``failed`` or ``gave_up`` once.

    Closed: all may try. Open: nobody until ``until``. Then one attempt is let through (half open) and its outcome closes it or opens
    it for twice as long. A refusal (4xx, 5xx) by a server that answers is a success here.
    """

    failures: int = 0
    until: float = 0.0
    pause_s: float = 0.0
    probing: bool = False

    @property
    def is_open(self) -> bool:
        """Whether it has tripped and no attempt has succeeded since."""
        return self.pause_s > 0.0

    def allows(self, now: float) -> bool:
        """Whether to try at ``now`` (seconds of the same clock throughout). True on an open breaker takes the one probe."""
        if not self.is_open:
            return True
        if now < self.until or self.probing:
            return False
        self.probing = True
        return True

    def succeeded(self) -> None:
        """The hop answered."""
        self.failures, self.pause_s, self.probing = 0, 0.0, False

    def failed(self, now: float) -> None:
        """The hop could not be reached, or fell silent."""
        self.probing = False
        self.failures += 1
        if self.failures < FAILURES or (self.is_open and now < self.until):
            return  # an attempt from before it opened doesn't lengthen the pause
        self.pause_s = min(self.pause_s * 2 or FIRST_PAUSE_S, LONGEST_PAUSE_S)
        self.until = now + self.pause_s

    def gave_up(self) -> None:
        """The attempt ended without telling anything about the hop (cancelled, or our own deadline)."""
        self.probing = False
