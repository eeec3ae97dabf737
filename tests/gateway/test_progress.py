"""A long command says how far it is, a short one nothing."""

import io

from gateway.progress import FILE_S, TERMINAL_S, Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def told(out: io.StringIO, pause: float) -> str:
    now = [0.0]
    progress = Progress("events", lambda: now[0], out)
    for done in range(0, 3000, 1000):
        now[0] += pause / 2
        progress(done, 2000)
    return out.getvalue()


def test_now_and_then() -> None:
    assert told(Terminal(), TERMINAL_S) == "... 1,000 / 2,000 events (50 %)\n"
    assert told(io.StringIO(), TERMINAL_S) == ""
    assert told(io.StringIO(), FILE_S) == "... 1,000 / 2,000 events (50 %)\n"
