# ruff: noqa: SIM905 - words in a string read better than a list of hundred literals
"""Letters that look like Latin letters, digits in other scripts, and characters nobody sees.

An own selection, checked by eye against Unicode Technical Standard 39 (confusables): those that common fonts draw alike.
"""

LETTERS = (
    # Cyrillic
    "аa вb еe ёe зz иu іi їi йu јj кk мm нh оo пn рp сc тt уy хx һh ԁd ԛq ԝw ѕs ӏl ьb ԍg үy "
    "АA ВB ЕE ЁE ЅS ІI ЇI ЈJ КK МM НH ОO РP СC ТT УY ХX ԌG ԚQ ԜW ҮY ЗZ "
    # Greek
    "αa βb εe ηn ιi κk νv οo ρp τt υu χx γy ωw ϲc ϳj "
    "ΑA ΒB ΕE ΖZ ΗH ΙI ΚK ΜM ΝN ΟO ΡP ΤT ΥY ΧX ϹC "
    # Latin beyond ASCII, phonetic and small capitals
    "ıi ȷj ɑa ɡg ɩi ſs ƅb ᴀa ʙb ᴄc ᴅd ᴇe ꜰf ɢg ʜh ɪi ᴊj ᴋk ʟl ᴍm ɴn ᴏo ᴘp ʀr ꜱs ᴛt ᴜu ᴠv ᴡw ʏy ᴢz ẹe ọo ạa ịi ụu ḍd "
    # Armenian, Cherokee and others that fonts draw as Latin
    "օo սu հh ոn ցg զq ᎪA ᏴB ᏟC ᎠD ᎬE ᎻH ᎫJ ᏦK ᏞL ᎷM ᏢP ᏒR ᏚS ᎢT ᏙV ᏔW ᏃZ"
).split()
"""Pairs: the look-alike, then the Latin letter."""

DIGITS = (
    "٠١٢٣٤٥٦٧٨٩ ۰۱۲۳۴۵۶۷۸۹ ०१२३४५६७८९ ০১২৩৪৫৬৭৮৯ ๐๑๒๓๔๕๖๗๘๙ ❶❷❸❹❺❻❼❽❾ ➀➁➂➃➄➅➆➇➈ "
    "➊➋➌➍➎➏➐➑➒ ⓵⓶⓷⓸⓹⓺⓻⓼⓽ 〡〢〣〤〥〦〧〨〩 🯰🯱🯲🯳🯴🯵🯶🯷🯸🯹"
).split()
"""Runs of ten begin at zero, runs of nine at one."""

ZEROS = "⓿🄋🄌"
"""Zeros in rings: the runs of nine have none."""

BLANKS = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u2800"
"""Blanks other than the ordinary one and the ideographic one, with which Chinese paragraphs begin."""

UNSEEN = (
    (0x00AD, 0x00AD), (0x0300, 0x036F), (0x061C, 0x061C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x200B, 0x200F),
    (0x202A, 0x202E), (0x2060, 0x206F), (0x20D0, 0x20F0), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0),
    (0xFFF9, 0xFFFB), (0xE0000, 0xE01EF),
)  # fmt: skip
"""Code points without a glyph of their own: zero-width, bidi controls, fillers, combining marks, tags."""

COMPATIBLE = (
    (0x00B2, 0x00B3), (0x00B9, 0x00B9), (0x00BC, 0x00BE), (0x2070, 0x209C), (0x2100, 0x214F), (0x2150, 0x218B), (0x2460, 0x24FF),
    (0x2E80, 0x2FDF), (0x3192, 0x319F), (0x3200, 0x33FF), (0xF900, 0xFAFF), (0xFB00, 0xFB06), (0xFF02, 0xFF07), (0xFF0A, 0xFF0B),
    (0xFF0D, 0xFF19), (0xFF1C, 0xFF1E), (0xFF20, 0xFF5E), (0xFFE0, 0xFFE6), (0x1D400, 0x1D7FF), (0x1F100, 0x1F1FF),
    (0x2F800, 0x2FA1F),
)  # fmt: skip
"""What NFKC changes and text uses to hide; the full-width comma, colon, brackets and the like are ordinary and left out."""
