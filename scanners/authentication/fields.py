"""Structured header fields in linear time: comments, quoted strings, and what an Authentication-Results field says (RFC 8601 2.2)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_FIELD = 65_536
"""Octets of a field that is taken apart; longer ones count as unreadable."""
SPACE = " \t\r\n"
SPECIAL = SPACE + '();="'


@dataclass(frozen=True, slots=True)
class Token:
    """A word (quotes taken off) or one of ``;`` ``=``."""

    text: str
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """One ``method=result`` with its properties (``header.d`` -> value), methods and property names in lower case."""

    method: str
    result: str
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Results:
    """A field as read. ``readable`` is False when comments or quotes don't end, or the field is too long."""

    authserv_id: str
    claims: tuple[Claim, ...] = ()
    readable: bool = True


def tokens(value: str) -> tuple[list[Token], bool]:
    """Words, ``;`` and ``=``, comments dropped; and whether every comment and quote ended."""
    found: list[Token] = []
    at, end = 0, len(value)
    while at < end:
        char = value[at]
        if char in SPACE:
            at += 1
        elif char == "(":
            at = end_of_comment(value, at)
            if at < 0:
                return found, False
        elif char == '"':
            text, at = quoted_string(value, at)
            if at < 0:
                return found, False
            found.append(Token(text, quoted=True))
        elif char in ";=":
            found.append(Token(char))
            at += 1
        else:
            start = at
            while at < end and value[at] not in SPECIAL:
                at += 1
            at = max(at, start + 1)  # a stray ")" is a word of its own
            found.append(Token(value[start:at]))
    return found, True


def end_of_comment(value: str, at: int) -> int:
    """The position after the comment that opens at ``at``, nested ones counted; -1 if it doesn't end."""
    depth, end = 0, len(value)
    while at < end:
        char = value[at]
        if char == "\\":
            at += 1
        elif char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
            if depth == 0:
                return at + 1
        at += 1
    return -1


def quoted_string(value: str, at: int) -> tuple[str, int]:
    """The text of the quoted string that opens at ``at`` and the position after it, or -1."""
    pieces: list[str] = []
    end, at = len(value), at + 1
    while at < end:
        char = value[at]
        if char == '"':
            return "".join(pieces), at + 1
        if char == "\\" and at + 1 < end:
            at += 1
            char = value[at]
        if char not in "\r\n":
            pieces.append(char)
        at += 1
    return "", -1


def parse_results(value: bytes) -> Results:
    """Read ``authserv-id [version]; method=result reason=... ptype.property=value ...; ...``; never raises."""
    if len(value) > MAX_FIELD:
        return Results("", readable=False)
    words, whole = tokens(value.decode("utf-8", "replace"))
    if not words:
        return Results("", readable=whole)
    claims: list[Claim] = []
    statement: list[Token] = []
    for word in [*words[1:], Token(";")]:
        if word.text == ";" and not word.quoted:
            if claim := _claim(statement):
                claims.append(claim)
            statement = []
        else:
            statement.append(word)
    return Results(words[0].text, tuple(claims), whole)


def _claim(words: list[Token]) -> Claim | None:
    """``dkim = pass header.d = example.com`` -> a Claim; None for anything else (a version, ``none``)."""
    pairs = [
        (words[number - 1].text.lower(), words[number + 1].text)
        for number in range(1, len(words) - 1)
        if words[number].text == "=" and not words[number].quoted
    ]
    if not pairs or pairs[0][0] != words[0].text.lower():
        return None
    method = pairs[0][0].partition("/")[0]
    return Claim(method, pairs[0][1].lower(), dict(pairs[1:]))
