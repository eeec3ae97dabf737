"""A second, different reading: the standard library's parser (``email``, compat32), and a salvage of what looks like parts.

It is asked only where the first reading was in doubt. The library's own parameter parser is quadratic in quoted semicolons, so
callers keep fields short.
"""

from collections.abc import Iterator
from dataclasses import replace
from email import message_from_bytes
from email.message import Message as Library
from email.policy import compat32
from itertools import islice

from scanners.encoded import parameters
from scanners.mime_reader import Leaf
from scanners.transfer import as_it_looks, transferred

MAX_LEAVES = 1_000
"""As many as the first reading takes."""
MAX_SALVAGED = 1_000
"""Header blocks looked for inside text, as many as parts."""


def leaves(raw: bytes, *, by_looks: bool = False) -> list[Leaf]:
    """The leaves as the library sees them, with paths ``N~email``, then those salvaged, ``N~salvage``. ``by_looks`` adds
    ``N~looks``: decoded by what the bytes look like, for fields that contradict each other or name no encoding.

    Raises RecursionError, ValueError, LookupError, AttributeError or TypeError where the library fails.
    """
    found: list[Leaf] = []
    for part in message_from_bytes(raw, policy=compat32).walk():
        if len(found) >= MAX_LEAVES:
            break
        if not part.is_multipart():
            leaf = _library_leaf(part, f"{len(found) + 1}~email")
            found.append(leaf)
            plain = part.get_payload() if by_looks else ""
            if isinstance(plain, str) and plain:
                content = as_it_looks(plain.encode("utf-8", "surrogateescape"))
                found.append(replace(leaf, path=leaf.path.replace("~email", "~looks"), content=content))
    return found + _salvaged(raw)


def _raw(part: Library, name: str) -> bytes:
    value = part.get(name)
    return str(value).encode("utf-8", "surrogateescape") if value is not None else b""


def _library_leaf(part: Library, path: str) -> Leaf:
    kind = parameters(_raw(part, "content-type"))
    disposition = parameters(_raw(part, "content-disposition"))
    payload = part.get_payload(decode=True)
    content = payload if isinstance(payload, bytes) else b""
    name = disposition.first("filename") or kind.first("name")
    return Leaf(path, part.get_content_type(), kind.value, kind, name, disposition.value, content)


def _salvaged(raw: bytes) -> list[Leaf]:
    """Any block that begins with a Content field after an empty line or ``--...``: whatever the boundaries say, a client may split
    there."""
    starts = list(islice(_block_starts(raw.lower()), MAX_SALVAGED))
    found: list[Leaf] = []
    for number, start in enumerate(starts):
        end = starts[number + 1] if number + 1 < len(starts) else len(raw)
        leaf = _salvaged_leaf(raw[start:end], f"{number + 1}~salvage")
        if leaf is not None:
            found.append(leaf)
    return found


def _block_starts(lower: bytes) -> Iterator[int]:
    at = lower.find(b"\ncontent-")
    while at >= 0:
        line = lower[max(0, lower.rfind(b"\n", max(0, at - 300), at)) : at].strip()
        if not line or line.startswith(b"--"):
            yield at + 1
        at = lower.find(b"\ncontent-", at + 1)


def _salvaged_leaf(data: bytes, path: str) -> Leaf | None:
    head, _, body = data.replace(b"\r\n", b"\n").partition(b"\n\n")
    fields: dict[str, bytes] = {}
    name = ""
    for line in head.split(b"\n")[:100]:
        if line[:1] in (b" ", b"\t") and name:
            fields[name] += line
        else:
            key, _, value = line.partition(b":")
            name = key.strip().lower().decode("latin-1")
            fields.setdefault(name, value)
    kind = parameters(fields.get("content-type", b""))
    if kind.value.startswith("multipart/"):
        return None
    at = body.find(b"\n--")
    body = body if at < 0 else body[:at]
    disposition = parameters(fields.get("content-disposition", b""))
    encoding = parameters(fields.get("content-transfer-encoding", b"")).value
    content = transferred(body, encoding, other=True).content
    filename = disposition.first("filename") or kind.first("name")
    return Leaf(path, kind.value or "text/plain", kind.value, kind, filename, disposition.value, content)
