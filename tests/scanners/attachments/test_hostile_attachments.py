"""Attachments that show a person what a program does not look at: each row must be read, or say why not."""

import base64
import io
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from reportlab.pdfgen import canvas

from scanners.attachments.yara import YaraEngine
from scanners.escapes import undone
from tests.scanners.attachments.samples import CN_ID, look, raw_zip

PHRASE = "合同总价"
TEXT = f"见 {PHRASE} 号码 {CN_ID} 。"
DATA = TEXT.encode()
LINES = base64.encodebytes(DATA)
WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def packed(members: Mapping[str, str | bytes]) -> bytes:
    """A zip."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def docx(body: str, encoding: str = "utf-8", **members: bytes) -> bytes:
    """A document with this body."""
    xml = f'<?xml version="1.0" encoding="{encoding}"?><w:document xmlns:w="{WORD}"><w:body><w:p>{body}</w:p></w:body></w:document>'
    return packed({"[Content_Types].xml": "<Types/>", "word/document.xml": xml.encode(encoding), **members})


def xlsx(rows: str, members: Mapping[str, str] | None = None) -> bytes:
    """A workbook with one sheet."""
    sheet = f'<worksheet xmlns="{SHEET}"><sheetData>{rows}</sheetData></worksheet>'
    return packed(
        {"[Content_Types].xml": "<Types/>", "xl/workbook.xml": "<workbook/>", "xl/worksheets/sheet1.xml": sheet}
        | dict(members or {})
    )


def run(text: str) -> str:
    """A run of a document."""
    return f"<w:r><w:t>{text}</w:t></w:r>"


def changed(data: bytes, mark: bytes, place: int, value: int, size: int = 2) -> bytes:
    """A zip whose last ``mark`` record says something else at ``place``."""
    at = data.rfind(mark) + place
    return data[:at] + value.to_bytes(size, "little") + data[at + size :]


def rtf(body: str) -> bytes:
    """An RTF with this body."""
    return ("{\\rtf1\\ansi " + body + "}").encode()


def points(text: str) -> str:
    """Characters as RTF writes them."""
    return "".join(f"\\u{ord(one)}?" for one in text)


def octets(text: str, charset: str = "gbk") -> str:
    """Bytes as RTF writes them."""
    return "".join(f"\\'{byte:02x}" for byte in text.encode(charset))


def split(mark: str) -> str:
    """The text with a mark behind each letter."""
    return "".join(one + mark for one in TEXT)


PAGE = split("<b></b>")
ZIP = packed({"a.txt": DATA})
CARD = b"BEGIN:VCARD\r\nVERSION:2.1\r\n"
READ: Mapping[str, tuple[str, bytes]] = {
    "docx, deleted letters between": ("a.docx", docx("".join(run(one) + "<w:r><w:delText>x</w:delText></w:r>" for one in TEXT))),
    "docx, hidden letters between": (
        "a.docx", docx("".join(run(one) + "<w:r><w:rPr><w:vanish/></w:rPr><w:t>q</w:t></w:r>" for one in TEXT)),
    ),
    "docx, instructions between": ("a.docx", docx("".join(run(one) + "<w:r><w:instrText>q</w:instrText></w:r>" for one in TEXT))),
    "docx, a field": ("a.docx", docx(f'<w:fldSimple w:instr=\' QUOTE "{TEXT}" \'/>')),
    "docx in GB 18030": ("a.docx", docx(run(TEXT), "gb18030")),
    "docx in UTF-16": ("a.docx", docx(run(TEXT), "utf-16")),
    "xlsx, values of a pivot table": ("a.xlsx", xlsx("", {"xl/pivotCache/p.xml": f"<a><s v='{TEXT}'/></a>"})),
    "ofd, a letter at a time": (
        "a.ofd",
        packed({"OFD.xml": "<?xml version='1.0'?><o:OFD xmlns:o='o'/>", "Doc_0/Pages/Page_0/Content.xml":
            "<?xml version='1.0'?><o:Page xmlns:o='o'>" + "".join(f"<o:TextCode>{one}</o:TextCode>" for one in TEXT) + "</o:Page>"}),
    ),
    "ofd without a declaration": (
        "a.ofd",
        packed({"OFD.xml": "<o:OFD xmlns:o='o'/>", "Content.xml": "<o:Page xmlns:o='o'>" + split("<o:x/>") + "</o:Page>"}),
    ),
    "rtf, Chinese by its font": ("a.rtf", rtf("{\\fonttbl{\\f0\\fcharset0 A;}{\\f1\\fcharset134 B;}}\\f1 " + octets(TEXT))),
    "rtf, a font within a group": ("a.rtf", rtf("{\\fonttbl{\\f1\\fcharset134 B;}}{\\f1 " + octets(TEXT) + "}\\f0 hi")),
    "rtf, Big5 by its font": ("a.rtf", rtf("{\\fonttbl{\\f1\\fcharset136 B;}}\\f1 " + octets(f"合同總價 {CN_ID}", "big5"))),
    "rtf, Chinese without a code page": ("a.rtf", rtf(octets(TEXT))),
    "rtf, hidden letters between": ("a.rtf", rtf("".join(points(one) + "{\\v q}" for one in TEXT))),
    "rtf, hidden by a toggle": ("a.rtf", rtf("".join(points(one) + "\\v q\\v0 " for one in TEXT))),
    "rtf, blanks in front": ("a.doc", b"\r\n " + rtf(points(TEXT))),
    "html named doc": ("a.doc", f"<div>{PAGE}</div>".encode()),
    "html named xls, by its meta": ("a.xls", f"<meta charset=gbk><table><tr><td>{PAGE}".encode("gbk")),
    "html behind a comment": ("a.bin", f"<!-- x --><p>{PAGE}".encode()),
    "xhtml": ("a.xht", PAGE.encode()),
    "html saved as mail": ("a.mhtml", b"MIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n\r\n" + LINES),
    "mail that never travelled": ("a.txt", b"From: a@x.test\r\nContent-Transfer-Encoding: base64\r\n\r\n" + LINES),
    "json": ("a.json", ('{"a":"' + "".join(f"\\u{ord(one):04x}" for one in TEXT) + '"}').encode()),
    "html after a reference of five thousand digits": ("a.html", ("&#" + "1" * 5_000 + f";<p>{TEXT}</p>").encode()),
    "xml without a declaration": ("a.xml", ("<a>" + "".join(f"&#{ord(one)};" for one in TEXT) + "</a>").encode()),
    "a card in quoted-printable": ("a.vcf", CARD + b"NOTE;ENCODING=QUOTED-PRINTABLE:" + "".join(f"={byte:02X}" for byte in DATA).encode()),
    "a card in base64": ("a.vcf", CARD + b"NOTE;ENCODING=b:" + base64.b64encode(DATA)),
    "a card, folded": ("a.vcf", CARD + f"NOTE:{TEXT[:4]}\r\n {TEXT[4:20]}\r\n\t{TEXT[20:]}".encode()),
    "zip, stored in one place and packed in the other": ("a.zip", changed(ZIP, b"PK\1\2", 10, 0)),
    "zip, encrypted in its directory only": ("a.zip", changed(ZIP, b"PK\1\2", 8, 1)),
    "zip, empty in its directory": ("a.zip", changed(ZIP, b"PK\1\2", 20, 0, 4)),
    "zip, cut short in its directory": ("a.zip", changed(ZIP, b"PK\1\2", 20, 5, 4)),
    "zip, longer than it says": ("a.zip", changed(changed(ZIP, b"PK\1\2", 24, 0, 4), b"PK\3\4", 22, 0, 4)),
    "zip, its directory elsewhere": ("a.zip", changed(ZIP, b"PK\5\6", 16, 3, 4)),
    "zip without an end": ("a.zip", ZIP[: ZIP.rfind(b"PK\5\6")]),
}  # fmt: skip


def test_it_is_read(engine: YaraEngine) -> None:
    unread = []
    for row, (name, data) in READ.items():
        seen = look(engine, name, data)
        text = "\n".join((part.text or "") + "\n" + (part.other or "") for part in seen.answer.parts)
        joined = text.replace("總價", "总价") + undone(text.encode()).text
        if PHRASE not in joined or CN_ID not in joined:
            unread.append(row)
    assert not unread, f"{len(unread)} of {len(READ)}: {unread}"


DDE = "<w:r><w:instrText>{}</w:instrText></w:r>"
PGP = b"-----BEGIN PGP MESSAGE-----\r\n\r\nhQEMA\r\n-----END PGP MESSAGE-----\r\n"
SVG = "<svg xmlns='http://www.w3.org/2000/svg'{}</svg>"
SAID: Mapping[str, tuple[str, str, bytes]] = {
    "a shortcut by its bytes": ("attachment.dangerous_type", "a.dat", b"\x4c\0\0\0\x01\x14\x02\0" + bytes(100)),
    "an address file": ("attachment.dangerous_type", "a.txt", b"[InternetShortcut]\r\nURL=file://x.test/x.exe\r\n"),
    "an HTML application": ("attachment.dangerous_type", "a.txt", b"<html><HTA:APPLICATION ID=x></html>"),
    "an encoded script": ("attachment.dangerous_type", "a.txt", b"#@~^AAAA=="),
    "a SYLK file": ("attachment.dangerous_type", "a.csv", b"ID;P\nO;E\nNN;NAuto_open"),
    "a drawing with a script": ("attachment.dangerous_type", "a.svg", SVG.format("><script>alert(1)</script>").encode()),
    "a drawing that acts when loaded": ("attachment.dangerous_type", "a.svg", SVG.format(" onload='x()'>").encode()),
    "a stream of NTFS": ("attachment.dangerous_type", "a.exe::$DATA", b"hi"),
    "a class identifier": ("attachment.dangerous_type", "a.{3050F4D8-98B5-11CF-BB82-00AA00BDCE0B}", b"hi"),
    "a name that goes on behind a zero": ("attachment.dangerous_type", "a.zip", raw_zip({b"a.exe\0.txt": b"hi"})),
    "a name only the member has": (
        "attachment.dangerous_type", "a.zip", raw_zip({b"a.exe": b"hi there"})[::-1].replace(b"exe.a", b"txt.a", 1)[::-1],
    ),
    **{
        f"a file named {ending}": ("attachment.dangerous_type", f"a.{ending}", b"hi")
        for ending in ("ps1xml", "one", "desktop", "accde", "webloc")
    },
    "docx, a field that starts a program": ("attachment.macro", "a.docx", docx(DDE.format("DDEAUTO c:\\\\cmd.exe x"))),
    "docx, the same in pieces": ("attachment.macro", "a.docx", docx("".join(DDE.format(one) for one in "DDEAUTO cmd.exe x"))),
    "docx, a project without modules": ("attachment.macro", "a.docx", docx("", **{"word/vbaProject.bin": b"\xd0\xcf" + bytes(3000)})),
    "xlsx, a formula that starts a program": ("attachment.macro", "a.xlsx", xlsx("<row><c><f>cmd|' /c calc'!A0</f></c></row>")),
    "xlsx, a link that does": (
        "attachment.macro", "a.xlsx", xlsx("", {"xl/externalLinks/l.xml": "<a><ddeLink ddeService='cmd' ddeTopic='x'/></a>"}),
    ),
    "csv, a cell that does": ("attachment.macro", "a.csv", b"a,b\r\n=cmd|' /C calc'!A0,1\r\n"),
    "odt, a script": ("attachment.macro", "a.odt", packed({"mimetype": "x", "content.xml": "<x/>", "Basic/S/M.xml": "<script/>"})),
    "Word's XML with macros": ("attachment.macro", "a.xml", b"<?xml version='1.0'?><?mso-application progid='x'?><a macrosPresent='yes'/>"),
    "an OpenPGP message": ("content.encrypted", "a.asc", PGP),
    "BinHex": ("content.unreadable", "a.hqx", b"(This file must be converted with BinHex 4.0)\r\n:#@0:"),
}  # fmt: skip


def test_it_is_said(engine: YaraEngine) -> None:
    unsaid = [row for row, (code, name, data) in SAID.items() if code not in look(engine, name, data).codes]
    assert not unsaid, f"{len(unsaid)} of {len(SAID)}: {unsaid}"


HARMLESS: Mapping[str, tuple[str, bytes]] = {
    "a public key": ("key.asc", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\r\n\r\nmQEN\r\n-----END PGP PUBLIC KEY BLOCK-----\r\n"),
    "a certificate": ("a.cer", b"\x30\x82\x01\x0a\x30\x82" + bytes(260)),
    "a drawing": ("logo.svg", SVG.format("><text>上海外贸有限公司</text>").encode()),
    "a price list": ("a.csv", "品名,单价\r\n法兰 | DN50,12.5\r\n-备注|见附表,+3\r\n".encode()),
    "a workbook that counts": ("a.xlsx", xlsx("<row><c><f>IF(A1=\"a|b\",1,2)</f><v>1</v></c></row>")),
    "a document with page numbers": ("a.docx", docx(run("第") + DDE.format(" PAGE ") + run("页"))),
    "an invoice": ("a.ofd", packed({"OFD.xml": "<?xml version='1.0'?><o:OFD xmlns:o='o'>发票</o:OFD>"})),
    "a note that begins like mail": ("a.txt", b"From: the warehouse\r\nTo: all\r\n\r\nPlease count the flanges.\r\n"),
    "an appointment": ("a.ics", "BEGIN:VCALENDAR\r\nSUMMARY:验货\r\nEND:VCALENDAR\r\n".encode()),
}  # fmt: skip


def test_ordinary_files_raise_nothing(engine: YaraEngine) -> None:
    raised = {row: codes for row, (name, data) in HARMLESS.items() if (codes := look(engine, name, data).codes)}
    assert not raised


def test_notes_on_the_pages_of_a_pdf_are_read(engine: YaraEngine) -> None:
    out = io.BytesIO()
    page = canvas.Canvas(out)
    page.drawString(72, 700, "hello")
    page.textAnnotation(TEXT)
    page.save()
    seen = look(engine, "a.pdf", out.getvalue())
    assert PHRASE in seen.text()
    assert CN_ID in seen.text()


INNER = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(
    DATA * 50
)


def cms(folder: Path, *words: str, content: bytes) -> bytes:
    """What openssl makes of it."""
    key, certificate = folder / "k.pem", folder / "c.pem"
    if not key.exists():
        make = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            str(key),
            "-out",
            str(certificate),
            "-subj",
            "/CN=a",
        ]
        subprocess.run(make, check=True, capture_output=True)
    ends = {"-sign": ["-signer", str(certificate), "-inkey", str(key)], "-encrypt": [str(certificate)]}
    made = ["openssl", "cms", *words, *ends[words[0]]]
    return subprocess.run(made, input=content, check=True, capture_output=True).stdout


@pytest.mark.parametrize("form", ["DER", "PEM"])
@pytest.mark.parametrize("streamed", [False, True])
def test_what_a_signature_wraps_is_read(engine: YaraEngine, tmp_path: Path, form: str, streamed: bool) -> None:
    words = ["-sign", "-nodetach", "-binary", "-outform", form, *(["-stream", "-indef"] if streamed else [])]
    seen = look(engine, "smime.p7m", cms(tmp_path, *words, content=INNER))
    assert any(CN_ID in (part.text or "") for part in seen.answer.parts)
    assert "content.unreadable" not in seen.codes


def test_what_is_encrypted_for_a_certificate_is_said(engine: YaraEngine, tmp_path: Path) -> None:
    data = cms(tmp_path, "-encrypt", "-binary", "-outform", "DER", content=INNER)
    assert look(engine, "smime.p7m", data).codes == {"content.encrypted"}


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_a_damaged_signature_never_raises(engine: YaraEngine, tmp_path: Path, cut: int) -> None:
    data = cms(tmp_path, "-sign", "-nodetach", "-binary", "-outform", "DER", content=INNER)
    look(engine, "smime.p7m", data[: 40 + cut * 3])
    look(engine, "smime.p7m", data[:cut] + b"\x84\xff\xff\xff\xff" + data[cut:])
