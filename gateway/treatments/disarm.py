# ruff: noqa: SIM905 - words in a string read better than a column of strings
"""HTML written anew with only what shows text: no scripts, forms, frames, events, refreshes or links that run.

The original stays in custody. What may stay is listed; all else goes, so that an element or attribute nobody thought of goes too.
What is written holds no markup but ours: every ``<`` of the source that is no listed tag comes out as ``&lt;``. Doing it twice
changes nothing.
"""

from collections.abc import Mapping

from pybase64 import b64encode

from gateway.treatments.surgery import Node, content, replaced, without_fields
from scanners import charset
from scanners.html_tokens import Kind, tokens
from scanners.text import declared_charset, unescaped

IMAGES = "images"
"""The value of the treatment that takes out remote pictures too: they tell their sender who reads."""
_ENDINGS = (".htm", ".html", ".xhtml", ".shtml", ".hta")
_TYPES = ("text/html", "application/xhtml+xml")
_KEPT = frozenset(
    (
        "a abbr address article aside b bdi bdo big blockquote body br caption center cite code col colgroup dd del details dfn dir "
        "div dl dt em figcaption figure font footer h1 h2 h3 h4 h5 h6 head header hr html i img ins kbd li main mark menu nav ol p pre "
        "q s samp section small span strike strong sub summary sup table tbody td tfoot th thead time tr tt u ul var wbr"
    ).split()
)
_VOID = frozenset(("br", "col", "hr", "img", "wbr"))
_GONE = frozenset(("applet", "audio", "embed", "frame", "frameset", "math", "object", "svg", "template", "video"))
"""Their content goes with them; of others that are not kept the text stays."""
_SILENT = frozenset(("script", "iframe", "noembed", "noframes"))
_ATTRIBUTES = frozenset(
    (
        "align alt bgcolor border cellpadding cellspacing class color colspan dir face height hspace id lang nowrap rowspan size start "
        "summary title type valign vspace width"
    ).split()
)
_SCHEMES = ("http://", "https://", "mailto:", "tel:", "#")
_ACTIVE_STYLE = (
    "@import",
    "url(",
    "src(",
    "image-set(",
    "expression",
    "behavior",
    "binding",
    "javascript",
    "\\",
    "<",
    "/*",
)
"""A style with one of these loads, runs or hides what it says: it goes whole."""
_CONTROLS = dict.fromkeys(set(range(32)) - {9, 10, 12, 13} | {127})
"""No browser shows them, and escapes could make the page's charset doubtful again."""
_RETYPED = frozenset({b"content-type", b"content-transfer-encoding"})
_LINE = 76


def pages(root: Node) -> list[Node]:
    """The HTML parts, bodies and files."""
    return [
        node
        for node in root.walk()
        if not node.children and (node.media in _TYPES or node.filename.lower().rstrip(". ").endswith(_ENDINGS))
    ]


def obstructed(raw: bytes, root: Node) -> bool:
    """Whether some HTML can't be rewritten for sure: its charset is in doubt, or it lies in a message inside."""
    inside = any(node.media.startswith("message/") for node in root.walk())
    return inside or any(_source(node, raw) is None for node in pages(root))


def disarmed(raw: bytes, root: Node, value: str) -> bytes | None:
    """``raw`` with every HTML part written anew; the same bytes when none is there, None when one can't be read for sure."""
    changes: dict[int, tuple[int, bytes]] = {}
    for node in pages(root):
        source = _source(node, raw)
        if source is None:
            return None
        page = rewritten(source, remote_images=value != IMAGES)
        if page != source:
            changes[node.start] = (node.end, _part(raw, node, page))
    return replaced(raw, changes) if changes else raw


def rewritten(source: str, *, remote_images: bool = True) -> str:
    """The page with listed elements and attributes only. Linear; never raises."""
    out = ["<!DOCTYPE html>" if source.lstrip()[:9].lower() == "<!doctype" else "", '<meta charset="utf-8">']
    gone, depth = "", 0
    for token in tokens(source.translate(_CONTROLS)):
        if gone:
            if token.name == gone and token.kind is not Kind.RAW:
                depth += 1 if token.kind is Kind.OPEN else -1
                gone = gone if depth else ""
        elif token.kind is Kind.TEXT:
            out.append(token.text.replace("<", "&lt;"))
        elif token.kind is Kind.RAW:
            out.append(_raw(token.name, token.text))
        elif token.name in _GONE:
            if token.kind is Kind.OPEN and token.name not in ("embed", "frame"):
                gone, depth = token.name, 1
        elif token.name in _KEPT:
            kept = _attributes(token.name, token.attributes, remote_images)
            if token.kind is Kind.OPEN:
                out.append(f"<{token.name}{kept}>")
            elif token.name not in _VOID:
                out.append(f"</{token.name}>")
    return "".join(out)


def _raw(name: str, text: str) -> str:
    """A style that only paints stays; of the others the text, unless no reader sees it."""
    if name == "style":
        return f"<style>{text}</style>" if _paints(text) else ""
    return "" if name in _SILENT or name == "title" else text.replace("<", "&lt;")


def _attributes(element: str, given: Mapping[str, str], remote_images: bool) -> str:
    kept: list[str] = []
    for name, value in given.items():
        if name == "href":
            wanted = element == "a" and _plainly(value).startswith(_SCHEMES)
        elif name == "src":
            address = _plainly(value)
            allowed = ("cid:", "data:image/png", "data:image/jpeg", "data:image/gif", "data:image/webp")
            wanted = element == "img" and address.startswith((*allowed, *(("https://", "http://") * remote_images)))
        elif name == "style":
            wanted = _paints(unescaped(value))
        else:
            wanted = name in _ATTRIBUTES
        if wanted:
            kept.append(f' {name}="{value.replace(chr(34), "&quot;").replace("<", "&lt;").replace(">", "&gt;")}"')
    return "".join(kept)


def _plainly(address: str) -> str:
    """An address as a browser takes it: references resolved, blanks and controls dropped."""
    return "".join(one for one in unescaped(address[:4_000]).lower() if one > " ")


def _paints(style: str) -> bool:
    lowered = style.lower()
    return not any(word in lowered for word in _ACTIVE_STYLE)


def _source(node: Node, raw: bytes) -> str | None:
    data = content(node, raw)
    decoded = charset.decode(data, node.content_type.first("charset") or declared_charset(data))
    return None if decoded.trouble or decoded.other else decoded.text


def _part(raw: bytes, node: Node, page: str) -> bytes:
    """The part in UTF-8 and base64; its other fields stay."""
    header = without_fields(raw[node.start : node.body], _RETYPED).rstrip(b"\r\n")
    fields = [header] if header else []
    fields += [f"Content-Type: {node.media}; charset=utf-8".encode(), b"Content-Transfer-Encoding: base64"]
    if node.filename and not node.disposition.first("filename"):
        fields.append(b'Content-Disposition: attachment; filename="disarmed.html"')
    if node.start == 0 and b"mime-version:" not in header.lower():
        fields.append(b"MIME-Version: 1.0")
    coded = b64encode(page.encode("utf-8", "replace"))
    body = b"\r\n".join(coded[at : at + _LINE] for at in range(0, len(coded), _LINE))
    return b"\r\n".join(fields) + b"\r\n\r\n" + body + (b"\r\n" if node.start == 0 else b"")
