"""HTML cut into tags and text as a browser cuts it, for whoever has to write it anew. Linear; the same reading as scanners.text."""

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from scanners.text import _RAW, _attributes, _find_close, _name_of, _tag_end, comment_end


class Kind(Enum):
    """What a token is."""

    TEXT = "text"
    OPEN = "open"
    CLOSE = "close"
    RAW = "raw"
    """An element whose content is no markup (script, style, title), with that content."""


@dataclass(frozen=True, slots=True)
class Token:
    """``text`` of TEXT and RAW is as written, references not resolved; so are the values of ``attributes``."""

    kind: Kind
    name: str = ""
    text: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


def tokens(source: str) -> Iterator[Token]:
    """Every tag and text in order. Comments, declarations and processing instructions are left out."""
    position, size = 0, len(source)
    while position < size:
        at = source.find("<", position)
        at = size if at < 0 else at
        if at > position:
            yield Token(Kind.TEXT, text=source[position:at])
        if at == size:
            return
        following = source[at + 1 : at + 2]
        if following.isascii() and following.isalpha():
            end = _tag_end(source, at + 1)
            if end >= size:
                return  # a tag without an end is shown by no browser
            inner = source[at + 1 : end]
            name = _name_of(inner)
            position = end + 1
            if name in _RAW:
                close = _find_close(source, name, position)
                yield Token(Kind.RAW, name, source[position:close], _attributes(inner))
                end = source.find(">", close)
                position = size if end < 0 else end + 1
            else:
                yield Token(Kind.OPEN, name, attributes=_attributes(inner))
        elif following in ("/", "!", "?") and following:
            position = yield from _other(source, at)
        else:
            yield Token(Kind.TEXT, text="<")
            position = at + 1


def _other(source: str, at: int) -> Generator[Token, None, int]:
    """An end tag, or nothing for what is not shown; returns where to go on."""
    third = source[at + 2 : at + 3]
    if source[at + 1] == "/" and third.isascii() and third.isalpha():
        end = _tag_end(source, at + 2)
        yield Token(Kind.CLOSE, _name_of(source[at + 2 : end]))
        return end + 1
    if source.startswith("<!--", at):
        return comment_end(source, at + 4)[1]
    end = source.find(">", at + 2)
    return len(source) if end < 0 else end + 1
