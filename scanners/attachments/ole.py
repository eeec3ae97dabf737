"""OLE compound files: which format one is, its streams within bounds, macros, embedded objects, and Outlook messages (MS-OXMSG)."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from scanners import charset, text
from scanners.attachments import lzfu, macros
from scanners.attachments.budget import LimitReached
from scanners.attachments.codes import DECRYPTED, EMBEDDED, ENCRYPTED, MACRO
from scanners.attachments.reading import Note, Reading, UnreadableContent

MAX_STREAMS = 2_000
"""Streams of one file looked at."""
MAX_TRIES = 12
"""Passwords tried on an encrypted OOXML file: each derives a key in 100 000 rounds, about 0.1 s."""
_SAID = frozenset(
    ("0037", "0C1A", "0C1F", "0E04", "0E03", "1000", "007D", "0E1D", "3001", "3003", "39FE", "1035", "800A")
)
"""Properties that are shown: subject, sender, recipients, text, headers (MS-OXPROPS)."""
_STREAMS = (
    ("WordDocument", "application/msword"),
    ("Workbook", "application/vnd.ms-excel"),
    ("Book", "application/vnd.ms-excel"),
    ("PowerPoint Document", "application/vnd.ms-powerpoint"),
    ("__properties_version1.0", "application/vnd.ms-outlook"),
)


@contextmanager
def opened(data: bytes) -> Iterator[Any]:
    """The file by olefile. Raises UnreadableContent."""
    import olefile

    try:
        file = olefile.OleFileIO(io.BytesIO(data))
    except Exception as error:  # olefile raises struct, index and its own errors on broken sectors
        raise UnreadableContent(f"OLE: {type(error).__name__}") from None
    try:
        yield file
    finally:
        file.close()


def inner_type(data: bytes) -> str:
    """The format by the streams' names; looks for them in the bytes, which is enough to choose a reader."""
    for name, media_type in _STREAMS:
        if name.encode("utf-16-le") + b"\0\0" in data:
            return media_type
    if data[0x50:0x60] == b"\x84\x10\x0c\0\0\0\0\0\xc0\0\0\0\0\0\0F" or "䡀㼿䕷䑬㭪䗤䠤".encode("utf-16-le") in data:
        return "application/x-msi"
    return "application/x-ole-storage"


def stream(file: Any, name: str, reading: Reading) -> bytes:
    """A stream's bytes, counted. Raises UnreadableContent when it is not there."""
    try:
        size = file.get_size(name)
        if size > reading.budget.room():
            raise LimitReached("size", reading.budget.room())
        content = bytes(file.openstream(name).read())
    except OSError:
        raise UnreadableContent(f"no stream {name}") from None
    reading.budget.unpacked(len(content))
    return content


def rest(file: Any, data: bytes, reading: Reading) -> None:
    """What any OLE document may carry besides its text: properties, macros, objects."""
    _properties(file, reading)
    try:
        macros.look(data, reading)
    except LimitReached:
        raise
    except Exception as error:  # oletools on hostile bytes
        reading.note(Note(MACRO, f"macros not readable: {type(error).__name__}", about="vba"))
    for path in _listed(file, reading):
        leaf = path[-1]
        if leaf.lower() in ("\x01ole10native", "package", "contents") or "ObjectPool" in path:
            if leaf.lower() == "\x01ole10native":
                reading.note(Note(EMBEDDED, "embedded OLE package", about="ole"))
                _package(stream(file, "/".join(path), reading), reading)
            elif leaf.lower() == "package":
                reading.note(Note(EMBEDDED, "embedded document", about="ole"))
                reading.member("package", stream(file, "/".join(path), reading), "")


def _listed(file: Any, reading: Reading) -> list[list[str]]:
    paths: list[list[str]] = file.listdir(streams=True, storages=False)
    if len(paths) > MAX_STREAMS:
        reading.limited("entries", MAX_STREAMS)
    return paths[:MAX_STREAMS]


def _properties(file: Any, reading: Reading) -> None:
    try:
        found = file.get_metadata()
    except Exception:  # broken property sets are common and carry little
        reading.budget.tick()
        return
    for key in ("title", "subject", "author", "keywords", "comments", "company", "manager", "category"):
        value = getattr(found, key, None)
        if isinstance(value, bytes) and value:
            reading.say(charset.decode(value.rstrip(b"\0")).text)


def _package(content: bytes, reading: Reading) -> None:
    """An OLE 1.0 package (MS-OLEDS 2.3.6): label, path, then the file."""
    try:
        position = 6
        end = content.index(b"\0", position)
        label = content[position:end]
        position = content.index(b"\0", end + 1) + 1
        position += 4
        length = int.from_bytes(content[position : position + 4], "little")
        position += 4 + length
        size = int.from_bytes(content[position : position + 4], "little")
        body = content[position + 4 : position + 4 + size]
    except ValueError:
        label, body = b"package.bin", content
    reading.member(charset.decode(label).text or "package.bin", body or content, "")


def read(data: bytes, reading: Reading) -> None:
    """A compound file of no known format: encrypted OOXML, an installer, an embedded object."""
    with opened(data) as file:
        if file.exists("EncryptedPackage"):
            _decrypt(data, reading)
            return
        rest(file, data, reading)
        for path in _listed(file, reading):
            if path[-1] in ("CONTENTS", "Contents", "Package"):
                reading.member(path[-1], stream(file, "/".join(path), reading), "")
        if file.exists("\x01Ole10Native"):
            return
    raise UnreadableContent("compound file of an unknown format")


def _decrypt(data: bytes, reading: Reading) -> None:
    """Encrypted OOXML (MS-OFFCRYPTO): with Excel's built-in password, then the mail's own words."""
    for word in ("VelvetSweatshop", *reading.words[:MAX_TRIES]):
        reading.budget.tick()
        content = _try(data, word)
        if content:
            reading.budget.unpacked(len(content))
            reading.note(Note(DECRYPTED, "opened with a known password", about="office"))
            reading.member(reading.name or "document", content, "")
            return
    reading.note(Note(ENCRYPTED, "encrypted office document", about="office"))


def _try(data: bytes, word: str) -> bytes:
    import msoffcrypto

    out = io.BytesIO()
    try:
        file: Any = msoffcrypto.OfficeFile(io.BytesIO(data))
        file.load_key(password=word, verify_password=True)
        file.decrypt(out)
    except Exception:  # a wrong password and a broken file look alike here: both end as encrypted
        return b""
    return out.getvalue()


def read_msg(data: bytes, reading: Reading) -> None:
    """An Outlook message and those within it: subjects, addresses, bodies; attachments as members."""
    with opened(data) as file:
        for path in _listed(file, reading):
            leaf = path[-1].upper()  # names are the same in any case (MS-CFB 2.6.4)
            if not leaf.startswith("__SUBSTG1.0_"):
                continue
            base, code, kind = "/".join(path)[:-4], leaf[12:16], leaf[16:20]
            if code in _SAID and kind in ("001E", "001F"):
                reading.say(_string(file, base, reading))
            elif code == "1013":
                html = stream(file, base + kind, reading)
                page = text.read(
                    html.decode("utf-16-le", "replace") if kind == "001F" else charset.decode(html.rstrip(b"\0")).text
                )
                reading.say(page.visible)
                reading.say(page.hidden)
            elif code == "1009" and kind == "0102":
                content = lzfu.decompress(stream(file, base + kind, reading), reading)
                reading.budget.unpacked(len(content))
                reading.member("body.rtf", content, "application/rtf")
            elif code == "3701" and kind == "0102":
                folder = base[: -len("3701")]
                name = _string(file, f"{folder}3707", reading) or _string(file, f"{folder}3704", reading)
                reading.member(name or "attachment", stream(file, base + kind, reading), "")


def _string(file: Any, base: str, reading: Reading) -> str:
    if file.exists(base + "001F"):
        return stream(file, base + "001F", reading).decode("utf-16-le", "replace")
    if file.exists(base + "001E"):
        return charset.decode(stream(file, base + "001E", reading)).text
    return ""
