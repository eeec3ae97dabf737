"""Types by bytes, and names that mislead."""

import pytest

from scanners.attachments import filetype
from scanners.attachments.filetype import Kind

_PE = b"MZ" + bytes(200)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"%PDF-1.7", "application/pdf"),
        (b"junk\n%PDF-1.4", "application/pdf"),
        (_PE, "application/x-dosexec"),
        (b"MZ is a nice day", "text/plain"),
        (b"BM is how it begins", "text/plain"),
        (b"BZhello", "text/plain"),
        (b"PK\x03\x04" + bytes(40), "application/zip"),
        (b"\x4c\0\0\0\x01\x14\x02\0" + bytes(40), "application/x-ms-shortcut"),
        (b"<!DOCTYPE html><p>", "text/html"),
        ("\ufeff<html>".encode("utf-16"), "text/html"),
        (b"<?xml version='1.0'?><svg>", "image/svg+xml"),
        ("你好，世界".encode("gb18030"), "text/plain"),
        (bytes(range(256)), "application/octet-stream"),
        (b"", "text/plain"),
        (bytes(32769) + b"CD001" + bytes(9), "application/x-iso9660-image"),
    ],
)
def test_types_by_bytes(data: bytes, expected: str) -> None:
    assert filetype.detect(data).media_type == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("invoice.pdf.exe", "double"),
        ("发票.docx.scr", "double"),
        ("invoice\u202efdp.exe", "right-to-left"),
        ("invoice.pdf" + " " * 60 + ".exe", "blanks"),
        ("发票.pdf\u3000\u3000\u3000\u3000\u3000.js", "blanks"),
        ("report.final.pdf", ""),
        ("setup.exe", ""),
        ("archive.tar.gz", ""),
        ("a.b", ""),
        ("", ""),
    ],
)
def test_disguises(name: str, expected: str) -> None:
    assert filetype.disguised(name) == expected


@pytest.mark.parametrize(
    "name", ["a.exe", "a.EXE", "a.exe.", "a.exe  ", "a.ex\u200be", "a.js", "b.lnk", "c.iso", "d.hta", "e.vbs\u3000"]
)
def test_dangerous_names(name: str) -> None:
    assert filetype.dangerous(name, Kind("text/plain", False))


@pytest.mark.parametrize("name", ["a.txt", "exe", "a.exe.txt", "合同.docx", "", "a."])
def test_harmless_names(name: str) -> None:
    assert not filetype.dangerous(name, Kind("text/plain", False))


@pytest.mark.parametrize(
    ("name", "declared", "data", "expected"),
    [
        ("a.pdf", "", _PE, "name"),
        ("a.txt", "", _PE, "name"),
        ("a.png", "", b"\xff\xd8\xff\xe0" + bytes(40), "name"),
        ("a.jpg", "image/jpeg", b"\xff\xd8\xff\xe0" + bytes(40), ""),
        ("a", "application/pdf", b"\x89PNG\r\n\x1a\n", "declared"),
        ("a.pdf", "application/octet-stream", b"%PDF-1.4", ""),
        ("a.zip", "", b"plain text", "name"),
        ("a.doc", "", b"{\\rtf1 hello}", ""),
        ("a.doc", "", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(60), ""),
        ("a.docx", "", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(60), ""),
        ("a.jar", "", b"PK\x03\x04" + bytes(40), ""),
        ("a.csv", "", b"a,b\n", ""),
    ],
)
def test_contradictions(name: str, declared: str, data: bytes, expected: str) -> None:
    assert filetype.contradicts(name, declared, filetype.detect(data)) == expected


def test_a_program_is_native_whatever_its_name() -> None:
    assert filetype.dangerous("photo.jpg", filetype.detect(_PE)) == "application/x-dosexec"
