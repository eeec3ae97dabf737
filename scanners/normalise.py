"""Text -> the form in which words and numbers are looked for: what looks the same is written the same.

NFKC (full width, circled digits), characters without a glyph, look-alike letters, other scripts' digits, traditional characters
and the 帐/账 variants, blanks between Han characters. A byte-level look says first whether anything has to be done.
"""

import re
import unicodedata
from functools import lru_cache

import re2
from msgspec import Struct

from scanners.data import han, lookalikes


def _class(ranges: tuple[tuple[int, int], ...]) -> str:
    return "".join(f"\\x{{{first:x}}}-\\x{{{last:x}}}" for first, last in ranges)


def _table() -> dict[int, str]:
    """Every character that is written differently after folding. No composition is needed: marks without a base are dropped."""
    simple = dict(zip(han.TRADITIONAL, han.SIMPLIFIED, strict=True))
    folds = {pair[0]: pair[1] for pair in lookalikes.LETTERS}
    for run in lookalikes.DIGITS:
        folds.update({digit: str(value + 10 - len(run)) for value, digit in enumerate(run)})
    for first, last in lookalikes.COMPATIBLE:
        for character in map(chr, range(first, last + 1)):
            plain = unicodedata.normalize("NFKC", character)
            if plain != character:
                folds.setdefault(character, "".join(simple.get(one, folds.get(one, one)) for one in plain))
    folds.update({chr(code): "" for first, last in lookalikes.UNSEEN for code in range(first, last + 1)})
    folds.update(
        dict.fromkeys(lookalikes.BLANKS, " ")
        | dict.fromkeys(lookalikes.ZEROS, "0")
        | dict.fromkeys("\x0b\x0c\x85\u2028\u2029", "\n")
    )
    return str.maketrans(simple | folds)


_FOLD = _table()
_DISGUISED = re2.compile(
    "[" + _class(lookalikes.UNSEEN) + _class(lookalikes.COMPATIBLE) + "".join(pair[0] for pair in lookalikes.LETTERS)
    + "".join(lookalikes.DIGITS) + lookalikes.BLANKS + lookalikes.ZEROS + "\x0b\x0c\x85\u2028\u2029]"
)  # fmt: skip
_TRADITIONAL = re2.compile("[" + han.TRADITIONAL + "帐]")
_HAN = "\u3007\u3400-\u9fff"
_ANYTHING = re2.compile(f"{_DISGUISED.pattern}|{_TRADITIONAL.pattern}|[{_HAN}][ \t\u3000]+[{_HAN}]")
# A fixed pattern that cannot backtrack far: it starts only at the first blank of a run, after a Han character.
_SPACED = re.compile(f"[ \t\u3000](?<=[{_HAN}].)[ \t\u3000]*(?=[{_HAN}])")
# The engine keeps a fast table for the first 65536 characters only, so those beyond go by the table walk.
_FOLDED = re.compile("[" + re.escape("".join(sorted(chr(code) for code in _FOLD if code < 0x10000))) + "]")
_ASTRAL = re.compile("[\U00010000-\U0010ffff]")
_ACCOUNT = re.compile("帐(?=[号户单款目务面期])")

MAX_KNOWN = 64
"""Characters of a word whose skeleton is remembered: a domain of ordinary length."""
FEW = 12
"""Up to so many different characters are replaced one after the other: cheaper than a table walk over the text."""


class Normalised(Struct, frozen=True):
    """``text`` to search in, its UTF-8 form ``data``, and the length of the original for mapping places back."""

    text: str
    data: bytes
    original: int

    def place(self, offset: int) -> int:
        """The place in the original text that ``offset`` in ``text`` came from; exact when nothing was removed, else near it."""
        if len(self.text) == self.original or not self.text:
            return offset
        return min(self.original, offset * self.original // len(self.text))


def normalise(text: str) -> Normalised:
    """Fold ``text``; clean text comes back as it is. Linear; never raises."""
    original = len(text)
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    if text.isascii():
        return Normalised(text, text.encode("ascii"), original)
    data = text.encode("utf-8", "replace")
    if _ANYTHING.search(data) is None:
        return Normalised(text, data, original)
    present = set(_FOLDED.findall(text))
    if len(present) > FEW or _ASTRAL.search(text):
        text = text.translate(_FOLD)
    else:
        for character in present:
            text = text.replace(character, _FOLD[ord(character)])
    if "帐" in text or "账" in text:
        text = _ACCOUNT.sub("账", text)
    text = _SPACED.sub("", text)
    return Normalised(text, text.encode("utf-8", "replace"), original)


def skeleton(word: str) -> str:
    """``word`` as the eye takes it: folded, lower case, and the pairs that pass for each other made one (rn = m, 0 = o, 1 = l).

    Short words are remembered: the same few domains are compared in every mail.
    """
    return _known_skeleton(word) if len(word) <= MAX_KNOWN else _skeleton(word)


@lru_cache(maxsize=4096)
def _known_skeleton(word: str) -> str:
    return _skeleton(word)


def _skeleton(word: str) -> str:
    folded = unicodedata.normalize("NFKD", word.translate(_FOLD)).lower()
    folded = "".join(character for character in folded if not unicodedata.combining(character))
    for pair, one in (
        ("rn", "m"),
        ("vv", "w"),
        ("cl", "d"),
        ("0", "o"),
        ("1", "l"),
        ("i", "l"),
        ("5", "s"),
        ("3", "e"),
        ("8", "b"),
    ):
        folded = folded.replace(pair, one)
    return folded
