"""A line above the text of mail from outside, in Chinese and English, that is taken off again when somebody answers.

A banner in a reply would tell the outside world what we warn our people about, and prints once per answer; so it is written in
a form that ``removed`` finds again, also when a mail program has quoted it or renamed its HTML class.
"""

import html
from collections.abc import Callable

from pybase64 import b64encode

from gateway.treatments import surgery
from gateway.treatments.surgery import OWN_TEXT, Node, replaced, text, without_fields

OPEN, CLOSE = "【", "】"
DEFAULT = "外部邮件：请谨慎点击链接与附件 External mail: take care with links and attachments"
SIGN = "信关 Sealgate"
"""Stands in every banner; by it the banner is found again."""
MAX_TEXT = 500
"""Characters of a banner's own words."""
CLASS = "sealgate-banner"
MAX_ROUNDS = 4
"""Banners within banners that are taken off: none is made so, but what is left when one is gone may read as another."""
_MAY_HIDE = (SIGN.encode(), SIGN.encode("gb18030"), b"base64", b"quoted-printable", b"Quoted-Printable", b"BASE64")
_RETYPED = frozenset({b"content-type", b"content-transfer-encoding"})
_LINE = 76


def added(raw: bytes, root: Node, words: str) -> bytes | None:
    """``raw`` with the banner on each body text, or None when a body's text can't be read for sure."""
    words = " ".join((words or DEFAULT).split())[:MAX_TEXT]
    return _rewritten(raw, root, lambda old, is_html: _above(old, words, is_html=is_html))


def removed(raw: bytes, root: Node) -> bytes | None:
    """``raw`` without our banners; the same bytes when there are none. None when a body with one can't be read for sure."""
    return _rewritten(raw, root, lambda old, is_html: _off_html(old) if is_html else _off_text(old))


def off_replies(raw: bytes) -> bytes:
    """What leaves the company, without the warnings we put into it on the way in; as it came where it can't be altered for sure.

    Costs a search where there is nothing to do: the sign in clear, or a transfer encoding that could hide it.
    """
    for _ in range(MAX_ROUNDS):
        if not may_be_in(raw):
            break
        root = surgery.structure(raw)
        without = None if root is None or surgery.sealed(root, raw) else removed(raw, root)
        if without is None or without == raw:
            break
        raw = without
    return raw


def may_be_in(raw: bytes) -> bool:
    """Whether one of our banners could be in these bytes: its sign, or any encoding or charset that could hide it."""
    return any(sign in raw for sign in _MAY_HIDE)


def bodies(root: Node) -> list[Node]:
    """The parts that a reader sees as the mail's own text: the first plain and the first HTML one that are no files."""
    found: dict[str, Node] = {}
    for node in root.walk():
        if node.media in OWN_TEXT and not node.attached and not node.children:
            found.setdefault(node.media, node)
    return list(found.values())


def _rewritten(raw: bytes, root: Node, edit: Callable[[str, bool], str]) -> bytes | None:
    changes: dict[int, tuple[int, bytes]] = {}
    for node in bodies(root):
        old = text(node, raw)
        if old is None:
            return None
        new = edit(old, node.media == "text/html")
        if new != old:
            changes[node.start] = (node.end, _part(raw, node, new))
    return replaced(raw, changes) if changes else raw


def _part(raw: bytes, node: Node, new: str) -> bytes:
    """The part with other text: UTF-8 in base64, which every client reads and no hop has to re-encode."""
    header = without_fields(raw[node.start : node.body], _RETYPED)
    lines = header.rstrip(b"\r\n")
    fields = [lines] if lines else []
    fields += [f"Content-Type: {node.media}; charset=utf-8".encode(), b"Content-Transfer-Encoding: base64"]
    if node.path == "1" and node.start == 0 and b"mime-version:" not in header.lower():
        fields.append(b"MIME-Version: 1.0")
    coded = b64encode(new.encode("utf-8", "replace"))
    body = b"\r\n".join(coded[at : at + _LINE] for at in range(0, len(coded), _LINE))
    last = b"\r\n" if node.start == 0 else b""
    return b"\r\n".join(fields) + b"\r\n\r\n" + body + last


def _above(old: str, words: str, *, is_html: bool) -> str:
    if not is_html:
        return f"{OPEN}{words} · {SIGN}{CLOSE}\r\n\r\n{old}"
    style = "border:1px solid #c60;background:#fff4e5;color:#333;padding:8px;margin:0 0 12px 0;font-size:13px"
    block = f'<div class="{CLASS}" style="{style}">{OPEN}{html.escape(words)} · {SIGN}{CLOSE}</div>'
    at = _after_body_tag(old)
    return old[:at] + block + old[at:]


def _after_body_tag(page: str) -> int:
    """Behind ``<body ...>``; without one at the front, but never before a doctype (that would switch the page to quirks)."""
    low = page.lower()
    at = low.find("<body")
    if at >= 0 and low[at + 5 : at + 6] in (">", " ", "\t", "\r", "\n"):
        close = page.find(">", at)
        return close + 1 if close >= 0 else 0
    if low.lstrip().startswith("<!doctype"):
        return page.find(">") + 1
    return 0


def _off_text(old: str) -> str:
    """Without lines that are our banner, quoted or not, and the blank line under each."""
    if SIGN + CLOSE not in old:
        return old
    kept: list[str] = []
    skip_blank = False
    for line in old.splitlines(keepends=True):
        bare = line.strip().lstrip("> |").strip()
        if bare.startswith(OPEN) and bare.endswith(SIGN + CLOSE):
            skip_blank = True
            continue
        if skip_blank and not bare:
            skip_blank = False
            continue
        skip_blank = False
        kept.append(line)
    return "".join(kept)


def _off_html(old: str) -> str:
    """Without our block, whatever a mail program made of its class and style. One pass; a block never holds another one."""
    pieces: list[str] = []
    position = 0
    while (sign := old.find(SIGN + CLOSE, position)) >= 0:
        start = old.rfind("<div", position, sign)
        end = old.find("</div>", sign)
        if start < 0 or end < 0 or OPEN not in old[start:sign] or end - start > 4 * MAX_TEXT + 4000:
            pieces.append(old[position : sign + len(SIGN)])
            position = sign + len(SIGN)
            continue
        pieces.append(old[position:start])
        position = end + len("</div>")
    return "".join([*pieces, old[position:]])
