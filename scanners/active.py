"""What makes an HTML page act: scripts, event handlers, refreshes, frames, forms, objects, a base for all links, and styles that load or
run something.

Mail programs ignore most of it and browsers none: whoever opens an attached page has opened all of it.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

from scanners.finding import Code, Severity
from scanners.patterns import compiled

ACTIVE = Code(
    "content.html_active",
    Severity.LOW,
    "HTML 含脚本、事件、自动跳转、框架、表单、对象或外部样式",
    "HTML that acts: script, event, refresh, frame, form, base, object or style; about says which",
)
CODES = (ACTIVE,)

_EVENT = (
    "abort|activate|after[a-z]{3,10}|animation[a-z]{3,12}|auxclick|before[a-z]{3,20}|begin|blur|bounce|cancel|canplay[a-z]{0,10}|change|click"
    "|close|contextmenu|copy|cut|dblclick|drag[a-z]{0,6}|drop|end|ended|error|finish|focus[a-z]{0,3}|hashchange|input|invalid|key[a-z]{2,5}"
    "|load[a-z]{0,10}|message|mouse[a-z]{2,6}|offline|online|page[a-z]{4}|paste|play[a-z]{0,3}|pointer[a-z]{2,14}|popstate|progress"
    "|readystatechange|repeat|reset|resize|scroll[a-z]{0,3}|search|seek[a-z]{2,3}|select[a-z]{0,6}|show|start|storage|submit|toggle"
    "|touch[a-z]{3,6}|transition[a-z]{3,6}|unload|volumechange|webkit[a-z]{5,30}|wheel"
)
PATTERN = (
    rf"(?i)<(script|meta\s[^<>]{{0,300}}http-equiv\s{{0,4}}=\s{{0,4}}[\"']?\s{{0,4}}refresh|link\s[^<>]{{0,300}}stylesheet|base|i?frame|frameset|form|object|embed|applet|portal)[\s/>\"'=]"
    rf"|[\s\"'/](on(?:{_EVENT}))\s{{0,4}}=\s{{0,4}}[\"']?[^\"'\s>]"
    r"|(expression\s?\(|behaviou?r\s?:\s?url|-moz-binding|@import[\s\"'(])"
)
"""Three groups: an element, an event's attribute, a style. For RE2 on bytes."""
_OF_ELEMENT = {
    "s": "script",
    "m": "refresh",
    "i": "frame",
    "p": "frame",
    "b": "base",
    "l": "style",
    "o": "object",
    "e": "object",
    "a": "object",
}


@cache
def _pattern() -> Any:
    """Compiled at the first use."""
    return compiled(PATTERN)


def kind_of(element: bytes | None, event: bytes | None) -> str:
    """The word for what was met: ``script``, ``event``, ``refresh``, ``frame``, ``form``, ``base``, ``object`` or ``style``."""
    if element:
        name = element.lower()
        if name.startswith(b"f"):
            return "form" if name == b"form" else "frame"
        return _OF_ELEMENT[chr(name[0])]
    return "event" if event else "style"


def kinds(source: bytes) -> Iterator[str]:
    """Each kind once, in order of appearance."""
    found: set[str] = set()
    for match in _pattern().finditer(source):
        kind = kind_of(match.group(1), match.group(2))
        if kind not in found:
            found.add(kind)
            yield kind
