"""Numbers and words that somebody took apart: a mark after every digit or character, a number over two lines or three cells, digits
written as Chinese numerals. What is put together again is a short text to search beside the first.

Joined numbers mean nothing unless their check digits fit, and that is for whoever searches to see.
"""

from typing import Any

import re2

MAX_FOUND = 200
"""Pieces put together in one text: a page of them is a list, and the first two hundred say what it is."""
MAX_SEARCHED = 1_000_000
"""Bytes of one text that are looked at; what is taken apart by hand is short."""

_VALUES = str.maketrans("〇零一二三四五六七八九壹贰叁肆伍陆柒捌玖", "00123456789123456789")
# UTF-8 by its bytes: the patterns stay small enough for the engine's fast table.
_HAN = rb"[\xe4-\xe9][\x80-\xbf][\x80-\xbf]"
_MARK = rb"(?:[^0-9A-Za-z\x80-\xff]{1,3}|\xc2.|\xe2..|\xe3\x80.|\xef\xbc[\x80-\x8f\x9a-\xa0]|\xf0\x9f..)"
_SINGLE = rb"[0-9](?:" + _MARK + rb"{1,2}[0-9]){14}"
_PARTS = rb"[1-9][0-9]{5}[\s|/,;:]{1,4}(?:19|20)[0-9]{6}[\s|/,;:]{1,4}[0-9]{3}[0-9Xx]"
_LINES = rb"[1-9][0-9]{5,16}[ \t|>]{0,4}\r?\n[ \t|>]{0,4}[0-9]{0,11}[0-9Xx]"
_WORD = _HAN + rb"(?:" + _MARK + rb"{1,2}" + _HAN + rb"){2,30}"
_LONG = "[〇零一二三四五六七八九壹贰叁肆伍陆柒捌玖0-9]{15,40}[Xx]?"


def _compiled(pattern: bytes) -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.dot_nl = True
    return re2.compile(pattern, options)


_ANY = _compiled(rb"|".join((_SINGLE + rb"(?:" + _MARK + rb"[0-9Xx]){0,6}", _PARTS, _LINES, _WORD)))
_NUMBERS = re2.compile(_LONG)


def put_together(data: bytes) -> str:
    """What was taken apart in a normalised UTF-8 text, one piece a line; ``""`` for ordinary text. Linear."""
    found: dict[str, None] = {}
    data = data[:MAX_SEARCHED]
    for match in _ANY.finditer(data):
        piece = match.group().decode("utf-8", "ignore")
        found["".join(one for one in piece if one.isalnum())] = None
        if len(found) >= MAX_FOUND:
            break
    if not data.isascii():
        for match in _NUMBERS.finditer(data):
            piece = match.group()
            if not piece.isascii():
                found[piece.decode("utf-8", "ignore").translate(_VALUES)] = None
            if len(found) >= MAX_FOUND:
                break
    return "\n".join(found)
