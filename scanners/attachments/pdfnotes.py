"""What a PDF shows beside its pages' own text: notes (annotations), and words in form objects or off the page, by pdfium."""

import ctypes
from typing import Any

import re2

from scanners.attachments.reading import Reading
from scanners.finding import Severity

MAX_LOOKED = 100
"""Pages whose notes and form objects are read: pdfium takes six times as long as the first reader."""
MAX_NOTES = 2_000
"""Notes read on one page, links among them; an index has some two hundred."""
MAX_NOTE = 1_000_000
"""Bytes of one note."""
_FORM = re2.compile(rb"/Form[^0-9A-Za-z_.]")
"""The subtype, and not a name that begins like it: some programs call every picture ``/FormXob``."""
_KEYS = (b"Contents", b"T", b"Subj", b"RC", b"V")
"""Where a note keeps text (ISO 32000 12.5.6.2)."""


def beside(data: bytes, document: Any, reading: Reading) -> None:
    """Say what the first reader passes over, where the file has any such thing; a page more than the bound is named."""
    notes = b"/ObjStm" in data or b"/Annot" in data
    forms = _FORM.search(data) is not None
    if not notes and not forms:
        return
    if len(document) > MAX_LOOKED:
        reading.limited("notes", MAX_LOOKED, Severity.LOW)
    seen = frozenset("".join(reading.texts).split())
    for number in range(min(len(document), MAX_LOOKED)):
        reading.budget.tick()
        page = document[number]
        try:
            if notes:
                reading.say("\n".join(_notes(page, reading)))
            if forms:
                words = page.get_textpage().get_text_range()
                if not seen.issuperset(words.split()):
                    reading.say(words)
        finally:
            page.close()


def _notes(page: Any, reading: Reading) -> list[str]:
    import pypdfium2.raw as raw

    found: list[str] = []
    count = raw.FPDFPage_GetAnnotCount(page)
    if count > MAX_NOTES:
        reading.limited("notes", MAX_NOTES, Severity.LOW)
    for number in range(min(count, MAX_NOTES)):
        note = raw.FPDFPage_GetAnnot(page, number)
        if not note:
            continue
        for key in _KEYS:
            length = raw.FPDFAnnot_GetStringValue(note, key, None, 0)
            if length > MAX_NOTE:
                reading.limited("notes", MAX_NOTE, Severity.LOW)
            elif length > 2:
                buffer = (ctypes.c_ushort * (length // 2 + 1))()
                raw.FPDFAnnot_GetStringValue(note, key, buffer, length)
                found.append(bytes(buffer)[: length - 2].decode("utf-16-le", "replace"))
        raw.FPDFPage_CloseAnnot(note)
    return found
