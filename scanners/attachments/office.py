"""OOXML (docx, xlsx, pptx) and OpenDocument: a zip of XML, read element by element whatever its prefixes.

Everything a person could see or unhide is text: bodies, headers, footers, notes, comments, deleted text, hidden sheets, names, properties.
"""

import re2

from scanners.attachments import biff, macros, xml
from scanners.attachments.codes import EMBEDDED, ENCRYPTED, MACRO, TEMPLATE
from scanners.attachments.reading import Note, Reading, UnreadableContent
from scanners.attachments.sheet import Sheets
from scanners.attachments.zips import Entry, Locked, directory, extract

_MEDIA = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".svg")


def read_ooxml(data: bytes, reading: Reading) -> None:
    """Text in reading order, objects and media as members, macros and remote parts as notes."""
    found = directory(data)
    sheets = Sheets()
    order = sorted(found.entries, key=_order)
    broken: list[str] = []
    for entry in order:
        if entry.name.endswith("/"):
            continue
        reading.budget.entry()
        try:
            _ooxml_member(data, entry, reading, sheets)
        except Locked:
            reading.note(Note(ENCRYPTED, "encrypted member of a document", about="ooxml"))
        except UnreadableContent as error:
            broken.append(error.reason)
    sheets.rest(reading)
    if broken:
        raise UnreadableContent(f"{len(broken)} members: {broken[0]}")


def _order(entry: Entry) -> tuple[int, int, str]:
    """Shared strings before the sheets that point at them; then by name, numbers in order."""
    name = entry.name.lower()
    first = (
        0 if "sharedstrings" in name else 1 if name.endswith(("workbook.xml", "workbook.bin", "document.xml")) else 2
    )
    digits = "".join(character for character in name.rpartition("/")[2] if character.isascii() and character.isdigit())
    return first, int(digits[:9] or "0"), name


def _ooxml_member(data: bytes, entry: Entry, reading: Reading, sheets: Sheets) -> None:
    name = entry.name.replace("\\", "/").lower()
    leaf = name.rpartition("/")[2]
    if name.endswith(".rels"):
        _relations(extract(data, entry, reading), reading)
    elif name.endswith((".xml", ".vml")):
        content = extract(data, entry, reading)
        if "macrosheets/" in name:
            reading.note(Note(MACRO, "Excel 4 macro sheet", about="xlm"))
        if name.startswith("xl/externallinks/") and b"ddelink" in content.lower():
            reading.note(Note(MACRO, "a link that starts a program (DDE)", about="dde"))
        if "sharedstrings" in leaf:
            sheets.share(content, reading)
        elif "sheets/" in name:
            sheets.sheet(content, reading)
        elif _is_read(name, leaf, content):
            xml.say_text(content, reading, separate=name.startswith("docprops/"))
    elif name.endswith(".bin"):
        content = extract(data, entry, reading)
        if _is_xml(content):
            reading.member(leaf, content, "")
        elif content.startswith(biff.BIFF12) or (name.startswith("xl/") and leaf.startswith(_XLSB)):
            if "macrosheets/" in name:
                reading.note(Note(MACRO, "Excel 4 macro sheet", about="xlm"))
            biff.read_biff12(content, reading, sheets.binary, sheets.named)
        else:
            _binary(name, content, reading)
    elif name.endswith(_MEDIA) or "embeddings/" in name or leaf not in _DULL:
        reading.member(entry.name.rpartition("/")[2], extract(data, entry, reading), "")


_XLSB = ("sheet", "workbook", "styles", "sharedstrings", "binaryindex", "table", "comments")
_DULL = frozenset(
    [
        "styles.xml",
        "styleswitheffects.xml",
        "numbering.xml",
        "fonttable.xml",
        "settings.xml",
        "websettings.xml",
        "theme1.xml",
        "calcchain.xml",
        "presprops.xml",
        "viewprops.xml",
        "tablestyles.xml",
    ]
)
"""Members that hold no text as programs write them. A program finds its text by relations, under any name, so each is looked at."""
_THEMES = ("word/theme", "xl/theme", "ppt/theme")
_CHARACTERS = re2.compile(rb">\s*[^<\s]")
"""Character data; styles, settings and themes are attributes alone."""


def _is_read(name: str, leaf: str, content: bytes) -> bool:
    return (leaf not in _DULL and not name.startswith(_THEMES)) or _has_text(content)


def _has_text(content: bytes) -> bool:
    """UTF-16 is not searched: no program writes its dull members in it."""
    return content[:2] in (b"\xff\xfe", b"\xfe\xff") or _CHARACTERS.search(content) is not None


def _is_xml(content: bytes) -> bool:
    """Whatever it is called."""
    return content[:64].lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n").startswith(b"<")


def _binary(name: str, content: bytes, reading: Reading) -> None:
    if "vbaproject" in name:
        try:
            if not macros.look(content, reading):
                reading.note(Note(MACRO, "VBA project without a module that can be read", about="vba"))
        except Exception as error:  # oletools on hostile bytes: that there is a project is known anyway
            reading.note(Note(MACRO, f"VBA project, not readable: {type(error).__name__}", about="vba"))
    elif "oleobject" in name or "embeddings/" in name or "activex" in name:
        reading.note(Note(EMBEDDED, "embedded OLE object", about="ooxml"))
        reading.member(name.rpartition("/")[2], content, "")
    elif "printersettings" not in name:
        reading.member(name.rpartition("/")[2], content, "")


_FETCHED = ("attachedtemplate", "oleobject", "frame", "subdocument")


def _relations(content: bytes, reading: Reading) -> None:
    """External targets: links are text; templates, frames and objects are loaded on opening (a finding). Relations have no text: what has
    is something else under their name."""
    if _has_text(content):
        xml.say_text(content, reading)
    targets = []
    for attributes in xml.attributes(content, reading, "Relationship"):
        if attributes.get("TargetMode", "").lower() != "external":
            continue
        target = attributes.get("Target", "")
        kind = attributes.get("Type", "").rpartition("/")[2].lower()
        targets.append(target)
        remote = target.lower().startswith(("http:", "https:", "ftp:", "file:", "\\\\", "//", "mhtml:", "ms-", "smb:"))
        if kind in _FETCHED and remote:
            reading.note(Note(TEMPLATE, f"loads a remote {kind} when opened", about=kind))
    reading.say("\n".join(targets))


def read_odf(data: bytes, reading: Reading) -> None:
    """content.xml, styles.xml (headers and footers), meta.xml, settings left out; pictures and objects as members."""
    broken: list[str] = []
    for entry in directory(data).entries:
        name = entry.name.lower()
        if (
            name.endswith("/")
            or name in ("mimetype", "settings.xml")
            or name.startswith(("thumbnails/", "configurations2/"))
        ):
            continue
        reading.budget.entry()
        try:
            if not _odf_member(name, entry, extract(data, entry, reading), reading):
                return
        except Locked:
            reading.note(Note(ENCRYPTED, "encrypted member of a document", about="odf"))
        except UnreadableContent as error:
            broken.append(error.reason)
    if broken:
        raise UnreadableContent(f"{len(broken)} members: {broken[0]}")


def _odf_member(name: str, entry: Entry, content: bytes, reading: Reading) -> bool:
    """Read one member; False when it says that the others are encrypted."""
    if name == "meta-inf/manifest.xml":
        if b"encryption-data" not in content:
            return True
        reading.note(Note(ENCRYPTED, "encrypted OpenDocument", about="odf"))
        return False
    if name.startswith(("basic/", "scripts/")) and not name.endswith(("-lc.xml", "-lb.xml")):
        reading.note(Note(MACRO, "Basic or script macros", about="basic"))
    if name.endswith(".xml"):
        xml.say_text(content, reading, separate=name == "meta.xml")
    elif not name.endswith(".rdf"):
        reading.member(entry.name.rpartition("/")[2], content, "")
    return True
