"""Bytes and a label -> text, the way mail clients read them: labels lie, and Chinese mail lies most.

Only codecs in the table below are ever used: a label from the mail never reaches ``codecs.lookup`` (some of Python's codecs are
quadratic or are no charsets at all).
"""

from dataclasses import dataclass, replace

_ALIASES = {
    "gb18030": "gb2312 gbk gb_2312-80 gb2312-80 euc-cn euccn cp936 ms936 windows-936 x-gbk x-euc-cn chinese csgb2312 gb gb18030-2022",
    "cp950": "big5 big-5 big5-eten cn-big5 x-x-big5 csbig5 cp950 windows-950 big5-tw",
    "big5hkscs": "big5-hkscs big5hkscs hkscs",
    "cp932": "shift_jis shift-jis sjis x-sjis ms_kanji csshiftjis windows-31j cp932 ms932",
    "euc_jp": "euc-jp eucjp x-euc-jp",
    "iso2022_jp_2": "iso-2022-jp iso-2022-jp-1 iso-2022-jp-2 iso-2022-jp-3 csiso2022jp",
    "cp949": "euc-kr euckr ks_c_5601-1987 ks_c_5601 ksc5601 cp949 uhc windows-949 korean",
    "iso2022_kr": "iso-2022-kr",
    "hz": "hz hz-gb-2312 hzgb",
    "utf-8": "utf-8 utf8 utf_8 unicode-1-1-utf-8 utf-8mb4 utf8mb4 cp65001 x-unicode20utf8",
    "utf-7": "utf-7 utf7 unicode-1-1-utf-7 unicode-2-0-utf-7 csunicode11utf7 x-utf-7",
    "utf-16": "utf-16 utf16 unicode ucs-2 iso-10646-ucs-2",
    "utf-16-le": "utf-16le utf-16-le unicodefffe",
    "utf-16-be": "utf-16be utf-16-be",
    "utf-32": "utf-32 utf32 ucs-4",
    "utf-32-le": "utf-32le",
    "utf-32-be": "utf-32be",
    "ascii": "us-ascii ascii ansi_x3.4-1968 iso646-us 646",
    "cp1252": "iso-8859-1 iso8859-1 iso_8859-1 latin1 latin-1 l1 windows-1252 cp1252 ansi x-ansi",
    "tis_620": "tis-620 windows-874 cp874",
    "koi8_r": "koi8-r",
    "koi8_u": "koi8-u",
    "cp1258": "windows-1258",
    "viscii": "",
    "cp037": "ibm037 cp037 ebcdic-cp-us ebcdic-cp-ca csibm037 ibm01140 cp1140",
    "cp500": "ibm500 cp500 ebcdic-cp-be ebcdic-cp-ch csibm500 ebcdic-international",
    "cp273": "ibm273 cp273 csibm273",
    "cp1026": "ibm1026 cp1026 csibm1026",
    "mac_roman": "macintosh mac x-mac-roman",
}
_NUMBERED = {f"iso-8859-{n}": f"iso8859_{n}" for n in (*range(2, 12), 13, 14, 15, 16)} | {
    f"windows-125{n}": f"cp125{n}" for n in range(8) if n != 2
}
CODECS: dict[str, str] = {alias: codec for codec, names in _ALIASES.items() for alias in names.split()} | {
    **_NUMBERED,
    **{codec: codec for codec in ("gb18030", "iso2022-cn")},
    "iso-2022-cn": "iso2022-cn",
}
_BARE = {alias.replace("-", "").replace("_", ""): codec for alias, codec in CODECS.items()}
"""The same without marks: software writes gb_2312-80, gb2312_80 and gb231280."""
_EAST_ASIAN = frozenset(("cp950", "big5hkscs", "cp932", "euc_jp", "cp949"))
_GUESSED = ("ascii", "")
"""Labels that say nothing about bytes above 127."""

_SPARE_932 = frozenset("\x80\xa0\uf8f0\uf8f1\uf8f2\uf8f3")
"""Python's table takes bytes no Japanese text holds."""

_SAMPLE = 400
"""Bytes that a guess looks at."""
_FEWEST = 12
"""Bytes below which a guess at a charset that nobody labels is none."""
_EBCDIC_LETTERS = bytes(
    (
        *range(0x81, 0x8A),
        *range(0x91, 0x9A),
        *range(0xA2, 0xAA),
        *range(0xC1, 0xCA),
        *range(0xD1, 0xDA),
        *range(0xE2, 0xEA),
        *range(0xF0, 0xFA),
    )
)
_EBCDIC = _EBCDIC_LETTERS + bytes(
    (
        0x0D,
        0x15,
        0x25,
        0x05,
        *range(0x4A, 0x51),
        *range(0x5A, 0x62),
        *range(0x6A, 0x70),
        *range(0x79, 0x80),
        0x40,
        0xC0,
        0xD0,
        0xE0,
    )
)
UNREADABLE_SHARE = 0.1
"""More replacement characters than this share of a text: it was not read."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """``text`` in the charset most clients would use; ``other`` a second reading of the same bytes when the label is in doubt.

    ``charset`` is the codec used; ``trouble`` is ``""``, ``unknown_charset``, ``wrong_charset`` (the label does not fit the bytes),
    ``utf7``, or ``undecodable`` (no reading makes sense of it).
    """

    text: str
    charset: str
    other: str = ""
    trouble: str = ""


def codec_for(label: str) -> str | None:
    """The Python codec for a charset label as mail writes it, ``""`` for no label, ``None`` when unknown."""
    label = label.strip().strip("\"'").lower().replace("_", "-") if label else ""
    if not label:
        return ""
    return CODECS.get(label) or _BARE.get(label.replace("-", ""))


def decode(content: bytes, label: str = "") -> Decoded:
    """Decode ``content`` labelled ``label``; never raises. Cost is linear in the bytes, at most a few passes."""
    codec = codec_for(label)
    if content.isascii() and (codec is None or codec in ("", "ascii", "utf-8", "gb18030", "cp1252")):
        text = content.decode("ascii")
        if b"\x1b" in content or b"~{" in content:
            return Decoded(text, "ascii", _shifted(content))
        if b"\0" in content and content.count(b"\0") * 4 > len(content):
            return _wide(content)
        return Decoded(text, "ascii", trouble="" if codec is not None else "unknown_charset")
    marked = _byte_order_mark(content)
    if marked:
        return Decoded(_lenient(content, marked).lstrip("\ufeff"), marked)
    if codec is None:
        guess = _guess(content)
        return Decoded(guess.text, guess.charset, guess.other, guess.trouble or "unknown_charset")
    if codec in _GUESSED:
        return _guess(content)
    return _labelled(content, codec)


def _labelled(content: bytes, codec: str) -> Decoded:
    if codec == "iso2022-cn":
        return _judge(_iso2022_cn(content), codec, content, _behind(content, codec, ""))
    if codec == "utf-7":
        plain = (
            content.decode("latin-1") if content.isascii() else _all_of(_guess(content)) or content.decode("latin-1")
        )
        return Decoded(_lenient(content, codec), codec, plain, "utf7")
    if codec == "cp1252":  # the default of careless software: Chinese bytes under this label are common
        guess = _guess(content)
        return Decoded(content.decode("cp1252", "replace"), codec, _all_of(guess))
    try:
        text = content.decode(codec)
    except UnicodeError:
        return _misfit(content, codec)
    other = _behind(content, codec, text)
    if codec in ("hz", "iso2022_jp_2", "iso2022_kr") or codec.startswith(("utf-16", "utf-32")):
        return _judge(text, codec, content, other)
    return Decoded(text, codec, other)


def _behind(content: bytes, codec: str, text: str) -> str:
    """What a reader who changes the charset by hand would see, where the bytes fit another one better than their label says."""
    if codec == "utf-8" or content.isascii():
        return ""
    if codec == "gb18030":  # fits nearly any bytes; text in common characters fits GB 2312, and Big5's does not
        if is_ebcdic(content):
            return content.decode("cp037")
        if _fits(content, "utf-8"):
            return content.decode("utf-8")
        return "" if _fits(content, "gb2312") else _other_east_asian(content)
    if codec in ("utf-16-le", "utf-16-be") and b"\0" in content:
        return _lenient(content, "utf-16-be" if codec == "utf-16-le" else "utf-16-le")
    if codec in _EAST_ASIAN and not (_fits(content, "utf-8") or _fits(content, "gb2312")):
        return ""  # text in these fits GB18030 too, but seldom its common characters only
    found = _all_of(_guess(content))
    return "" if found == text else found


def _fits(content: bytes, codec: str) -> bool:
    try:
        content.decode(codec)
    except UnicodeDecodeError:
        return False
    return True


def _misfit(content: bytes, codec: str) -> Decoded:
    """The bytes are not what the label says: keep the label's reading, and add the best other one."""
    if codec == "cp950":
        try:
            return Decoded(content.decode("big5hkscs"), "big5hkscs")
        except UnicodeDecodeError:
            pass  # neither table has it: fall through to the guess below
    judged = _judge(_lenient(content, codec), codec, content, _all_of(_guess(content)))
    pieces = _pieces(content)
    return replace(judged, other=f"{judged.other}\n{pieces}") if pieces else judged


def _pieces(content: bytes) -> str:
    """Text put together from several charsets, line by line; without its zero bytes, which no client shows; and as UTF-16."""
    pieces: list[str] = []
    if b"\0" in content:
        plain = content.replace(b"\0", b"")
        pieces.append(_lenient(plain, "utf-8" if _fits(plain, "utf-8") else "gb18030"))
    elif b"\n" in content:
        lines = content.split(b"\n")
        pieces.append("\n".join(_lenient(line, "utf-8" if _fits(line, "utf-8") else "gb18030") for line in lines))
    pieces += [text for codec in ("utf-16-le", "utf-16-be") if _mostly_han(text := _lenient(content, codec))]
    return "\n".join(pieces)


def _mostly_han(text: str) -> bool:
    """Does a guess at UTF-16 make sense? Random bytes give a third of such characters."""
    sample = text[:400]
    return sum("\u4e00" <= one <= "\u9fa5" or one < "\x7f" for one in sample) > 0.75 * len(sample)


def _all_of(guess: Decoded) -> str:
    """Every reading that a guess holds; nothing when it made no sense of the bytes. Big5 without a label is GB18030 as well."""
    if guess.trouble:
        return ""
    return f"{guess.text}\n{guess.other}" if guess.other else guess.text


def _judge(text: str, codec: str, content: bytes, other: str = "") -> Decoded:
    bad = text.count("\ufffd")
    if bad > max(2, UNREADABLE_SHARE * len(text)) and not other:
        return Decoded(text, codec, content.decode("latin-1"), "undecodable")
    return Decoded(text, codec, other, "wrong_charset" if bad else "")


def _guess(content: bytes) -> Decoded:
    """No usable label: UTF-8, then GB18030, then the neighbours; the first that decodes all of it."""
    marked = _byte_order_mark(content)
    if marked:
        return Decoded(_lenient(content, marked).lstrip("\ufeff"), marked)
    if b"\0" in content and content.count(b"\0") * 4 > len(content):
        return _wide(content)
    if is_ebcdic(content):
        return Decoded(_lenient(content, "gb18030"), "gb18030", content.decode("cp037"))
    for codec in ("utf-8", "gb18030", "cp950", "cp932", "cp949"):
        try:
            text = content.decode(codec)
        except UnicodeDecodeError:
            continue
        if codec == "cp932" and not _SPARE_932.isdisjoint(text):
            continue
        if codec == "gb18030":
            return Decoded(text, codec, _other_east_asian(content))
        return Decoded(text, codec)
    text = _lenient(content, "utf-8")
    gb = _lenient(content, "gb18030")
    text, other, codec = (text, gb, "utf-8") if text.count("\ufffd") <= gb.count("\ufffd") else (gb, text, "gb18030")
    bad = text.count("\ufffd")
    trouble = "undecodable" if bad > max(2, UNREADABLE_SHARE * len(text)) else "wrong_charset"
    pieces = _pieces(content)
    return Decoded(text, codec, f"{other}\n{pieces}" if pieces else other, trouble)


def _other_east_asian(content: bytes) -> str:
    """Nearly every Big5 text is also valid GB18030: keep Big5's reading too."""
    try:
        return content.decode("cp950")
    except UnicodeDecodeError:
        return ""


def is_ebcdic(content: bytes) -> bool:
    """Text of a mainframe: letters above 0x80 with gaps between, digits at the end, and blanks that look like ``@``."""
    head = content[:_SAMPLE]
    if len(head) < _FEWEST or head.isascii():
        return False
    return len(head.translate(None, _EBCDIC)) * 20 <= len(head) and len(
        head.translate(None, _EBCDIC_LETTERS)
    ) * 2 < len(head)


def utf32_of(content: bytes) -> str:
    """``utf-32-le`` or ``utf-32-be`` when two bytes of each four are zero and what comes out is text, else ``""``."""
    head = content[: _SAMPLE // 4 * 4]
    most = len(head) // 4 * 0.9
    zeros = [head[place::4].count(0) for place in range(4)]
    for codec, places in (("utf-32-le", (2, 3)), ("utf-32-be", (0, 1))):
        if len(head) >= _FEWEST and all(zeros[place] > most for place in places):
            text = head.decode(codec, "replace")
            if sum(one.isprintable() or one.isspace() for one in text) > 0.9 * len(text):
                return codec
    return ""


def _wide(content: bytes) -> Decoded:
    """UTF-16 without a byte order mark: zero bytes stand at odd places when it is little-endian. Or UTF-32."""
    wide = utf32_of(content)
    if wide:
        return Decoded(_lenient(content, wide), wide, trouble="wrong_charset")
    codec = "utf-16-le" if content[1::2].count(b"\0") >= content[::2].count(b"\0") else "utf-16-be"
    plain = content.replace(b"\0", b"")
    other = (
        plain.decode("utf-8") if _fits(plain, "utf-8") else f"{_lenient(plain, 'gb18030')}\n{plain.decode('latin-1')}"
    )
    return Decoded(_lenient(content, codec), codec, other, "wrong_charset")


def _shifted(content: bytes) -> str:
    """Seven-bit bytes with shift sequences: what a client that detects HZ or ISO-2022 would show."""
    if b"\x1b$)A" in content or b"\x1b$)G" in content:
        return _iso2022_cn(content)
    if b"\x1b$)C" in content:
        return _lenient(content, "iso2022_kr")
    if b"\x1b$" in content or b"\x1b(" in content:
        return _lenient(content, "iso2022_jp_2")
    return _lenient(content, "hz") if b"~{" in content else ""


def _iso2022_cn(content: bytes) -> str:
    """ISO-2022-CN (RFC 1922): SO text in GB 2312; other planes become replacement characters."""
    first, *runs = content.split(b"\x0e")
    plane = _plane(first, b"A")
    pieces = [_without_escapes(first).decode("latin-1")]
    for run in runs:
        shifted, _, plain = run.partition(b"\x0f")
        if plane == b"A":
            pieces.append(bytes(byte | 0x80 if byte > 0x20 else byte for byte in shifted).decode("gb18030", "replace"))
        else:
            pieces.append("\ufffd" * (len(shifted) // 2))
        plane = _plane(plain, plane)
        pieces.append(_without_escapes(plain).decode("latin-1"))
    return "".join(pieces)


def _plane(plain: bytes, before: bytes) -> bytes:
    """The plane that the last designation in ``plain`` names, else the one before."""
    at = plain.rfind(b"\x1b$)")
    return plain[at + 3 : at + 4] if at >= 0 else before


def _without_escapes(plain: bytes) -> bytes:
    for plane in (b"A", b"G", b"E"):
        plain = plain.replace(b"\x1b$)" + plane, b"")
    return plain.replace(b"\x1b$*H", b"")


def _byte_order_mark(content: bytes) -> str:
    if content.startswith(b"\xef\xbb\xbf"):
        return "utf-8"
    if content.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "utf-32"
    return "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else ""


def _lenient(content: bytes, codec: str) -> str:
    """Decode with replacement; a stateful codec that gives up altogether yields Latin-1."""
    try:
        text = content.decode(codec, "replace")
    except (UnicodeError, ValueError):
        return content.decode("latin-1")
    if codec.startswith("utf-"):  # UTF-7 and UTF-16 can spell half a surrogate pair, which no text may hold
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if not _sound(text) else text
    return text


def _sound(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
