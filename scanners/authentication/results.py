"""Authentication-Results (RFC 8601): our own field, and the removal of fields that claim to be ours."""

import re

from scanners.authentication.domains import to_ascii
from scanners.authentication.fields import MAX_FIELD, parse_results
from scanners.authentication.verdicts import Arc, Authentication, Dkim, Dmarc, Spf, Verdict
from scanners.encoded import text_of

__all__ = ["Authentication", "authentication_results", "strip_forged"]

FIELD = b"authentication-results"
OWN_MARK = b"x-sealgate-"
"""How the names of the marks begin that our own rules put on mail."""
MAX_COMMENT = 160
"""Characters of a reason in a comment."""
MAX_VALUE = 255
"""Characters of a property value; longer ones are cut."""
TOKEN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._!#$%&'*+^`{|}~@")
"""What needs no quotes: token characters of RFC 2045 and the @ of an address."""
LINE_END = re.compile(rb"\r\n|\r|\n")
"""Any line end a lenient reader might see; fixed-length alternatives, so linear."""


def authentication_results(authentication: Authentication, authserv_id: str) -> bytes:
    """The folded field with its CRLF, ready to be put in front of the message."""
    statements = [
        _spf(authentication.spf),
        *([_dkim(one) for one in authentication.dkim] or ["dkim=none"]),
        _dmarc(authentication.dmarc),
        _arc(authentication.arc),
    ]
    lines = [f"Authentication-Results: {_value(authserv_id)}", *statements]
    return ";\r\n\t".join(lines).encode("ascii", "replace") + b"\r\n"


def _spf(spf: Spf) -> str:
    name = "smtp.mailfrom" if spf.identity == "mailfrom" else "smtp.helo"
    domain = f" {name}={_value(spf.domain)}" if spf.domain else ""
    return f"spf={spf.verdict}{_comment(spf.reason)}{domain}"


def _dkim(dkim: Dkim) -> str:
    remarks = [f"{dkim.bits}-bit key"] if dkim.bits else []
    remarks += [dkim.reason] if dkim.reason else []
    values = (("d", dkim.domain), ("s", dkim.selector), ("a", dkim.algorithm), ("b", dkim.signature))
    properties = "".join(f" header.{name}={_value(value)}" for name, value in values if value)
    return f"dkim={dkim.verdict}{_comment('; '.join(remarks))}{properties}"


def _dmarc(dmarc: Dmarc) -> str:
    remark = f"p={dmarc.requested} dis={dmarc.disposition}" if dmarc.record else dmarc.reason
    domain = f" header.from={_value(dmarc.domain)}" if dmarc.domain else ""
    return f"dmarc={dmarc.verdict}{_comment(remark)}{domain}"


def _arc(arc: Arc) -> str:
    if arc.verdict is Verdict.NONE:
        return "arc=none"
    remark = f"i={arc.instances}" if arc.verdict is Verdict.PASS else arc.reason
    if arc.trusted:
        remark += f"; {arc.trusted} is trusted: {arc.vouched}"
    sealer = f" header.d={_value(arc.sealers[-1])}" if arc.sealers else ""
    return f"arc={arc.verdict}{_comment(remark)}{sealer}"


def _comment(text: str) -> str:
    """A comment that can't be closed, escaped or folded by what is in it."""
    clean = "".join(char if " " <= char <= "~" and char not in "()\\" else " " for char in text[:MAX_COMMENT])
    return f" ({clean.strip()})" if clean.strip() else ""


def _value(text: str) -> str:
    """A token, or a quoted string of printable ASCII (RFC 8601 2.2)."""
    clean = "".join(char if " " <= char <= "~" else "?" for char in text[:MAX_VALUE])
    if clean and TOKEN.issuperset(clean):
        return clean
    return '"' + clean.replace("\\", "\\\\").replace('"', '\\"') + '"'


def strip_forged(raw: bytes, header_length: int, authserv_id: str) -> list[bytes]:
    """The message in pieces, without Authentication-Results fields that claim ``authserv_id`` (RFC 8601 5), nor fields of our own name:
    whoever sorts mail by our marks must not be answered by the sender.

    Every other byte stays as it came, so that signatures still verify. Whatever line ends a lenient reader might see count as
    line ends here. A field that can't be read and holds our name anywhere is removed as well.
    """
    header = raw[:header_length]
    lower = header.lower()
    if FIELD not in lower and OWN_MARK not in lower:
        return [raw]
    wanted = to_ascii(authserv_id) or authserv_id.lower()
    kept: list[bytes] = []
    start = 0
    for begin, end in _fields(header):
        name, colon, value = header[begin:end].partition(b":")
        shown = _shown_name(name)
        if colon and (shown.startswith(OWN_MARK) or (shown == FIELD and _claims(value, wanted))):
            kept.append(raw[start:begin])
            start = end
    kept.append(raw[start:])
    return [piece for piece in kept if piece]


def _shown_name(name: bytes) -> bytes:
    """The field's name to a lenient reader: blanks, NUL and a byte order mark around it don't count."""
    return bytes(byte for byte in name[:128] if 0x21 <= byte < 0x7F).lower()


def _fields(header: bytes) -> list[tuple[int, int]]:
    """Where each field begins and ends, folded lines included, for any line ends."""
    fields: list[tuple[int, int]] = []
    begin = 0
    for match in LINE_END.finditer(header):
        after = match.end()
        if header[after : after + 1] not in (b" ", b"\t"):
            fields.append((begin, after))
            begin = after
    if begin < len(header):
        fields.append((begin, len(header)))
    return fields


def _claims(value: bytes, wanted: str) -> bool:
    """Whether the field's value claims the identifier ``wanted``."""
    if b"=?" in value:  # no identifier is an encoded word (RFC 8601 2.2), but what is shown to a person is decoded
        value = text_of(value).encode("utf-8", "replace")
    plain = value.isascii() and b"\\" not in value
    if plain and wanted.encode() not in value.lower():
        return False  # nothing here can spell our name: most fields of others end here
    results = parse_results(value)
    if _same(results.authserv_id, wanted):
        return True
    if results.readable and len(value) <= MAX_FIELD:
        return False
    squeezed = b"".join(value.lower().replace(b"\\", b"").split())
    return wanted.encode() in squeezed


def _same(claimed: str, wanted: str) -> bool:
    name = claimed.strip().removesuffix(".")
    return (to_ascii(name) or name.lower()) == wanted
