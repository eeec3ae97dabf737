"""What a server says: bytes -> Answer, bounded and checked (RFC 5321 4.2), and what its EHLO offers. No sockets here."""

from collections import deque
from dataclasses import dataclass

from gateway.smtp.reply import Reply

LINE_BYTES = 2048
"""Longest reply line: RFC 5321 4.5.3.1.5 says 512; real servers put URLs into refusals."""
LINES = 128
"""Longest multi-line reply; the longest EHLO seen in the field has about 30 lines."""
PENDING = 512
"""Answers that may wait unread: 100 recipients with DATA and RSET, and room. More is a flood."""
KNOWN, KNOWN_BYTES = 16, 100
"""Short replies remembered by a connection: a server says the same to every MAIL, RCPT and DATA."""
TEXT_CHARS = 1000
"""How much of a reply's text is kept: it goes into the log, the bounce and our own reply."""


class Malformed(Exception):
    """The server broke the protocol; nothing further on this connection can be trusted. The text says how."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One complete reply as the server gave it: ``lines`` without code, separator and line end.

    ``reply`` is the same in one line, printable, at most TEXT_CHARS long, its enhanced code apart (RFC 2034).
    """

    code: int
    lines: tuple[bytes, ...]
    reply: Reply

    @classmethod
    def of(cls, code: int, lines: tuple[bytes, ...]) -> "Answer":
        """From the lines of one reply, at least one."""
        enhanced, rest = _enhanced(code, lines[0])
        if len(lines) > 1:
            prefix = enhanced.encode() + b" "
            rest = b" ".join([rest, *(line.removeprefix(prefix) for line in lines[1:])])
        return cls(code, lines, Reply(code, enhanced, printable(rest)))


def printable(raw: bytes) -> str:
    """Server text as a person may safely see it: UTF-8 or replacement characters, controls blanked, cut at TEXT_CHARS."""
    text = raw[: 4 * TEXT_CHARS].decode("utf-8", "replace")
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    return text[:TEXT_CHARS].strip()


def _enhanced(code: int, line: bytes) -> tuple[str, bytes]:
    """Split ``2.1.5 Ok`` into its code and the rest; a code of the wrong class or form stays part of the text."""
    word, _, rest = line.partition(b" ")
    if not 5 <= len(word) <= 9 or word[1:2] != b"." or word[0] != 0x30 + code // 100 or word[0] not in b"245":
        return "", line
    subject, dot, detail = word[2:].partition(b".")
    if not dot or not subject.isdigit() or not detail.isdigit() or len(subject) > 3 or len(detail) > 3:
        return "", line
    return word.decode("ascii"), rest


class AnswerReader:
    """Turns the bytes of a server into Answers; keeps at most one unfinished answer within the bounds above."""

    __slots__ = ("_code", "_known", "_lines", "_partial", "answers")

    def __init__(self) -> None:
        self.answers: deque[Answer] = deque()
        self._partial = b""
        self._lines: list[bytes] = []
        self._code = 0
        self._known: dict[bytes, Answer] = {}

    @property
    def empty(self) -> bool:
        """Nothing read and unused, not even half a line."""
        return not self.answers and not self._partial and not self._lines

    def clear(self) -> None:
        """Forget everything said so far (before a TLS handshake, RFC 3207 4.2)."""
        self.answers.clear()
        self._lines.clear()
        self._partial = b""

    def feed(self, data: bytes) -> None:
        """Take bytes as they came; complete answers appear in ``answers``. Raises Malformed."""
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            self._line(line)
        if len(self._partial) > LINE_BYTES:
            raise Malformed("reply line too long")
        if len(self.answers) > PENDING:
            raise Malformed("flood of replies")

    def _line(self, line: bytes) -> None:
        if not self._lines and line in self._known:
            self.answers.append(self._known[line])
            return
        if not line.endswith(b"\r"):
            raise Malformed("reply line not ended by CRLF")
        if len(line) > LINE_BYTES:
            raise Malformed("reply line too long")
        digits, separator = line[:3], line[3:4]
        if not digits.isdigit() or not b"200" <= digits <= b"599" or separator not in (b" ", b"-", b"\r"):
            raise Malformed("not an SMTP reply")
        code = int(digits)
        if self._lines and code != self._code:
            raise Malformed("codes differ within one reply")
        self._code = code
        self._lines.append(line[4:-1])
        if separator != b"-":
            self._complete(line)
        elif len(self._lines) >= LINES:
            raise Malformed("reply of too many lines")

    def _complete(self, line: bytes) -> None:
        answer = Answer.of(self._code, tuple(self._lines))
        self.answers.append(answer)
        if len(self._lines) == 1 and len(line) < KNOWN_BYTES:
            if len(self._known) >= KNOWN:
                self._known.clear()
            self._known[line] = answer
        self._lines.clear()


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an EHLO offers. ``size`` is the limit in bytes, 0: offered without a limit, ``None``: SIZE not offered (RFC 1870)."""

    pipelining: bool = False
    eightbitmime: bool = False
    smtputf8: bool = False
    dsn: bool = False
    starttls: bool = False
    size: int | None = None

    @classmethod
    def parse(cls, answer: Answer) -> "Capabilities":
        """From the answer to EHLO or LHLO; the first line is the server's name. Unknown keywords are passed over."""
        words = {line.split(b" ", 1)[0].upper().strip(): line for line in answer.lines[1:]}
        return cls(
            pipelining=b"PIPELINING" in words,
            eightbitmime=b"8BITMIME" in words,
            smtputf8=b"SMTPUTF8" in words,
            dsn=b"DSN" in words,
            starttls=b"STARTTLS" in words,
            size=_size(words.get(b"SIZE")),
        )


def _size(line: bytes | None) -> int | None:
    if line is None:
        return None
    value = line[5:].strip()
    return int(value) if value.isdigit() and len(value) <= 20 else 0
