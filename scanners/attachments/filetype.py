"""What a file truly is, by its bytes; and what its name and declared type claim. Own table, no library."""

from dataclasses import dataclass

from scanners.charset import utf32_of

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"%PDF-", "application/pdf"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"PK\x05\x06", "application/zip"),
    (0, b"PK\x07\x08", "application/zip"),
    (0, b"Rar!\x1a\x07", "application/vnd.rar"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"\xfd7zXZ\0", "application/x-xz"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd"),
    (0, b"\x04\x22\x4d\x18", "application/x-lz4"),
    (0, b"LZIP", "application/x-lzip"),
    (0, b"\x1f\x9d", "application/x-compress"),
    (0, b"MSCF", "application/vnd.ms-cab-compressed"),
    (0, b"xar!", "application/x-xar"),
    (0, b"!<arch>\n", "application/x-archive"),
    (0, b"070701", "application/x-cpio"),
    (0, b"070702", "application/x-cpio"),
    (0, b"070707", "application/x-cpio"),
    (0, b"\xc7\x71", "application/x-cpio"),
    (0, b"\x71\xc7", "application/x-cpio"),
    (0, b"\x5d\0\0", "application/x-lzma"),
    (257, b"ustar", "application/x-tar"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (0, b"{\\rtf", "application/rtf"),
    (0, b"{\\rt", "application/rtf"),
    (0, b"\x78\x9f\x3e\x22", "application/ms-tnef"),
    (0, b"\x7fELF", "application/x-elf"),
    (0, b"\xfe\xed\xfa\xce", "application/x-mach-binary"),
    (0, b"\xfe\xed\xfa\xcf", "application/x-mach-binary"),
    (0, b"\xce\xfa\xed\xfe", "application/x-mach-binary"),
    (0, b"\xcf\xfa\xed\xfe", "application/x-mach-binary"),
    (0, b"\xca\xfe\xba\xbe", "application/java-vm"),
    (0, b"\x4c\0\0\0\x01\x14\x02\0", "application/x-ms-shortcut"),
    (0, b"ITSF", "application/vnd.ms-htmlhelp"),
    (0, b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d", "application/onenote"),
    (0, b"vhdxfile", "application/x-vhdx"),
    (0, b"conectix", "application/x-vhd"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"BM", "image/bmp"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (0, b"\0\0\x01\0", "image/x-icon"),
    (0, b"\xd7\xcd\xc6\x9a", "image/wmf"),
    (40, b" EMF", "image/emf"),
    (0, b"8BPS", "image/vnd.adobe.photoshop"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"OggS", "audio/ogg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
    (0, b"#!AMR", "audio/amr"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\0\0\0\x0cjP  ", "image/jp2"),
    (0, b"wOFF", "font/woff"),
    (0, b"wOF2", "font/woff"),
    (0, b"\0\x01\0\0\0", "font/ttf"),
    (0, b"OTTO", "font/otf"),
    (0, b"SQLite format 3\0", "application/vnd.sqlite3"),
    (0, b"\x30\x80\x06", "application/x-der"),
    (0, b"\x30\x82", "application/x-der"),
    (0, b"\x30\x83", "application/x-der"),
    (0, b"\x30\x84", "application/x-der"),
    (0, b"-----BEGIN PKCS7-----", "application/x-der"),
    (0, b"-----BEGIN CMS-----", "application/x-der"),
    (0, b"-----BEGIN PGP MESSAGE", "application/pgp-encrypted"),
    (0, b"-----BEGIN PGP SIGNATURE", "application/pgp-signature"),
    (0, b"(This file must be converted with BinHex", "application/mac-binhex40"),
    (0, b"#@~^", "application/x-encoded-script"),
    (0, b"[InternetShortcut]", "application/x-mswinurl"),
    (0, b"ID;P", "application/x-sylk"),
)
_TAGS = "html head body meta title style table div span font center script link base form iframe h1 h2 p br b a img pre"
_PAGES = (b"<!doctype html", *(f"<{tag}{end}".encode() for tag in _TAGS.split() for end in (">", " ", "\n", "\r", "/")))
"""How pages begin that were saved without a head: browsers and Office take any of these for HTML."""
_FIELDS = (
    b"from:",
    b"to:",
    b"subject:",
    b"date:",
    b"message-id:",
    b"content-type:",
    b"content-transfer-encoding:",
    b"x-",
)
"""How saved mail begins that never travelled."""
_MAILBOX = (b"\nreceived:", b"\nreturn-path:", b"\nmessage-id:", b"\nsubject:", b"\nfrom:", b"\ncontent-type:")
"""What stands below the first line of a file of messages."""
_LATER = tuple(entry for entry in _MAGIC if entry[0])
_BY_BYTE = {
    entry[1][:1]: tuple(other for other in _MAGIC if not other[0] and other[1][:1] == entry[1][:1])
    for entry in _MAGIC
    if not entry[0]
}
"""The magics at the start by their first byte: text, which is most of all bodies, meets few of them."""
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}

OPAQUE = ("image/", "audio/", "video/", "font/")
"""Types without text of their own: not reading them is no finding."""

TEXT = "text/plain"
UNKNOWN = "application/octet-stream"

EXECUTABLE = frozenset(
    """
    exe scr com pif cpl dll ocx sys drv msi msp mst msc bat cmd ps1 psm1 psd1 vb vbs vbe js jse wsf wsh wsc sct
    hta lnk url scf inf reg jar jnlp class apk app command action workflow sh run bin elf deb rpm pkg dmg xll xlam
    wll ppam gadget application appref-ms settingcontent-ms library-ms search-ms searchconnector-ms website msix
    appx appinstaller diagcab theme themepack rdp chm hlp iso img vhd vhdx udl mde ade mad maf mam slk iqy rqy oqy
    ppkg job ws diagcfg py pyw pyz pyc pyo pyzw ps1xml ps2 ps2xml psc1 psc2 cdxml msh msh1 msh2 mshxml
    msh1xml msh2xml one onepkg onetoc2 desktop msixbundle appxbundle appcontent-ms mdb mda mdt mdw mdz accde
    accdr adp maq mar mas mau mav maw grp prf printerexport xnk webpnp ksh csh bash zsh osd pl rb lua vsto
    vsix vsmacros xbap deskthemepack shb shs hpj plg prg fxp asp aspx asa php terminal webloc fileloc
    inetloc swf xla htc isp ins its mag mat mcf ops pcd bas cnt wim vmdk nrg daa udf mobileconfig
    """.split()  # noqa: SIM905 - words read better than a column of strings
)
"""Extensions that run code, or carry something past the mark of the web, when a person double-clicks."""

_DANGEROUS_TYPES = frozenset(
    """
    application/x-dosexec application/x-elf application/x-mach-binary application/java-vm
    application/x-ms-shortcut application/x-mswinurl application/hta application/x-encoded-script
    application/x-sylk application/vnd.ms-htmlhelp application/x-iso9660-image application/x-vhd application/x-vhdx
    application/java-archive application/x-msi application/x-script application/onenote
    application/vnd.android.package-archive
    """.split()  # noqa: SIM905 - words read better than a column of strings
)

_ZIPPED = frozenset(
    """
    zip docx docm dotx dotm xlsx xlsm xlsb xltx xltm xlam pptx pptm ppsx potx ppsm odt ods odp odg ott ots epub
    jar apk war xpi vsdx aar ipa appx msix kmz crx whl pages numbers key 3mf cbz ofd sketch xps oxps nupkg thmx
    mmap xmind
    """.split()  # noqa: SIM905 - words read better than a column of strings
)
_OLE = frozenset(
    """
    doc dot xls xlt xla ppt pps pot msg msi msp mst vsd pub wps et dps mpp db one
    """.split()  # noqa: SIM905 - words read better than a column of strings
)
_CLAIMS: dict[str, frozenset[str]] = {
    "application/pdf": frozenset({"pdf", "ai", "fdf"}),
    "application/vnd.rar": frozenset({"rar", "r00", "cbr"}),
    "application/x-7z-compressed": frozenset({"7z", "cb7"}),
    "application/gzip": frozenset({"gz", "tgz", "svgz", "emz", "wmz"}),
    "application/x-bzip2": frozenset({"bz2", "tbz", "tbz2"}),
    "application/x-xz": frozenset({"xz", "txz"}),
    "application/vnd.ms-cab-compressed": frozenset({"cab", "msu"}),
    "image/png": frozenset({"png", "apng"}),
    "image/jpeg": frozenset({"jpg", "jpeg", "jpe", "jfif"}),
    "image/gif": frozenset({"gif"}),
    "application/rtf": frozenset({"rtf", "doc", "wps"}),
    "application/ms-tnef": frozenset({"dat", "tnef"}),
    "application/x-tar": frozenset({"tar"}),
    "application/x-dosexec": EXECUTABLE,
    "application/hta": EXECUTABLE,
    "application/x-ms-shortcut": frozenset({"lnk"}),
}
_FIXED = frozenset().union(*_CLAIMS.values()) - EXECUTABLE - {"dat", "ai", "doc", "wps"} | {
    "zip",
    "docx",
    "xlsx",
    "pptx",
}
"""Extensions whose files always begin with a known magic: another beginning contradicts the name."""

_DECLARED: dict[str, str] = {
    "application/pdf": "pdf",
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/gif": "gif",
    "application/zip": "zip",
    "application/x-zip-compressed": "zip",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/rtf": "rtf",
    "text/rtf": "rtf",
}
_SEEN = frozenset(
    """
    pdf doc docx xls xlsx ppt pptx txt jpg jpeg png gif bmp zip rar html htm mp3 mp4 avi csv rtf wps et dps ofd
    """.split()  # noqa: SIM905 - words read better than a column of strings
)
"""Extensions people trust; one of these before a dangerous one is a disguise."""

_DIRECTION = "\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u200e\u200f"
_BLANKS = " \t\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000\u2800\u3164"
_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad" + _DIRECTION


@dataclass(frozen=True, slots=True)
class Kind:
    """What the bytes are: media type, and whether any magic was recognised."""

    media_type: str
    known: bool


def detect(data: bytes) -> Kind:
    """The true type by magic; text when it looks like text; ``application/octet-stream`` otherwise."""
    head = data[:4096]
    if head[:2] == b"MZ" and len(data) > 64:
        return Kind("application/x-dosexec", True)
    for offset, magic, media_type in _BY_BYTE.get(head[:1], ()) + _LATER:
        if head.startswith(magic, offset) and _plausible(media_type, data):
            return Kind(media_type, True)
    if head[:4] == b"RIFF" and head[8:12] in _RIFF:
        return Kind(_RIFF[head[8:12]], True)
    if head[:2] in (b"\xff\xfb", b"\xff\xf3", b"\xff\xf2"):
        return Kind("audio/mpeg", True)
    if data[32769:32774] == b"CD001":
        return Kind("application/x-iso9660-image", True)
    if _is_old_tar(head):
        return Kind("application/x-tar", True)
    if head[2:7] in (b"-lh5-", b"-lh0-", b"-lh6-", b"-lh7-", b"-lh1-"):
        return Kind("application/x-lzh-compressed", True)
    if b"%PDF-" in head[:1024]:
        return Kind("application/pdf", True)  # readers allow junk before the mark (PDF 1.7 appendix H.3.4.1)
    return _textual(data, head)


def _is_old_tar(head: bytes) -> bool:
    """A tar from before POSIX has no magic, but a checksum in octal over its first header, its own field taken as blanks."""
    if len(head) < 512 or head[0] == 0 or not 0x30 <= head[152] <= 0x37:
        return False
    field = head[148:156].strip(b" \0")
    return (
        field.isdigit()
        and field.translate(None, b"01234567") == b""
        and (int(field, 8) == sum(head[:148]) + 8 * 0x20 + sum(head[156:512]))
    )


def _plausible(media_type: str, data: bytes) -> bool:
    """Two-byte magics also begin ordinary text."""
    if media_type == "image/bmp":
        return len(data) > 26 and data[6:10] == b"\0\0\0\0"
    if media_type == "application/x-bzip2":
        return data[3:4].isdigit() and data[4:10] in (b"1AY&SY", b"\x17rE8P\x90")
    if media_type == "audio/mpeg":
        return len(data) > 10 and data[3] < 8
    if media_type == "application/x-lzma":  # a dictionary of 2^n, and a size that is unknown or below 2^40
        return data[5:8] == b"\xff" * 3 or data[10:13] == b"\0" * 3
    if media_type == "application/x-cpio":
        return data[:2] != b"07" or data[6:14].isalnum()
    return True


def _textual(data: bytes, head: bytes) -> Kind:
    if looks_like_text(head):
        lowered = head[:1024].lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n").replace(b"\0", b"").lower()
        if b"<hta:application" in lowered:
            return Kind("application/hta", True)
        if lowered.startswith(_PAGES) or (lowered.startswith(b"<!--") and any(tag in lowered for tag in _PAGES)):
            return Kind("text/html", True)
        if lowered.startswith(b"{\\rt"):
            return Kind("application/rtf", True)
        if lowered.startswith((b"<?xml", b"<svg")):
            if b"<svg" in lowered:
                return Kind("image/svg+xml", True)
            if b"<html" in lowered:
                return Kind("text/html", True)
            return Kind("text/xml", True)
        if lowered.startswith(b"#!"):
            return Kind("application/x-script", True)
        if lowered.startswith((b"received:", b"return-path:", b"delivered-to:", b"mime-version:", b"dkim-signature:")):
            return Kind("message/rfc822", True)
        if lowered.startswith(_FIELDS) and (b"\ncontent-t" in lowered or b"\nmime-version:" in lowered):
            return Kind("message/rfc822", True)
        if lowered.startswith(b"from ") and any(field in lowered for field in _MAILBOX):
            return Kind("message/rfc822", True)
        return Kind(TEXT, False)
    if data[-22:-18] == b"PK\x05\x06" or b"PK\x01\x02" in data[-65_557:]:
        return Kind("application/zip", True)  # readers begin at the end: junk in front does not matter to them
    return Kind(UNKNOWN, False)


def looks_like_text(head: bytes) -> bool:
    """True when the first bytes are text in any usual charset, UTF-16 included."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
        return True
    if not head:
        return True
    zeros = head.count(0)
    if zeros:
        if utf32_of(head):
            return True
        half = max(1, len(head) // 2)
        return (
            max(head[0::2].count(0), head[1::2].count(0)) > half * 0.4
            and min(head[0::2].count(0), head[1::2].count(0)) < half * 0.05
        )
    control = len(head) - len(
        head.translate(None, bytes(range(9)) + bytes(range(14, 27)) + bytes(range(28, 32)) + b"\x7f")
    )
    return control <= len(head) * 0.02


def extension(name: str) -> str:
    """The last extension in lower case as a file manager would act on it: invisible characters, blanks and dots at the end dropped."""
    cleaned = "".join(character for character in name if character not in _INVISIBLE).rstrip(_BLANKS + "./\\")
    if cleaned.upper().endswith("::$DATA"):  # the stream that NTFS means anyway
        cleaned = cleaned[:-7].rstrip(_BLANKS + ".")
    _, dot, last = cleaned.rpartition(".")
    return last.strip(_BLANKS).lower() if dot and (len(last) <= 24 or last.startswith("{")) else ""


def disguised(name: str) -> str:
    """Why a name misleads about its extension, or ``""``: ``right-to-left``, ``blanks`` or ``double``."""
    last = extension(name)
    if any(character in name for character in "\u202d\u202e\u2066\u2067\u2068"):
        return "right-to-left"
    if not last:
        return ""
    body = name.rstrip(_BLANKS + "." + _INVISIBLE)[: -len(last) - 1]
    trimmed = body.rstrip(_BLANKS)
    if len(body) - len(trimmed) >= 4 or any(blank * 8 in name for blank in _BLANKS):
        return "blanks"
    return "double" if last in EXECUTABLE and extension(trimmed) in _SEEN else ""


def dangerous(name: str, kind: Kind) -> str:
    """What makes it dangerous (an extension or a type), or ``""``."""
    if kind.media_type in _DANGEROUS_TYPES:
        return kind.media_type
    for one in (name, name.partition("\0")[0]):  # many programs end a name at a zero byte
        last = extension(one)
        if last in EXECUTABLE:
            return last
    return "class identifier" if last.startswith("{") and last.endswith("}") else ""


def contradicts(name: str, declared: str, kind: Kind) -> str:
    """``name`` or ``declared`` when that claims another type than the bytes have, else ``""``."""
    last = extension(name)
    if last and _wrong(last, kind):
        return "name"
    claimed = _DECLARED.get(declared.partition(";")[0].strip().lower(), "")
    return "declared" if claimed and _wrong(claimed, kind) else ""


def _wrong(last: str, kind: Kind) -> bool:
    true = kind.media_type
    if true == "application/x-ole-storage" or true in OLE_TYPES:
        return (
            last in _FIXED and last not in {"docx", "xlsx", "pptx"} and last not in _OLE
        )  # encrypted OOXML is OLE outside
    if (
        true == "application/zip"
        or true in _OFFICE_ZIPS
        or true in ("application/java-archive", "application/vnd.oasis.opendocument")
    ):
        return last not in _ZIPPED and last in (_FIXED | _OLE | {"txt", "csv", "html"})
    if true in _CLAIMS:
        return last not in _CLAIMS[true] and last in (_FIXED | _OLE | {"txt", "csv", "html", "htm"})
    return last in _FIXED


ZIP_TYPES: dict[str, str] = {
    "word/": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xl/": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "ppt/": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}
_OFFICE_ZIPS = frozenset(ZIP_TYPES.values())
OLE_TYPES = frozenset(
    {
        "application/msword",
        "application/vnd.ms-excel",
        "application/vnd.ms-powerpoint",
        "application/vnd.ms-outlook",
        "application/x-msi",
    }
)
