"""Fonts of a PDF that do not say which characters they draw: its text comes out as other letters than the eye sees, or as none.

ISO 32000 9.10.2: a program finds a character by the font's ToUnicode, by the names of its glyphs, or by a known collection; where all three
are missing it can only copy codes.
"""

from dataclasses import dataclass

import re2

MAX_FONTS = 2_000
"""Fonts of one file that are looked at; a book has fifty."""
_REACH = 4_000
"""Bytes of one font's dictionary; without its widths it has some two hundred."""

_KINDS = re2.compile(rb"/Type3\b|/Type0\b")
_COPIED = re2.compile(rb"/Identity-[HV]\b")
_OWN = re2.compile(rb"/Ordering\s{0,4}\(Identity\)")
_NUMBERED = re2.compile(rb"/Differences\s{0,4}\[[^\]]{0,400}/(?:[A-Za-tv-z][A-Za-z]{0,3}|u)[0-9]{1,5}[\s/\]]")
"""Glyphs named ``g12`` or ``a48``, by no list of names."""


@dataclass(slots=True)
class Fonts:
    """What was met so far, over all blocks of a file: a font and what it refers to may lie in different ones."""

    looked: int = 0
    copied: bool = False
    drawn: bool = False
    own: bool = False
    numbered: bool = False

    @property
    def silent(self) -> bool:
        """Is there a font that says nothing of its characters?"""
        return (self.copied and self.own) or (self.drawn and self.numbered)

    def look(self, block: bytes) -> None:
        """Look at all fonts of one block. Linear in their number, each bounded."""
        for match in _KINDS.finditer(block):
            self.looked += 1
            if self.looked > MAX_FONTS:
                return
            font = _dictionary(block, match.start())
            if b"/ToUnicode" in font:
                continue
            self.drawn = self.drawn or match.group() == b"/Type3"
            self.copied = self.copied or _COPIED.search(font) is not None
        self.own = self.own or _OWN.search(block) is not None
        self.numbered = self.numbered or _NUMBERED.search(block) is not None


def _dictionary(block: bytes, place: int) -> bytes:
    """The dictionary around ``place``, found by its brackets."""
    start, depth = place, 0
    floor, ceiling = max(0, place - _REACH), min(len(block), place + _REACH)
    while True:
        opened, closed = block.rfind(b"<<", floor, start), block.rfind(b">>", floor, start)
        if opened < 0 and closed < 0:
            start = floor
            break
        start = max(opened, closed)
        if closed > opened:
            depth += 1
        elif depth:
            depth -= 1
        else:
            break
    end, depth = place, 0
    while True:
        opened, closed = block.find(b"<<", end, ceiling), block.find(b">>", end, ceiling)
        if closed < 0:
            return block[start:ceiling]
        if 0 <= opened < closed:
            depth, end = depth + 1, opened + 2
        elif depth:
            depth, end = depth - 1, closed + 2
        else:
            return block[start : closed + 2]
