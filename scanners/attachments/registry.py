"""The list of readers by true type. A reader takes the bytes and a Reading; it says text, opens members and leaves notes."""

from collections.abc import Callable

from scanners.attachments import (
    archives,
    cms,
    compressed,
    html,
    legacy,
    message,
    office,
    ole,
    pdf,
    plain,
    qrcode,
    rtf,
    tnef,
    zips,
)
from scanners.attachments.filetype import OLE_TYPES, UNKNOWN, ZIP_TYPES, Kind, extension
from scanners.attachments.reading import Reading

Reader = Callable[[bytes, Reading], None]

_READERS: dict[str, Reader] = {
    "application/zip": zips.read,
    "application/java-archive": zips.read,
    "application/gzip": compressed.read_gzip,
    "application/x-bzip2": compressed.read_bzip2,
    "application/x-xz": compressed.read_xz,
    "application/x-tar": compressed.read_tar,
    "application/vnd.rar": archives.read,
    "application/x-7z-compressed": archives.read,
    "application/vnd.ms-cab-compressed": archives.read,
    "application/x-iso9660-image": archives.read,
    "application/x-lzh-compressed": archives.read,
    "application/x-xar": archives.read,
    "application/x-archive": archives.read,
    "application/zstd": archives.read_stream,
    "application/x-lz4": archives.read_stream,
    "application/x-lzip": archives.read_stream,
    "application/x-compress": archives.read_stream,
    "application/x-cpio": archives.read,
    "application/x-lzma": compressed.read_xz,
    "application/pdf": pdf.read,
    "application/rtf": rtf.read,
    "application/x-ole-storage": ole.read,
    "application/msword": legacy.read_doc,
    "application/vnd.ms-excel": legacy.read_xls,
    "application/vnd.ms-powerpoint": legacy.read_ppt,
    "application/vnd.ms-outlook": ole.read_msg,
    "application/x-msi": ole.read,
    "application/ms-tnef": tnef.read,
    "message/rfc822": message.read,
    "text/html": html.read,
    "application/hta": html.read,
    "application/x-mswinurl": plain.read,
    "application/x-encoded-script": plain.read,
    "application/x-sylk": plain.read,
    "application/x-der": cms.read,
    "application/pgp-encrypted": plain.read_pgp,
    "image/svg+xml": html.read_svg,
    "text/xml": plain.read_xml,
    "text/plain": plain.read,
    "application/x-script": plain.read,
    "image/png": qrcode.read,
    "image/jpeg": qrcode.read,
    "image/gif": qrcode.read,
    "image/bmp": qrcode.read,
    "image/webp": qrcode.read,
    "image/tiff": qrcode.read,
    **dict.fromkeys(ZIP_TYPES.values(), office.read_ooxml),
    "application/vnd.oasis.opendocument": office.read_odf,
}

CONTAINERS = frozenset(
    media_type
    for media_type, reader in _READERS.items()
    if reader.__module__.rpartition(".")[2] in ("zips", "compressed", "archives", "tnef", "message", "ole", "cms")
)
"""Types that are opened even when documents are not read: what lies in them must be matched."""

OFFICE = frozenset((*ZIP_TYPES.values(), "application/vnd.oasis.opendocument", *OLE_TYPES))
"""Documents that are containers themselves."""

NATIVE = frozenset(
    {
        "application/x-dosexec",
        "application/x-elf",
        "application/x-mach-binary",
        "application/java-vm",
        "application/x-ms-shortcut",
    }
    | {"application/pgp-signature"}
)
"""Programs and signatures: nothing to read in them; their type is the finding."""


def reader_for(kind: Kind) -> Reader | None:
    """The reader of a type, or None."""
    return _READERS.get(kind.media_type)


def refine(content: bytes, kind: Kind, name: str, declared: str = "") -> Kind:
    """The type inside the outer one: which office format a zip or an OLE file is, and whether text is mail or HTML."""
    if kind.media_type == "application/zip":
        return Kind(zips.inner_type(content, name), True)
    if kind.media_type == "application/x-ole-storage":
        return Kind(ole.inner_type(content), True)
    if kind.media_type == "text/plain":
        last = extension(name)
        if last in ("htm", "html", "xhtml", "xht", "shtml", "mht", "mhtml", "hta"):
            return Kind("message/rfc822" if last in ("mht", "mhtml") else "text/html", True)
        if last == "eml":
            return Kind("message/rfc822", True)
        if last in ("xml", "xsl", "xslt", "opf", "ncx"):
            return Kind("text/xml", True)
        if last == "svg":
            return Kind("image/svg+xml", True)
        if declared.partition(";")[0].strip().lower() in ("text/html", "application/xhtml+xml"):
            return Kind("text/html", True)
    if kind.media_type == UNKNOWN and content.startswith(b"\x1f\xa0"):
        return Kind("application/x-compress", True)
    return kind


__all__ = ["CONTAINERS", "NATIVE", "OFFICE", "Reader", "reader_for", "refine"]
