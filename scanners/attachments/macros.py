"""VBA and Excel 4 macros by oletools: that there are any, and what they would do."""

import warnings
from typing import Any

from scanners.attachments.codes import MACRO
from scanners.attachments.reading import Note, Reading
from scanners.finding import Severity

MAX_SOURCE = 400_000
"""Characters of macro source kept as text."""
_MARKS = (b"VBA", b"Attribut", b"_VBA_PROJECT", b"vbaProject", b"macrosheet", b"Macros")
_RUNS_BY_ITSELF = (
    "autoopen", "auto_open", "autoexec", "document_open", "workbook_open", "autoclose", "auto_close", "document_close", "autonew",
    "workbook_activate", "document_new", "frame1_layout", "_change", "presentation_open",
)  # fmt: skip
_REACHES_OUT = (
    "shell", "createobject", "urldownloadtofile", "xmlhttp", "powershell", "wscript", "environ", "callbyname", "declare function",
    "declare ptrsafe", "adodb.stream", "getobject", "exec(", "virtualalloc",
)  # fmt: skip


def look(data: bytes, reading: Reading) -> bool:
    """Note macros in an OLE file or a vbaProject.bin; their source becomes text, so that words and links in it are seen.

    Says whether there were any.
    """
    if not any(mark in data or mark.decode().encode("utf-16-le") in data for mark in _MARKS):
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # oletools uses old names of its parser library
        return _look(data, reading)


def _look(data: bytes, reading: Reading) -> bool:
    from oletools.olevba import VBA_Parser

    parser: Any = None
    source: list[str] = []
    length = 0
    try:
        parser = VBA_Parser(reading.name or "document", data=data, disable_pcode=True)
        if not parser.detect_vba_macros():
            return False
        for _, _, _, code in parser.extract_macros():
            reading.budget.tick()
            text = code if isinstance(code, str) else bytes(code).decode("utf-8", "replace")
            source.append(text[: MAX_SOURCE - length])
            length += len(source[-1])
            if length >= MAX_SOURCE:
                break
    finally:
        if parser is not None:
            parser.close()
    joined = "\n".join(source)
    lowered = joined.lower()
    starts = [word for word in _RUNS_BY_ITSELF if word in lowered]
    reaches = [word for word in _REACHES_OUT if word in lowered]
    severity = Severity.CRITICAL if starts and reaches else Severity.HIGH
    about = ", ".join((*starts[:3], *reaches[:3])) or "vba"
    reading.note(Note(MACRO, f"VBA macros: {about}", about, severity=severity))
    if length >= MAX_SOURCE:
        reading.limited("macros", MAX_SOURCE)
    reading.say(joined)
    return True
