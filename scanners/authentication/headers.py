"""Whom the From fields name, and every reason why a reader might see somebody else (RFC 5322 3.4, read with suspicion).

``author()`` never guesses: what two mail programs could read differently is reported as ambiguous, one stable word per reason.
"""

import binascii
from collections.abc import Iterable
from dataclasses import dataclass

from scanners.authentication.canonical import Prepared
from scanners.authentication.domains import split_address, to_ascii
from scanners.authentication.fields import end_of_comment, quoted_string
from scanners.authentication.verdicts import Author

MAX_FROM = 8192
"""Octets of a From field that is read; longer ones are ambiguous as such."""
MAX_DOMAINS = 5
"""Author domains kept of an ambiguous field; each costs a DMARC evaluation."""
MAX_ENCODED_WORDS = 64
"""Encoded words decoded in one display name."""

SPACE = " \t"
STRUCTURE = frozenset('"(<,;:')
"""Characters that mean something in a mailbox list."""
AT_SIGNS = "@＠﹫"  # the full-width and small forms look the same to a reader
BIDI = frozenset("‪‫‬‭‮⁦⁧⁨⁩")


@dataclass(slots=True)
class _Mailbox:
    """One mailbox while it is being read."""

    display: str = ""
    address: str = ""
    comments: str = ""


def author(prepared: Prepared, raw: bytes, header_length: int) -> Author:
    """The author of this message as its header names it."""
    values = prepared.values(b"from")
    reasons: dict[str, None] = {}
    if not values:
        reasons["missing"] = None
    if len(values) > 1:
        reasons["several_fields"] = None
    for reason in _structure(prepared, raw, header_length):
        reasons[reason] = None
    mailboxes: list[_Mailbox] = []
    for value in values[:MAX_DOMAINS]:
        mailboxes += _mailboxes(value, reasons)
    domains: dict[str, None] = {}
    for mailbox in mailboxes:
        if domain := _domain(mailbox, reasons):
            domains[domain] = None
    if values and not mailboxes:
        reasons["empty"] = None
    if len(mailboxes) > 1:
        reasons["several_mailboxes"] = None
    single = mailboxes[0] if len(mailboxes) == 1 else _Mailbox()
    return Author(tuple(domains)[:MAX_DOMAINS], single.address, single.display, tuple(reasons))


def _structure(prepared: Prepared, raw: bytes, header_length: int) -> Iterable[str]:
    """Oddities of the header section that make mail programs find different From fields."""
    for at in prepared.index.get(b"from", ()):
        name, value = prepared.headers[at]
        if name.lower() != b"from":
            yield "space_before_colon"
        if any(not line.strip(b" \t") for line in value[:-2].split(b"\r\n")[1:]):
            yield "blank_folding"
    header = raw[:header_length]
    if prepared.junk and _looks_like_from(header):
        yield "malformed_field"
    bare = header.replace(b"\r\n", b"") if b"\r\n" in header else header
    if b"\n" in bare or b"\r" in bare:
        lines = bare.replace(b"\r", b"\n").lower().split(b"\n")[1:]
        if any(line.lstrip(b" \t\0").startswith(b"from") for line in lines):
            yield "bare_line_end"
    if b"\0" in header:
        yield "nul"


def _looks_like_from(header: bytes) -> bool:
    """A line that is no field to us but From to a lenient reader: NUL, a byte order mark or blanks around the name."""
    for line in header.split(b"\r\n"):
        name, colon, _ = line.partition(b":")
        if colon and name.lower() != b"from" and len(name) < 64:
            cleaned = bytes(byte for byte in name if 0x21 <= byte < 0x7F).lower()
            if cleaned == b"from" and name.lower().rstrip(b" \t") != b"from" and not _folds(line):
                return True
    return header[:1] in (b" ", b"\t") and header.lstrip(b" \t").lower().startswith(b"from")


def _folds(line: bytes) -> bool:
    return line[:1] in (b" ", b"\t")


def _mailboxes(value: bytes, reasons: dict[str, None]) -> list[_Mailbox]:
    """The mailboxes of one From field; whatever isn't a plain mailbox list is noted in ``reasons``."""
    if len(value) > MAX_FROM:
        reasons["too_long"] = None
        value = value[:MAX_FROM]
    try:
        text = value.replace(b"\r\n", b"").decode("utf-8")
    except UnicodeDecodeError:
        reasons["not_utf8"] = None
        text = value.replace(b"\r\n", b"").decode("latin-1")
    if not _is_plain(text) and any((char < " " and char != "\t") or char == "\x7f" or char in BIDI for char in text):
        reasons["control"] = None
    found = [_Mailbox()]
    at = 0
    while at < len(text):
        at = _step(text, at, found, reasons)
    return [box for box in (_finish(box, reasons) for box in found) if box]


def _is_plain(text: str) -> bool:
    """Printable ASCII alone: the usual field, in which no character needs a look."""
    return text.isascii() and text.isprintable()


def _step(text: str, at: int, found: list[_Mailbox], reasons: dict[str, None]) -> int:
    """Read one token at ``at`` into the last mailbox of ``found``; the position after it."""
    char, box = text[at], found[-1]
    if char == '"':
        quoted, end = quoted_string(text, at)
        box.display += quoted if end >= 0 else text[at + 1 :]
        if end >= 0 and text[end : end + 1] == "@":
            reasons["quoted_local_part"] = None
    elif char == "(":
        end = end_of_comment(text, at)
        box.comments += text[at + 1 : end - 1 if end >= 0 else len(text)] + " "
    elif char == "<":
        end = text.find(">", at) + 1 or -1
        inner = text[at + 1 : end - 1 if end >= 0 else len(text)]
        if box.address:
            reasons["several_addresses"] = None
            found.append(_Mailbox(address=_route(inner, reasons)))
        else:
            box.address = _route(inner, reasons) or " "
    elif char in ",;:":
        if char != ",":
            reasons["group"] = None
        found.append(_Mailbox())
        return at + 1
    else:
        end = at + 1
        while end < len(text) and text[end] not in STRUCTURE:
            end += 1
        words = text[at:end]
        if box.address.strip() and words.strip(SPACE):
            reasons["text_after_address"] = None
        box.display += words
        return end
    if end < 0:
        reasons["unterminated"] = None
        return len(text)
    return end


def _route(inner: str, reasons: dict[str, None]) -> str:
    """What stands between the angle brackets: an address, maybe behind a source route (RFC 5322 4.4)."""
    inner = inner.strip(SPACE)
    if inner.startswith("@") and ":" in inner:
        reasons["source_route"] = None
        inner = inner.rpartition(":")[2]
    if any(char in inner for char in '(<"') or any(char in inner for char in SPACE):
        reasons["odd_address"] = None
    return inner


def _finish(box: _Mailbox, reasons: dict[str, None]) -> _Mailbox | None:
    display = box.display.strip(SPACE)
    if not box.address and not display and not box.comments.strip():
        return None
    if not box.address:  # addr-spec alone: what we took for a name is the address
        box.address, display = display, ""
        if any(char in box.address for char in SPACE) or "=?" in box.address:
            reasons["odd_address"] = None
    box.address = box.address.strip(SPACE)
    box.display = decode_words(display)
    shown = [box.display, decode_words(box.comments)]
    if any((char < " " and char != "\t") or char in BIDI for text in shown if not _is_plain(text) for char in text):
        reasons["control"] = None
    own = box.address.lower()
    if any(_names_other_address(text, own) for text in shown):
        reasons["address_in_name"] = None
    return box


def _names_other_address(text: str, own: str) -> bool:
    """Whether a display name or comment shows an address of another domain than ``own``."""
    for sign in AT_SIGNS[1:]:
        text = text.replace(sign, "@")
    if "@" not in text:
        return False
    own_domain = to_ascii(split_address(own)[1])
    for piece in text.split("@")[1:]:
        length = 0
        while length < len(piece) and (piece[length].isalnum() or piece[length] in ".-_"):
            length += 1
        domain = to_ascii(piece[:length].strip("."))
        if "." in domain and domain != own_domain:
            return True
    return False


def _domain(mailbox: _Mailbox, reasons: dict[str, None]) -> str:
    """The A-label domain of a mailbox, or ``""`` with the reason noted."""
    local, raw_domain = split_address(mailbox.address)
    if "@" in local.strip('"'):
        reasons["several_at_signs"] = None
    if not local or not raw_domain:
        reasons["no_address"] = None
        return ""
    domain = to_ascii(raw_domain)
    if not domain or raw_domain.endswith("."):
        reasons["odd_domain"] = None
    if "=?" in mailbox.address:
        reasons["encoded_address"] = None
    return domain


def decode_words(text: str) -> str:
    """A display name with its encoded words decoded (RFC 2047), leniently: what a mail program would show."""
    if "=?" not in text:
        return text
    pieces: list[str] = []
    at = 0
    for _ in range(MAX_ENCODED_WORDS):
        start = text.find("=?", at)
        parts = text[start + 2 :].split("?", 3) if start >= 0 else []
        if len(parts) < 4 or not parts[3].startswith("="):
            break
        if text[at:start].strip(SPACE) or not pieces:
            pieces.append(text[at:start])
        pieces.append(_decode_word(*parts[:3]))
        at = start + 2 + sum(len(part) + 1 for part in parts[:3]) + 1
    return "".join(pieces) + text[at:]


def _decode_word(charset: str, encoding: str, content: str) -> str:
    try:
        if encoding.lower() == "b":
            octets = binascii.a2b_base64(content.encode("ascii", "replace") + b"==")
        else:
            octets = binascii.a2b_qp(content.replace("_", " ").encode("ascii", "replace"), header=True)
        name = charset.partition("*")[0].lower()
        return octets.decode("gb18030" if name in ("gb2312", "gbk") else name, "replace")
    except (ValueError, LookupError):
        return content
