# ruff: noqa: SIM905 - words in a string read better than a list of literals
"""HTML -> what a reader sees, and apart from it what is only in the source. Linear, no recursion, no native parser.

Tags are told from text as browsers do it (WHATWG HTML 13.2.5): a quote counts only after ``=``, ``<`` before anything but a
letter, ``/``, ``!`` or ``?`` is text. Inline tags never split a word; blocks, cells and ``<br>`` break the line.
"""

import html as entities
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from msgspec import Struct

MAX_LINKS = 200
"""Links taken from one page; a newsletter has about fifty."""
MAX_KNOWN_TAG = 200
"""Characters of a tag that is remembered; newsletters' longest take about so many."""
MAX_RULES = 10_000
"""Style rules looked at; Outlook writes about a hundred."""
MAX_SHOWN = 4_000
"""Characters after a link in which its end is looked for; a link shows a line, or a table with a picture."""

_BLOCKS = frozenset(
    (
        "address article aside blockquote body br center dd details dialog dir div dl dt fieldset figcaption figure footer form h1 "
        "h2 h3 h4 h5 h6 head header hr html iframe legend li listing main menu nav ol optgroup option p pre section select summary "
        "table tbody td textarea tfoot th thead title tr ul button input"
    ).split()
)
_VOID = frozenset(
    "area base br col embed hr img input link meta param source track wbr basefont bgsound frame keygen".split()
)
_RAW = frozenset("script style xmp iframe noembed noframes textarea title plaintext".split())
_UNSEEN = frozenset(
    "rt rp script style head title template noscript noembed noframes iframe object datalist audio video".split()
)
_ATTRIBUTES = ("alt", "title", "placeholder", "value", "content", "aria-label", "summary", "label")

# These patterns are fixed and cannot backtrack: each attempt ends at the next angle bracket, quote or brace.
_ANCHOR = re.compile("<[aA][ \n\t\r/rR]")  # a fixed pattern of three characters
_TAG = re.compile("<([^<>]*)>")
_NAME = re.compile("/?([a-zA-Z][^\\s/>]*)")
_META = re.compile(rb"<meta[^>]{0,200}?charset\s{0,8}=\s{0,8}[\"']?\s{0,8}([A-Za-z0-9_:.-]{2,40})", re.IGNORECASE)
_ZEROS = re.compile("&#0+(?=[1-9])")
_LONG_REFERENCE = re.compile("&#[0-9]{8,};?")
_TAG_NAME = re.compile("<(/?)([a-zA-Z][^\\s/>]*)")
_COMMENT_END = re.compile("--!?>")
_STYLE = re.compile("<(/?)style", re.IGNORECASE | re.ASCII)
_CSS_ESCAPE = re.compile("\\\\([0-9a-fA-F]{1,6})[ \t\r\n]?")
_DECLARATIONS = (
    "display:none", "visibility:hidden", "visibility:collapse", "mso-hide:all", "opacity:0;", "opacity:0.0", "opacity:.0",
    "color:transparent", "color:white", "color:#fff;", "color:#ffffff", "color:rgba(0,0,0,0)", "max-height:0", "height:0;", "height:0px",
    "width:0;", "width:0px", "text-indent:-", "left:-9", "top:-9", "clip:rect(0", "transform:scale(0",
)  # fmt: skip
_TRIGGERS = ("hidden", "display", "visibility", "mso-hide", "opacity", "color", "height", "width", "font", "text-indent", "left:",
             "top:", "clip", "transform", "bdo", "bidi")  # fmt: skip


class Page(Struct, frozen=True):
    """``visible`` is what a reader sees, line by line; ``hidden`` a second reading that holds all text in source order, then
    comments, attributes and generated content; ``""`` when there is nothing more than what is visible."""

    visible: str
    hidden: str = ""
    cut: bool = False
    """More style rules than are looked at: what they hide is taken for visible."""


@dataclass(frozen=True, slots=True)
class Link:
    """One ``<a href>``: the address as written (entities decoded) and the text it shows."""

    href: str
    shown: str


def declared_charset(content: bytes) -> str:
    """The charset a ``<meta>`` in the first kilobyte names, or ``""``."""
    found = _META.search(content[:1024])
    return found.group(1).decode("ascii") if found else ""


def read(source: str) -> Page:
    """Both readings of an HTML text."""
    if "\0" in source:
        source = source.replace("\0", "")  # no browser shows them
    if "<" not in source:
        return Page(_tidy(unescaped(source.replace("\n", " "))))
    quick = _quick(source)
    return Page(quick) if quick is not None else _Walk().read(source)


def links(source: str) -> tuple[list[Link], bool]:
    """Links in order, and whether there were more than are taken."""
    found: list[Link] = []
    anchor = _ANCHOR.search(source)
    while anchor is not None:
        position = anchor.start()
        end = _tag_end(source, position + 1)
        attributes = (
            _attributes(source[position + 1 : end]) if source[position + 1 : position + 5].lower() != "arti" else {}
        )
        if "href" in attributes:
            if len(found) >= MAX_LINKS:
                return found, True
            limit = end + MAX_SHOWN
            close = source.find("</", end, limit)
            while close >= 0 and source[close + 2 : close + 3].lower() != "a":
                close = source.find("</", close + 2, limit)
            inner = source[end + 1 : close if close >= 0 else limit]
            found.append(Link(unescaped(attributes["href"]).strip(), read(inner).visible.strip()))
        anchor = _ANCHOR.search(source, end + 1)
    return found, False


def _quick(source: str) -> str | None:
    """The visible text when nothing in the source can hide anything, else ``None``: the usual mail costs one split."""
    pieces = _TAG.split(source.replace("\n", " "))
    tags = pieces[1::2]
    breaks: dict[str, str] = {}
    for tag in set(tags):
        kind = _known_break(tag) if len(tag) <= MAX_KNOWN_TAG else _break_for(tag)
        if kind is None:
            return None
        breaks[tag] = kind
    texts = "".join(pieces[::2])
    if "<" in texts:
        return None
    pieces[1::2] = map(breaks.__getitem__, tags)
    return _tidy(unescaped("".join(pieces)))


@lru_cache(maxsize=4096)
def _known_break(tag: str) -> str | None:
    """The same for short tags, which mail repeats: kept by the tag, on which alone the answer depends."""
    return _break_for(tag)


def _break_for(tag: str) -> str | None:
    """What a harmless tag leaves in the text; ``None`` when it needs the careful walk."""
    found = _NAME.match(tag)
    if found is None:
        return "" if tag[:8].lower() == "!doctype" and tag.count('"') % 2 == 0 else None
    name = found.group(1).lower()
    if name in _UNSEEN and name != "head":
        return None
    if len(tag) > found.end():
        rest = tag[found.end() :]
        if rest.count('"') % 2 or rest.count("'") % 2 or ("=" in rest and _hints(rest, name)):
            return None
        if "&" in rest and "style" in rest.lower():  # what it says may be written in references
            return None
        if "alt" in rest or "title" in rest or "value" in rest or "hidden" in rest:
            return None
    if name in _BLOCKS:
        return "\n"
    return "" if name not in _RAW else None


def _hints(rest: str, name: str) -> bool:
    """Could these attributes hide the element? Rough: a yes only means that the careful walk decides."""
    lower = rest.lower()
    if "style" not in lower and name not in ("bdo", "font"):
        return False
    return name == "bdo" or (name == "font" and "#fff" in lower) or _hides(lower) or "bidi" in lower


def _hides(style: str) -> bool:
    """Do these declarations make text invisible? Takes any text that holds them; blanks and case don't matter."""
    plain = "".join(style.lower().split())
    if "/*" in plain:
        plain = _without(plain, "/*", "*/")
    if "\\" in plain:
        return True  # escapes in a style serve to hide what it says
    plain = (
        plain.replace("!important", "").replace("background-color", "background").replace("'", ";").replace('"', ";")
        + ";"
    )
    if any(mark in plain for mark in _DECLARATIONS):
        mark = next(mark for mark in _DECLARATIONS if mark in plain)
        return not (mark in ("height:0;", "height:0px") and f"line-{mark}" in plain and plain.count("height:0") == 1)
    at = plain.find("font-size:")
    at = at if at >= 0 else plain.find("font:")
    return at >= 0 and _tiny(plain[at:].partition(":")[2].partition(";")[0])


def _tiny(size: str) -> bool:
    number = ""
    for character in size:
        if character not in "0123456789.":
            break
        number += character
    unit = size[len(number) :]
    try:
        value = float(number)
    except ValueError:
        return False
    limit = {"px": 2.0, "pt": 2.0, "em": 0.2, "rem": 0.2, "%": 20.0}.get(
        next((u for u in ("px", "pt", "rem", "em", "%") if unit.startswith(u)), ""), 0.0
    )
    return value <= limit


def _css_unescaped(sheet: str) -> str:
    """``\\5408`` in generated content is a character (CSS Syntax 4.3.7)."""
    return _CSS_ESCAPE.sub(lambda found: chr(int(found[1], 16)) if 0 < int(found[1], 16) < 0xD800 else " ", sheet)


def _without(text: str, start: str, end: str) -> str:
    """Drop everything between the two marks; an unclosed one drops the rest."""
    out: list[str] = []
    position = 0
    while True:
        at = text.find(start, position)
        if at < 0:
            out.append(text[position:])
            return "".join(out)
        out.append(text[position:at])
        close = text.find(end, at + len(start))
        if close < 0:
            return "".join(out)
        position = close + len(end)


def unescaped(text: str) -> str:
    """``text`` with its character references resolved, those with digits beyond any character too. Never raises."""
    if "&" not in text:
        return text
    if "&#" in text:  # the library turns digits into a number, which fails beyond 4300 of them
        text = _LONG_REFERENCE.sub("\ufffd", _ZEROS.sub("&#", text))
    return entities.unescape(text)


def _tidy(text: str) -> str:
    """Runs of blanks become one, empty lines go; what a browser's white-space: normal does, line breaks of blocks kept."""
    for blank in "\t\r\f\v\xa0":
        if blank in text:
            text = text.replace(blank, " ")
    while "  " in text:  # halves the longest run each time
        text = text.replace("  ", " ")
    return "\n".join(filter(None, map(str.strip, text.split("\n"))))


def _tag_end(source: str, start: int) -> int:
    """Index of the ``>`` that ends the tag whose name begins at ``start``; the end of the source when there is none."""
    end = source.find(">", start)
    if end < 0:
        return len(source)
    if source.find('"', start, end) < 0 and source.find("'", start, end) < 0:
        return end
    position = start
    while True:
        equals = source.find("=", position, end)
        if equals < 0:
            return end
        value = equals + 1
        while source[value : value + 1].isspace():
            value += 1
        quote = source[value : value + 1]
        if quote in ("'", '"') and quote:
            close = source.find(quote, value + 1)
            if close < 0:
                return len(source)
            position = close + 1
            if position > end:
                end = source.find(">", position)
                if end < 0:
                    return len(source)
        else:
            position = value if value > equals else equals + 1
            if position >= end:
                return end


def _attributes(tag: str) -> dict[str, str]:
    """Attributes of a tag's inner text, names in lower case, values raw; the first of equal names counts."""
    found: dict[str, str] = {}
    position, size = 0, len(tag)
    while position < size and not tag[position].isspace() and tag[position] != "/":
        position += 1
    while position < size:
        while position < size and (tag[position].isspace() or tag[position] == "/"):
            position += 1
        start = position
        while position < size and not tag[position].isspace() and (tag[position] not in "=/" or position == start):
            position += 1
        name = tag[start:position].lower()
        while position < size and tag[position].isspace():
            position += 1
        value = ""
        if tag[position : position + 1] == "=":
            position += 1
            while position < size and tag[position].isspace():
                position += 1
            quote = tag[position : position + 1]
            if quote in ("'", '"') and quote:
                close = tag.find(quote, position + 1)
                close = size if close < 0 else close
                value, position = tag[position + 1 : close], close + 1
            else:
                start = position
                while position < size and not tag[position].isspace():
                    position += 1
                value = tag[start:position]
        if name:
            found.setdefault(name, value)
    return found


class _Walk:
    """The careful reading: one pass over tags with the stack of open hidden elements."""

    def __init__(self) -> None:
        self.visible: list[str] = []
        self.full: list[str] = []
        self.apart: list[str] = []
        self.hiding: list[str] = []
        self.depth = 0
        self.reversed: list[str] = []
        self.reversed_to = 0
        self.selectors: frozenset[str] = frozenset()

    def read(self, source: str) -> Page:
        self.selectors, self.cut = _hidden_selectors(source)
        position, size = 0, len(source)
        while position < size:
            at = source.find("<", position)
            if at < 0:
                self._text(source[position:])
                break
            if at > position:
                self._text(source[position:at])
            position = self._markup(source, at)
        visible = _tidy(unescaped("".join(self.visible)))
        full = _tidy(unescaped("".join(self.full)))
        if "\u202e" in full:
            self.reversed.append(full)
        apart = _tidy(unescaped("\n".join(self.apart)))
        turned = "\n".join(_tidy(unescaped(piece))[::-1] for piece in self.reversed)
        rest = "\n".join(piece for piece in (full if full != visible else "", apart, turned) if piece)
        return Page(visible, rest, self.cut)

    def _text(self, piece: str) -> None:
        piece = piece.replace("\n", " ")
        self.full.append(piece)
        if not self.hiding:
            self.visible.append(piece)

    def _break(self, mark: str) -> None:
        self.full.append(mark)
        if not self.hiding:
            self.visible.append(mark)

    def _markup(self, source: str, at: int) -> int:
        """Deal with what begins at ``<``; returns where to go on."""
        following = source[at + 1 : at + 2]
        if following.isascii() and following.isalpha():
            return self._open(source, at)
        if following == "/":
            third = source[at + 2 : at + 3]
            if third.isascii() and third.isalpha():
                end = _tag_end(source, at + 2)
                self._close(_name_of(source[at + 2 : end]))
                return end + 1
            return self._comment(source, at + 2, ">") if third else at + 2
        if source.startswith("<!--", at):
            return self._dashed(source, at + 4)
        if following in ("!", "?"):
            return self._comment(source, at + 2, ">")
        self._text("<")
        return at + 1

    def _dashed(self, source: str, start: int) -> int:
        """A comment; ``<!-->`` and ``<!--->`` are complete, ``--!>`` ends one too."""
        stop, end = comment_end(source, start)
        if stop > start:
            self.apart.append(_TAG.sub(" ", source[start:stop]))
        return end

    def _comment(self, source: str, start: int, mark: str) -> int:
        end = source.find(mark, start)
        if end < 0:
            self.apart.append(source[start:])
            return len(source)
        if not source[start:end].lower().startswith("doctype"):
            self.apart.append(source[start:end])
        return end + len(mark)

    def _open(self, source: str, at: int) -> int:
        end = _tag_end(source, at + 1)
        inner = source[at + 1 : end]
        name = _name_of(inner)
        attributes = _attributes(inner) if len(inner) > len(name) + 1 else {}
        if name in _BLOCKS:
            self._break("\n")
        if "srcdoc" in attributes:  # a page within the page
            self.apart.append(_TAG.sub("", unescaped(attributes["srcdoc"])))
        if attributes:
            self.apart += [
                attributes[key] for key in _ATTRIBUTES if attributes.get(key) and (key != "content" or name == "meta")
            ]
        if name in _RAW:
            return self._raw(source, end + 1, name, attributes)
        if (name not in _VOID and not inner.endswith("/")) or name in _UNSEEN:
            if self.hiding:
                if name == self.hiding[-1]:
                    self.depth += 1
            elif name not in _VOID and self._is_hidden(name, attributes):
                self.hiding.append(name)
                self.depth = 1
        if (name == "bdo" or "bidi-override" in attributes.get("style", "")) and at >= self.reversed_to:
            close = self.reversed_to = _matching_close(
                source, name, end
            )  # what stands within is turned with the outermost
            self.reversed.append(_TAG.sub("", source[end + 1 : close]))
        return end + 1

    def _raw(self, source: str, start: int, name: str, attributes: dict[str, str]) -> int:
        """Elements whose content is no markup."""
        close = _find_close(source, name, start)
        content = source[start:close]
        if name in ("xmp", "textarea", "plaintext") and not self._is_hidden(name, attributes):
            self._text(content)
        elif content.strip() and (name != "style" or "content" in content):
            self.apart.append(_css_unescaped(content) if name == "style" else content)
            if name in ("noembed", "noframes", "iframe"):  # markup to a program without frames
                self.apart.append(_TAG.sub("", content))
        if name in _BLOCKS:
            self._break("\n")
        end = source.find(">", close)
        return len(source) if end < 0 else end + 1

    def _close(self, name: str) -> None:
        if self.hiding and name == self.hiding[-1]:
            self.depth -= 1
            if self.depth <= 0:
                self.hiding.pop()
        if name in _BLOCKS:
            self._break("\n")
        if name in ("body", "html"):
            self.hiding.clear()

    def _is_hidden(self, name: str, attributes: dict[str, str]) -> bool:
        if name in _UNSEEN and name != "head":
            return True
        if not attributes:
            return name in self.selectors
        if "hidden" in attributes or (
            name == "font" and attributes.get("color", "").lower() in ("white", "#fff", "#ffffff")
        ):
            return True
        style = attributes.get("style", "")
        if style and _hides(unescaped(style)):
            return True
        if not self.selectors:
            return False
        names = [f".{word}" for word in attributes.get("class", "").split()] + [f"#{attributes.get('id', '')}", name]
        return any(word in self.selectors for word in names)


def _name_of(inner: str) -> str:
    found = _NAME.match(inner)
    return found.group(1).lower() if found else ""


def _find_close(source: str, name: str, start: int) -> int:
    position = start
    while name != "plaintext":
        at = source.find("</", position)
        if at < 0:
            break
        if source[at + 2 : at + 2 + len(name)].lower() == name:
            return at
        position = at + 2
    return len(source)


def comment_end(source: str, start: int) -> tuple[int, int]:
    """Where the content of the comment ends that begins at ``start``, behind its ``<!--``, and where the page goes on."""
    for short in (">", "->"):
        if source.startswith(short, start):
            return start, start + len(short)
    found = _COMMENT_END.search(source, start)
    return (len(source), len(source)) if found is None else found.span()


def _matching_close(source: str, name: str, start: int) -> int:
    """Where the end tag stands that closes the element open at ``start``; the end of the source when it is never closed."""
    depth = 1
    for tag in _TAG_NAME.finditer(source, start):
        if tag[2].lower() == name:
            depth += -1 if tag[1] else 1
            if not depth:
                return tag.start()
    return len(source)


def _hidden_selectors(source: str) -> tuple[frozenset[str], bool]:
    """Classes, ids and element names that a style sheet of the page hides (roughly: the last word of each selector); whether there
    were more rules than are looked at."""
    found: set[str] = set()
    budget = MAX_RULES
    start = -1
    for mark in chain(_STYLE.finditer(source), (None,)):
        if start >= 0 and (mark is None or mark[1]):
            end = len(source) if mark is None else mark.start()
            head = source.find(">", start, end)
            for rule in _without(source[head + 1 : end] if head >= 0 else "", "/*", "*/").split("}"):
                budget -= 1
                if budget <= 0:
                    break
                found.update(_hidden_by(rule))
            start = -1
        elif start < 0 and mark is not None and not mark[1]:
            start = mark.end()
    found.discard("")
    return frozenset(found - {"body", "html", "a", "p", "td", "div", "span", "table", "tr"}), budget <= 0


def _hidden_by(rule: str) -> Iterator[str]:
    """The last words of this rule's selectors if it hides."""
    selector, _, body = rule.rpartition("{")
    if body and _hides(body):
        for one in selector.rpartition("{")[2].split(","):
            words = one.split()
            if words:
                yield _simple(words[-1])


def _simple(selector: str) -> str:
    """``p.x:hover`` -> ``.x``: the class or id when there is one."""
    selector = selector.partition(":")[0].partition("[")[0]
    for mark in ("#", "."):
        if mark in selector:
            return mark + selector.rpartition(mark)[2]
    return selector.lower()
