"""Calendars and contact cards (RFC 5545 3.1, RFC 6350 3.2): lines folded anywhere, values in base64 or quoted-printable, files inside.

One pass, linear; what is no such line stays as it is.
"""

import binascii
from dataclasses import dataclass

from scanners.encoded import lenient_base64
from scanners.transfer import Embedded

MAX_FILES = 50
"""Files taken out of one calendar; an invitation has two or three."""
MAX_BYTES = 8 * 1024 * 1024
"""Bytes that are unfolded; a calendar with a year of meetings has one megabyte."""

_HEAD = 200
"""Bytes in which an address says that it holds its file."""
_BEGINNINGS = (b"begin:vcalendar", b"begin:vcard", b"begin:vevent", b"begin:vnote", b"begin:vmsg")


@dataclass(frozen=True, slots=True)
class Card:
    """The unfolded text with its values decoded, the files inside, and whether there was more than is read."""

    text: bytes
    files: tuple[Embedded, ...]
    more: bool = False


def is_card(content: bytes) -> bool:
    """By its first line."""
    return content[:64].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_BEGINNINGS)


def read(content: bytes) -> Card:
    """Unfold and decode. Never raises."""
    plain = content[:MAX_BYTES].replace(b"\r\n", b"\n").replace(b"\n ", b"").replace(b"\n\t", b"")
    out: list[bytes] = []
    files: list[Embedded] = []
    lines = iter(plain.split(b"\n"))
    for line in lines:
        name, colon, value = line.partition(b":")
        labels = name.upper()
        start = value[:_HEAD].lower()
        if start.startswith(b"data:") and b";base64," in start and len(files) < MAX_FILES:  # RFC 6350 6.2.4
            files.append(Embedded(_file_name(name), lenient_base64(value.partition(b",")[2])))
            out.append(name)
        elif not colon or b";" not in labels:
            out.append(line)
        elif b"QUOTED-PRINTABLE" in labels:
            pieces = [value]
            while pieces[-1].endswith(b"=") and (following := next(lines, None)) is not None:
                pieces[-1] = pieces[-1][:-1]
                pieces.append(following)
            out.append(name + b":" + binascii.a2b_qp(b"".join(pieces)))
        elif b"BASE64" in labels or b"ENCODING=B" in labels:
            decoded = lenient_base64(value)
            if len(files) >= MAX_FILES:
                return Card(b"\n".join(out), tuple(files), more=True)
            files.append(Embedded(_file_name(name), decoded))
            out.append(name)
        else:
            out.append(line)
    return Card(b"\n".join(out), tuple(files), more=len(content) > MAX_BYTES)


def _file_name(labels: bytes) -> str:
    """``X-FILENAME``, ``FILENAME`` and the like among the parameters."""
    for one in labels.split(b";")[1:]:
        key, _, value = one.partition(b"=")
        if b"FILENAME" in key.upper() or key.upper() in (b"X-APPLE-FILENAME", b"LABEL"):
            return value.strip(b'" ').decode("utf-8", "replace")[:255]
    return ""
