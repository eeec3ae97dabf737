"""Bytes into command lines and messages: sans-io, and the only code that decides where a message ends.

Both readers accept CRLF alone as a line end. DATA ends at CRLF.CRLF and nowhere else, so no spelling of the end that another server
might take (``LF.LF``, ``CR.CR``, ``LF.CRLF`` ...) can hide a second message in the first: a message that holds a bare CR, a bare LF
or NUL is read to its real end and then refused.
"""

import io
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import re2

from scanners.patterns import Signs

CRLF = b"\r\n"
END = b"\r\n.\r\n"
DOT_LINE = re2.compile(rb"\r\n\.")
"""RE2 looks for a literal by vector instructions: a sixth of the time of ``bytearray.find``, whose search stops at every line end."""

MAX_COMMAND = 12_288
"""Octets of any command line: AUTH's own limit (RFC 4954 4), the longest there is."""
MAX_SKIPPED = 65_536
"""Octets of one over-long command line skipped to find its end and stay in step; beyond it the connection is closed."""
MAX_LINE = 65_535
"""Octets of a line in DATA. RFC 5321 4.5.3.1.6 says 1,000, and senders that break it exist in numbers, so long lines go on unchanged
(rewrapping would break signatures); this bound keeps what is buffered without a line end small, and no known sender reaches it."""
BLOCK = 262_144
"""Octets gathered before they are checked and put away, while they are still in the processor's cache."""
IN_MEMORY = 8_000_000
"""Octets of a message kept in memory while it arrives; a larger one waits in the spool. All are reserved in the worker's byte budget either
way. Writing to a file and reading it back costs more than all checks together, and nearly all mail is smaller."""
DOTS_ONE_BY_ONE = 64
"""Dot lines looked at singly; a message with more is searched for the terminator directly, which keeps hostile input linear and cheap."""
ODD_LINE_END, NUL, DOT = range(3)
_SIGNS = Signs(rb"[^\r]\n|\r[^\n]", rb"\x00", rb"\n\.")
"""What a usual message has none of before its end, looked for in each piece as it arrives."""


class Bad(Enum):
    """Why a line or a message can't be taken."""

    BARE_CR = "bare CR"
    BARE_LF = "bare LF"
    NUL = "NUL"
    LONG_LINE = "line too long"
    TOO_BIG = "message too big"
    NO_MEMORY = "no memory left"
    NO_SPOOL = "spool unavailable"


class LineReader:
    """Command lines out of a byte stream. ``take()`` gives a line without its CRLF, a Bad, or None when more bytes are needed."""

    __slots__ = ("_at", "_buffer", "_skipped")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at = 0
        self._skipped = 0

    def __len__(self) -> int:
        return len(self._buffer) - self._at

    def feed(self, data: bytes) -> None:
        """Add what arrived."""
        if self._at:
            del self._buffer[: self._at]
            self._at = 0
        self._buffer += data

    def rest(self) -> bytes:
        """Everything not yet taken; the reader is empty afterwards."""
        rest = bytes(memoryview(self._buffer)[self._at :])
        self._buffer = bytearray()
        self._at = 0
        return rest

    def peek(self) -> bytes:
        """Everything not yet taken, left in place."""
        return bytes(memoryview(self._buffer)[self._at :])

    def drop(self, count: int) -> None:
        """Take that many octets away."""
        self._at += count

    def take(self) -> bytes | Bad | None:
        """The next line. After BARE_LF, BARE_CR or NUL the stream's lines are in doubt and the connection should end."""
        at = self._at
        end = self._buffer.find(b"\n", at)
        if end < 0:
            return self._overflow()
        self._at = end + 1
        if self._skipped or end - at + 1 > MAX_COMMAND:
            too_far = self._skipped + end - at > MAX_SKIPPED
            self._skipped = 0
            return Bad.TOO_BIG if too_far else Bad.LONG_LINE
        if end == at or self._buffer[end - 1] != 13:
            return Bad.BARE_LF
        line = bytes(memoryview(self._buffer)[at : end - 1])
        if b"\r" in line:
            return Bad.BARE_CR
        return Bad.NUL if b"\0" in line else line

    def _overflow(self) -> Bad | None:
        waiting = len(self._buffer) - self._at
        if self._skipped + waiting > MAX_SKIPPED:
            self._at = len(self._buffer)
            return Bad.TOO_BIG
        if waiting > MAX_COMMAND:
            self._skipped += waiting
            self._at = len(self._buffer)
        return None


class DataReader:
    """One message out of a byte stream, dot-unstuffed, with what is wrong with it.

    ``limit`` is the greatest size in octets; ``grow(octets)`` asks for more of the worker's byte budget as the message outgrows what
    was reserved and says whether it may; ``spool`` is where messages over IN_MEMORY wait (an unlinked file: nothing remains of it after a
    crash, and nothing was acknowledged before it).
    """

    __slots__ = (
        "_bad",
        "_buffer",
        "_dots",
        "_grow",
        "_kept",
        "_limit",
        "_odd",
        "_scan",
        "_size",
        "_spool",
        "_spooled",
        "_undecided",
        "discarded",
    )

    def __init__(self, limit: int, spool: Path, grow: Callable[[int], bool]) -> None:
        # The CRLF that ended the DATA command, so that a lone dot in the first line is found like any other.
        self._buffer = bytearray(CRLF)
        self._scan = 0
        self._dots = 0
        self._limit = limit
        self._grow = grow
        self._spool = spool
        self._kept = io.BytesIO()
        self._spooled: IO[bytes] | None = None
        self._odd = False
        self._undecided = False
        self._size = 0
        self._bad: Bad | None = None
        self.discarded = 0

    def feed(self, data: bytes) -> bytes | None:
        """Add what arrived; returns what follows the end of the message, or None when the end hasn't come yet."""
        before = len(self._buffer) - 1
        self._buffer += data
        end = self._find_end() if self._dotted(before) else -1
        if end < 0:
            if len(self._buffer) > BLOCK:
                self._move_block()
            return None
        rest = bytes(memoryview(self._buffer)[end + len(END) :])
        del self._buffer[end + 2 :]
        self._take(self._buffer)
        return rest

    def finish(self) -> bytes | Bad:
        """The message as it was sent, dot-unstuffed; or why it is refused. Frees the spool; call it once."""
        spooled, self._spooled = self._spooled, None
        kept, self._kept = self._kept, io.BytesIO()
        if spooled is None:
            return self._bad or kept.getvalue()
        with spooled:
            if self._bad:
                return self._bad
            try:
                spooled.seek(0)
                content = spooled.read()
            except OSError:
                return Bad.NO_SPOOL
        return content if len(content) == self._size else Bad.NO_SPOOL

    def close(self) -> None:
        """Free the spool of a message that never ended."""
        if self._spooled is not None:
            self._spooled.close()
            self._spooled = None
        self._buffer = bytearray()
        self._kept = io.BytesIO()

    def _dotted(self, start: int) -> bool:
        """Look at what arrived behind ``start``: may the end be in it, or in what waits to be decided? One pass also notes the rest."""
        with memoryview(self._buffer) as whole, whole[start:] as fresh:
            signs = _SIGNS.present(fresh)
        if signs is None or NUL in signs or ODD_LINE_END in signs:
            self._odd = True
        if signs is None or DOT in signs or self._undecided:
            return True
        self._scan = max(0, len(self._buffer) - 2)
        return False

    def _find_end(self) -> int:
        """Index of CRLF.CRLF, or -1. One pass looks for dot lines (rare) and tells the terminator from stuffed dots."""
        buffer = self._buffer
        at = self._scan
        self._undecided = False
        while self._dots < DOTS_ONE_BY_ONE:
            dot_line = DOT_LINE.search(buffer, at)
            if dot_line is None:
                self._scan = max(0, len(buffer) - 2)
                return -1
            at = int(dot_line.start())
            following = buffer[at + 3 : at + 5]
            if following == CRLF:
                return at
            if CRLF.startswith(following):
                self._scan, self._undecided = at, True
                return -1
            self._dots += 1
            at += 3
        found = buffer.find(END, at)
        self._scan, self._undecided = max(at, len(buffer) - 4), True
        return found

    def _move_block(self) -> None:
        """Check and put away the whole lines gathered so far."""
        cut = self._buffer.rfind(CRLF, 0, self._scan + 2)
        if cut <= 0:
            # A whole block without a line end: say so, and keep only what the terminator may begin in.
            self._fail(Bad.LONG_LINE)
            self.discarded += len(self._buffer) - 4
            del self._buffer[:-4]
            self._scan = 0
            return
        rest = self._buffer[cut:]
        del self._buffer[cut + 2 :]
        self._take(self._buffer)
        # The last CRLF stays as the beginning of what follows: a terminator may start with it.
        self._buffer = rest
        self._scan = max(0, self._scan - cut)

    def _take(self, block: bytearray) -> None:
        """``block`` is CRLF and then whole lines: check them, unstuff them, keep them."""
        size = len(block) - 2
        if self._bad is None:
            self._bad = self._fault(block, size)
        if self._bad is not None:
            self._fail(self._bad)
            self.discarded += size
            return
        if self._dots:
            block = block.replace(b"\r\n.", CRLF)
        self._size += len(block) - 2
        with memoryview(block) as whole, whole[2:] as content:
            self._keep(content)

    def _fault(self, block: bytearray, size: int) -> Bad | None:
        total = self._size + size
        if total > self._limit:
            return Bad.TOO_BIG
        if not self._grow(total):
            return Bad.NO_MEMORY
        if self._odd and not _whole_line_ends(block):
            return Bad.BARE_CR if block.count(b"\n") == block.count(CRLF) else Bad.BARE_LF
        if self._odd and b"\0" in block:
            return Bad.NUL
        return Bad.LONG_LINE if size > MAX_LINE and _long_line(block) else None

    def _keep(self, content: memoryview) -> None:
        if self._spooled is None and self._size <= IN_MEMORY:
            self._kept.write(content)
            return
        try:
            if self._spooled is None:
                # A crash here leaves nothing: the file has no name, and no 250 has been said.
                self._spooled = TemporaryFile(dir=self._spool)  # noqa: SIM115  lives until finish() or close()
                self._spooled.write(self._kept.getbuffer())
                self._kept = io.BytesIO()
            self._spooled.write(content)
        except OSError:
            self._fail(Bad.NO_SPOOL)

    def _fail(self, bad: Bad) -> None:
        self._bad = self._bad or bad
        self._kept = io.BytesIO()
        if self._spooled is not None:
            self._spooled.close()
            self._spooled = None


def _whole_line_ends(block: bytearray) -> bool:
    """Is every CR and every LF half of a CRLF? One pass that tells line ends apart, where counting each kind takes three."""
    ends = io.IncrementalNewlineDecoder(None, translate=False)
    ends.decode(block.decode("latin-1"), True)
    return ends.newlines in (None, "\r\n")


def _long_line(block: bytearray) -> bool:
    """Is a line longer than MAX_LINE? Strides from line end to the last line end in reach, so it hardly reads the bytes."""
    at = 0
    while at + MAX_LINE + 4 < len(block):
        following = block.rfind(CRLF, at + 2, at + MAX_LINE + 4)
        if following < 0:
            return True
        at = following
    return False
