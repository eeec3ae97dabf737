"""Documents: what a person could read in them is text; what they would do is a finding."""

import base64
import io
import zipfile
import zlib
from email.message import EmailMessage

import docx
import openpyxl
import pptx
import pytest
import segno
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl.comments import Comment
from PIL import Image
from reportlab.graphics import renderPDF
from reportlab.graphics.barcode.qr import QrCodeWidget
from reportlab.graphics.shapes import Drawing
from reportlab.lib import pdfencrypt
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen import canvas

from scanners.attachments.rtf import MAX_GROUPS
from scanners.attachments.sheet import Sheets
from scanners.attachments.yara import YaraEngine
from tests.scanners.attachments.samples import CN_ID, EICAR, look, zipped
from tests.scanners.letters import read

_TYPES = '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'


def _saved(document: object) -> bytes:
    out = io.BytesIO()
    document.save(out)  # type: ignore[attr-defined]
    return out.getvalue()


def _changed(data: bytes, **members: bytes) -> bytes:
    """An office file with members added or replaced (``__`` stands for ``/``, ``_DOT_`` for a dot)."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        named = {key.replace("__", "/").replace("_DOT_", "."): value for key, value in members.items()}
        for name in old.namelist():
            new.writestr(name, named.pop(name, None) or old.read(name))
        for name, content in named.items():
            new.writestr(name, content)
    return out.getvalue()


def _word() -> bytes:
    document = docx.Document()
    paragraph = document.add_paragraph("身份证")
    for digits in (CN_ID[:6], CN_ID[6:14], CN_ID[14:]):
        paragraph.add_run(digits)
    document.sections[0].header.paragraphs[0].text = "页眉机密"
    document.add_table(1, 1).cell(0, 0).text = "表格内容"
    document.core_properties.author = "作者王"
    return _saved(document)


def test_docx_text_header_table_properties(engine: YaraEngine) -> None:
    seen = look(engine, "a.docx", _word())
    text = seen.text()
    assert all(words in text for words in (CN_ID, "页眉机密", "表格内容", "作者王"))
    assert seen.codes == set()


def test_docx_declared_as_what_it_is_not(engine: YaraEngine) -> None:
    assert "attachment.type_mismatch" in look(engine, "a.pdf", _word()).codes
    assert "attachment.type_mismatch" in look(engine, "a", _word(), declared="application/pdf").codes


def _book() -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "员工名单"
    sheet.append(["姓名", "身份证", 12.5, "=1+1"])
    sheet.append(["张三", CN_ID])
    hidden = book.create_sheet("隐藏表")
    hidden.sheet_state = "veryHidden"
    hidden["A1"] = "秘密内容"
    hidden["A1"].comment = Comment("批注文字", "王")
    return _saved(book)


def test_xlsx_cells_hidden_sheets_comments_names(engine: YaraEngine) -> None:
    text = look(engine, "a.xlsx", _book()).text()
    assert all(words in text for words in (f"张三\t{CN_ID}", "隐藏表", "秘密内容", "批注文字", "员工名单", "12.5"))


def test_an_identity_number_in_an_xlsx_in_a_zip(engine: YaraEngine) -> None:
    seen = look(engine, "b.zip", zipped({"名单.xlsx": _book()}))
    assert CN_ID in seen.text("2!b.zip!名单.xlsx")


def _shared() -> bytes:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        sheet = book.add_worksheet("S")
        sheet.write_row(0, 0, ["姓名", "证件", "a & b < c"])
        sheet.write_row(1, 0, ["李四", CN_ID, "姓名"])
        sheet.write_rich_string(2, 0, "半", book.add_format({"bold": True}), "粗体", "字")
        sheet.write_formula(3, 0, '=HYPERLINK("http://link.test/x","看")', None, "看")
    return out.getvalue()


def test_shared_strings_stand_in_their_rows(engine: YaraEngine) -> None:
    text = look(engine, "a.xlsx", _shared()).text()
    assert f"李四\t{CN_ID}\t姓名" in text
    assert "半粗体字" in text
    assert "a & b < c" in text
    assert "http://link.test/x" in text


def test_both_sheet_readings_agree(engine: YaraEngine) -> None:
    """The same workbook with prefixes goes to the parser, and gives the same cells."""
    data = _shared()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        sheet, strings = archive.read("xl/worksheets/sheet1.xml"), archive.read("xl/sharedStrings.xml")

    def prefixed(xml: bytes) -> bytes:
        return (
            xml.replace(b"</", b"</x:")
            .replace(b"<", b"<x:")
            .replace(b"<x:/x:", b"</x:")
            .replace(b"<x:?", b"<?")
            .replace(b"xmlns=", b"xmlns:x=")
        )

    odd = _changed(data, xl__worksheets__sheet1_DOT_xml=prefixed(sheet), xl__sharedStrings_DOT_xml=prefixed(strings))
    plain_words = look(engine, "a.xlsx", data).text().split()
    odd_words = look(engine, "a.xlsx", odd).text().split()
    assert sorted(plain_words) == sorted(odd_words)
    assert f"李四\t{CN_ID}\t姓名" in look(engine, "a.xlsx", odd).text()


@pytest.mark.parametrize(
    "cell",
    [
        f"<c r='B2' t='inlineStr'><is><t>{CN_ID}</t></is></c>",
        f'<c r="B2" t="str"><f>"x"</f><v>{CN_ID}</v></c>',
        f'<c r="B2" t="inlineStr"><is><t><![CDATA[{CN_ID}]]></t></is></c>',
        f'<c><v>{CN_ID}</v></c>',
        f'<c r="B2"><v xml:space="preserve">{CN_ID}</v></c>',
        f'<c r="B2"><f>"{CN_ID}"</f></c>',
        f'<c r="B2" t="inlineStr"><is><t>{CN_ID} > 1</t></is></c>',
        f'<c r="B2" cm="a>b"><v>{CN_ID}</v></c>',

        "<c r=\"B2\" t=\"inlineStr\"><is><t>" + "".join(f"&#{ord(digit)};" for digit in CN_ID) + "</t></is></c>",
        f'<c r="B2" t="inlineStr"><is><t>&#{"1" * 5_000};{CN_ID}</t></is></c>',
        f'<c r="B2" t="inlineStr"><is><r><t>{CN_ID[:9]}</t></r><r><t>{CN_ID[9:]}</t></r></is></c>',
    ],
)  # fmt: skip
def test_cells_written_in_every_way(engine: YaraEngine, cell: str) -> None:
    start = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData><row r="1">'
    sheet = f"{start}{cell}</row></sheetData></worksheet>"
    data = zipped({"[Content_Types].xml": _TYPES, "xl/worksheets/sheet1.xml": sheet})
    assert CN_ID in look(engine, "a.xlsx", data).text()


def test_a_shared_string_named_a_million_times(engine: YaraEngine) -> None:
    strings = "<sst><si><t>" + "x" * 30_000 + "</t></si></sst>"
    cells = '<c t="s"><v>0</v></c>' * 300_000
    sheet = f"<worksheet><sheetData><row>{cells}</row></sheetData></worksheet>"
    data = zipped({"[Content_Types].xml": _TYPES, "xl/sharedStrings.xml": strings, "xl/worksheets/sheet1.xml": sheet})
    assert "content.limit.text" in look(engine, "a.xlsx", data).codes


def test_a_huge_dimension_costs_nothing(engine: YaraEngine) -> None:
    sheet = (
        '<worksheet><dimension ref="A1:XFD1048576"/><sheetData><row r="1"><c r="A1"><v>1</v></c></row>'
        f'<row r="1048576"><c r="XFD1048576"><v>{CN_ID}</v></c></row></sheetData></worksheet>'
    )
    data = zipped({"[Content_Types].xml": _TYPES, "xl/worksheets/sheet1.xml": sheet})
    assert CN_ID in look(engine, "a.xlsx", data).text()


def test_billion_laughs(engine: YaraEngine) -> None:
    entities = "".join(f'<!ENTITY l{number} "{f"&l{number - 1};" * 10}">' for number in range(1, 10))
    bomb = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "lol">{entities}]><x><p>&l9;</p></x>'
    data = zipped({"[Content_Types].xml": _TYPES, "word/document.xml": bomb})
    assert "content.limit.entities" in look(engine, "a.docx", data).codes


def test_deep_and_broken_xml(engine: YaraEngine) -> None:
    deep = zipped({"[Content_Types].xml": _TYPES, "word/document.xml": "<a>" * 100_000})
    assert "content.limit.depth" in look(engine, "a.docx", deep).codes
    broken = zipped({"[Content_Types].xml": _TYPES, "word/document.xml": f"<a><t>{CN_ID}</t><b"})
    seen = look(engine, "a.docx", broken)
    assert "content.unreadable" in seen.codes
    assert CN_ID in seen.text()


def test_pptx_slides_and_notes(engine: YaraEngine) -> None:
    show = pptx.Presentation()
    slide = show.slides.add_slide(show.slide_layouts[0])
    slide.shapes.title.text = "标题机密"
    slide.notes_slide.notes_text_frame.text = "备注文字"
    text = look(engine, "a.pptx", _saved(show)).text()
    assert "标题机密" in text
    assert "备注文字" in text


def test_a_program_inside_a_document_is_found(engine: YaraEngine) -> None:
    seen = look(engine, "a.docx", _changed(_word(), word__evil_DOT_com=EICAR))
    assert "malware.yara.eicar" in seen.codes


def test_a_remote_template(engine: YaraEngine) -> None:
    relation = (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" TargetMode="External" '
        'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/attachedTemplate" Target="https://evil.test/t.dotm"/></Relationships>'
    )
    seen = look(engine, "a.docx", _changed(_word(), word___rels__settings_DOT_xml_DOT_rels=relation.encode()))
    assert "attachment.remote_template" in seen.codes
    assert "https://evil.test/t.dotm" in seen.text()


def test_open_document_whatever_its_prefix(engine: YaraEngine) -> None:
    start = '<o:document-content xmlns:o="urn:o" xmlns:q="urn:t">'
    content = f"{start}<q:p>身份<q:span>证 {CN_ID[:6]}</q:span>{CN_ID[6:]}</q:p></o:document-content>"
    data = zipped(
        {"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": content, "META-INF/manifest.xml": "<m/>"}
    )
    assert f"身份证 {CN_ID}" in look(engine, "a.odt", data).text()
    locked = zipped({"mimetype": "x", "content.xml": b"\x80\x81", "META-INF/manifest.xml": "<m><encryption-data/></m>"})
    assert {"content.encrypted", "content.unreadable"} & look(engine, "a.odt", locked).codes


def test_rtf_text_charset_and_objects(engine: YaraEngine) -> None:
    rtf = (
        rb"{\rtf1\ansicpg936{\fonttbl{\f0 Arial;}}Hello \'c9\'ed\'b7\'dd\'d6\'a4 \u36523?\u20221? "
        + CN_ID.encode()
        + rb"\par"
    )
    rtf += rb"{\object{\*\objdata " + EICAR.hex().encode() + rb"}}}"
    seen = look(engine, "a.rtf", rtf)
    assert f"Hello 身份证 身份 {CN_ID}" in seen.text()
    assert "Arial" not in seen.text("2")
    assert {"malware.yara.eicar", "attachment.ole_object"} <= seen.codes


@pytest.mark.parametrize(
    "before",
    [
        rb"\uc-1\u8203 ",
        rb"{\uc8\u8203 }",
        rb"\uc8\u8203{}",
        rb"\uc8\u8203\b\b\b\b\b\b\b\b ",
        rb"\uc2\u8203\fonttbl\fonttbl ",
        rb"{\bin20 {\fonttbl{{{{{{{{{{}",
        rb"{\pict\bin9 {{{{{{{{{}",
    ],
)
def test_rtf_that_a_word_processor_shows_is_read(engine: YaraEngine, before: bytes) -> None:
    assert CN_ID in look(engine, "a.rtf", rb"{\rtf1 a" + before + CN_ID.encode() + b"}").text()


@pytest.mark.parametrize(
    "part",
    [
        "word/document.xml",
        "word/settings.xml",
        "word/styles.xml",
        "word/theme/theme1.xml",
        "word/sharedStrings.xml",
        "word/worksheets/body.xml",
        "word/body.rels",
        "word/printerSettings1.bin",
        "xl/sheet1.bin",
        "word/body.jpg",
    ],
)
def test_the_text_of_a_document_is_read_whatever_its_part_is_called(engine: YaraEngine, part: str) -> None:
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    document = zipped(
        {
            "[Content_Types].xml": f'<Types><Override PartName="/{part}" ContentType="{kind}"/></Types>',
            "_rels/.rels": f'<Relationships><Relationship Type="x/officeDocument" Target="{part}"/></Relationships>',
            "word/fontTable.xml": "<w:fonts xmlns:w='w'/>",
            part: f"<w:document xmlns:w='w'><w:body><w:p><w:r><w:t>{CN_ID}</w:t></w:r></w:p></w:body></w:document>",
        }
    )
    assert CN_ID in look(engine, "a.docx", document).text()


def test_rtf_is_said_as_far_as_it_was_read(engine: YaraEngine) -> None:
    seen = look(engine, "a.rtf", rb"{\rtf1 " + CN_ID.encode() + b"{" * (MAX_GROUPS + 1))
    assert CN_ID in seen.text()
    assert "content.limit.depth" in seen.codes


def test_what_an_rtf_object_holds_in_binary_is_opened(engine: YaraEngine) -> None:
    wrapped = rb"{\object{\*\objdata\bin" + str(len(EICAR)).encode() + b" " + EICAR + b"}}"
    assert "malware.yara.eicar" in look(engine, "a.rtf", rb"{\rtf1 a" + wrapped + b"}").codes


def _pdf(text: str = f"Resident ID {CN_ID}", **options: object) -> bytes:
    out = io.BytesIO()
    page = canvas.Canvas(out, **options)
    page.drawString(100, 700, text)
    page.linkURL("https://link.test/a", (0, 0, 100, 100))
    page.save()
    return out.getvalue()


def test_pdf_text_and_links(engine: YaraEngine) -> None:
    text = look(engine, "a.pdf", _pdf()).text()
    assert CN_ID in text
    assert "https://link.test/a" in text


def test_encrypted_pdf_opens_with_a_word_of_the_mail(engine: YaraEngine) -> None:
    data = _pdf(encrypt=pdfencrypt.StandardEncryption("geheim"))
    assert "content.encrypted" in look(engine, "a.pdf", data).codes
    opened = look(engine, "a.pdf", data, words=("nein", "geheim"))
    assert "content.decrypted" in opened.codes
    assert CN_ID in opened.text()


@pytest.mark.parametrize("name", [b"/JavaScript", b"/J#61vaScript", b"/JS"])
def test_pdf_javascript_however_spelt(engine: YaraEngine, name: bytes) -> None:
    data = _pdf().replace(
        b"/Type /Catalog", b"/Type /Catalog /OpenAction << /S " + name + b" " + name + b" (app.alert) >>", 1
    )
    assert look(engine, "a.pdf", data).finding("attachment.pdf_action").about == "JavaScript"


def test_pdf_action_in_a_packed_object(engine: YaraEngine) -> None:
    packed = zlib.compress(b"5 0 << /S /Launch /F (cmd.exe) >>")
    extra = (
        b"9 0 obj << /Type /ObjStm /Filter /FlateDecode /Length %d >> stream\n" % len(packed)
        + packed
        + b"\nendstream endobj\n"
    )
    data = _pdf().replace(b"xref\n", extra + b"xref\n", 1)
    assert look(engine, "a.pdf", data).finding("attachment.pdf_action").about == "Launch"


def test_broken_pdf_is_unreadable(engine: YaraEngine) -> None:
    assert "content.unreadable" in look(engine, "a.pdf", b"%PDF-1.7\n" + bytes(range(256)) * 20).codes


def test_pdf_whose_objects_point_at_themselves(engine: YaraEngine) -> None:
    data = (
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[2 0 R 3 0 R]/Count 9>>endobj\n"
        b"3 0 obj<</Type/Page/Parent 2 0 R/Contents 3 0 R>>endobj\ntrailer<</Root 1 0 R/Prev 0>>\nstartxref\n0\n%%EOF"
    )
    seen = look(engine, "a.pdf", data)
    assert seen.part("2").media_type == "application/pdf"


def test_pdf_that_is_a_zip_as_well(engine: YaraEngine) -> None:
    seen = look(engine, "a.pdf", _pdf() + zipped({"b.com": EICAR}))
    assert {"malware.yara.eicar", "attachment.archive_ambiguous"} <= seen.codes


def _qr(text: str, kind: str = "png") -> bytes:
    out = io.BytesIO()
    segno.make(text).save(out, kind="png", scale=5)
    if kind != "png":
        picture = Image.open(out).convert("RGB")
        out = io.BytesIO()
        picture.save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "bmp", "webp"])
def test_qr_codes_in_pictures(engine: YaraEngine, kind: str) -> None:
    seen = look(engine, f"a.{kind}", _qr(f"https://evil.test/?id={CN_ID}", kind))
    assert seen.finding("url.qr").about == "evil.test"
    assert CN_ID in seen.text("!qr")


def test_qr_codes_in_pdf_as_picture_and_as_drawing(engine: YaraEngine) -> None:
    out = io.BytesIO()
    page = canvas.Canvas(out)
    page.drawImage(ImageReader(io.BytesIO(_qr("https://one.test/"))), 100, 500, 150, 150)
    page.showPage()
    drawing = Drawing(150, 150)
    drawing.add(QrCodeWidget(f"https://two.test/{CN_ID}"))
    renderPDF.draw(drawing, page, 100, 500)
    page.save()
    seen = look(engine, "a.pdf", out.getvalue())
    text = seen.text("!qr") + seen.text("!qr#2")
    assert "https://one.test/" in text
    assert CN_ID in text


def test_a_qr_code_that_only_the_mask_of_a_black_picture_shows(engine: YaraEngine) -> None:
    """The picture itself is black all over: such a page is drawn although nothing else is on it."""
    code = Image.open(io.BytesIO(_qr("https://masked.test/"))).convert("L")
    black = Image.new("RGBA", code.size, "black")
    black.putalpha(code.point(lambda grey: 255 - grey))
    out = io.BytesIO()
    page = canvas.Canvas(out)
    page.drawImage(ImageReader(black), 100, 300, 300, 300, mask="auto")
    page.showPage()
    page.drawImage(ImageReader(io.BytesIO(_qr("https://bare.test/"))), 100, 500, 150, 150)
    page.showPage()
    page.drawString(50, 700, "text after pages that have none")
    page.save()
    seen = look(engine, "a.pdf", out.getvalue())
    assert "https://masked.test/" in seen.text("!qr")
    assert "https://bare.test/" in seen.text("!qr#2")
    assert "text after pages that have none" in seen.text()


def test_a_qr_code_put_together_from_pictures(engine: YaraEngine) -> None:
    code = Image.open(io.BytesIO(_qr("https://pieces.test/"))).convert("RGB")
    half = code.height // 2
    out = io.BytesIO()
    page = canvas.Canvas(out)
    page.drawImage(ImageReader(code.crop((0, 0, code.width, half))), 100, 450, 300, 150)
    page.drawImage(ImageReader(code.crop((0, half, code.width, 2 * half))), 100, 300, 300, 150)
    page.save()
    assert "https://pieces.test/" in look(engine, "a.pdf", out.getvalue()).text("!qr")


def test_qr_code_in_a_docx(engine: YaraEngine) -> None:
    document = docx.Document()
    document.add_picture(io.BytesIO(_qr("https://evil.test/x")))
    assert "https://evil.test/x" in look(engine, "a.docx", _saved(document)).text("!qr")


def test_pictures_beyond_bounds(engine: YaraEngine) -> None:
    out = io.BytesIO()
    Image.new("1", (9_000, 9_000)).save(out, "png")
    assert "content.limit.pixels" in look(engine, "a.png", out.getvalue()).codes
    assert "content.unreadable" in look(engine, "a.png", _qr("x" * 40)[:60]).codes


@pytest.mark.parametrize(
    "page",
    [
        "<script>var b=atob('AA');var x=new Blob([b]);a.href=URL.createObjectURL(x);a.download='x.zip';a.click()</script>",
        "<SCRIPT>navigator.msSaveOrOpenBlob(new Blob([d]),'x.iso')</SCRIPT>",
        "<a href='data:application/zip;base64,UEsDBA=='>open</a>",
        "<script>document.write(atob('" + "QUJD" * 1000 + "'))</script>",
    ],
)
def test_html_smuggling(engine: YaraEngine, page: str) -> None:
    assert "attachment.html_smuggling" in look(engine, "a.html", f"<html>{page}</html>".encode()).codes


def test_ordinary_html_is_no_smuggling(engine: YaraEngine) -> None:
    page = "<html><style>p{}</style><script>console.log('hi')</script><p>你好</p><img src='data:image/png;base64,AAAA'></html>"
    seen = look(engine, "a.html", page.encode())
    assert seen.codes == {"content.html_active"}
    assert "你好" in seen.text()


def test_mail_in_mail(engine: YaraEngine) -> None:
    inner = EmailMessage()
    inner["Subject"] = "测试主题"
    inner["From"] = "a@acme.example"
    inner.set_content(f"身份证 {CN_ID}", charset="gb18030")
    inner.add_attachment(zipped({"b.com": EICAR}), maintype="application", subtype="zip", filename="x.zip")
    seen = look(engine, "a.eml", inner.as_bytes())
    assert "测试主题" in seen.text()
    assert CN_ID in seen.text()
    assert "2!a.eml!x.zip!b.com" in seen.paths
    assert "malware.yara.eicar" in seen.codes


@pytest.mark.parametrize("declared", ["text/plain", "text/plain; charset=gb2312", "text/plain; charset=nonsense"])
def test_text_files_in_gbk(engine: YaraEngine, declared: str) -> None:
    assert "身份证号码" in look(engine, "a.csv", f"身份证号码,{CN_ID}".encode("gb18030"), declared).text()


def test_utf16_text(engine: YaraEngine) -> None:
    assert CN_ID in look(engine, "a.txt", f"Resident {CN_ID} of nobody".encode("utf-16-le")).text()


def test_unknown_binary_is_not_silent(engine: YaraEngine) -> None:
    assert "content.unreadable" in look(engine, "a.dat", bytes(range(256)) * 4).codes


_CHANGES = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=8)


@settings(max_examples=60)
@given(
    which=st.sampled_from(["docx", "xlsx", "rtf", "html"]), places=_CHANGES
)  # fmt: skip
def test_damaged_documents_never_raise(engine: YaraEngine, which: str, places: list[tuple[int, int]]) -> None:
    made = {
        "docx": _DOCX,
        "xlsx": _XLSX,
        "rtf": rb"{\rtf1 \'41 {\object \objdata 00}}" * 5,
        "html": b"<html><script>" * 9,
    }
    data = bytearray(made[which])
    for place, value in places:
        data[place % len(data)] = value
    assert look(engine, f"a.{which}", bytes(data)).answer.parts


_DOCX, _XLSX = _word(), _shared()


def test_a_cell_that_points_nowhere_is_empty() -> None:
    sheets = Sheets(["a"], bytearray(1))
    assert [sheets.lookup(index) for index in ("0", "7", "x", b"0")] == ["a", "", "", "a"]


def _with_locked(data: bytes) -> bytes:
    """The same file with one more member, which claims to be encrypted and is read before most others."""
    changed = bytearray(_changed(data, aaa_DOT_xml=b"<a>xxxxxxxxxxxxxxxxxxxx</a>"))
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = changed.rfind(mark, 0, changed.rfind(b"aaa.xml") if mark[2] == 1 else changed.find(b"aaa.xml"))
        changed[at + flags] |= 1
    return bytes(changed)


def test_one_encrypted_member_does_not_hide_the_others(engine: YaraEngine) -> None:
    seen = look(engine, "a.docx", _with_locked(_word()))
    assert "content.encrypted" in seen.codes
    assert CN_ID in seen.text()
    assert "作者王" in seen.text()


def test_shared_strings_before_a_fault_in_them_are_read(engine: YaraEngine) -> None:
    broken = (
        f'<x:sst xmlns:x="urn:x"><x:si><x:t>{CN_ID}</x:t></x:si><x:si><x:t>only shared</x:t></x:si><x:broken'.encode()
    )
    seen = look(engine, "a.xlsx", _changed(_shared(), xl__sharedStrings_DOT_xml=broken))
    assert "content.unreadable" in seen.codes
    assert CN_ID in seen.text()
    assert "only shared" in seen.text()


def test_a_broken_member_of_an_open_document_does_not_hide_the_others(engine: YaraEngine) -> None:
    members = {
        "mimetype": "application/vnd.oasis.opendocument.text",
        "META-INF/manifest.xml": "<m/>",
        "content.xml": "<a><b>",
    }
    seen = look(engine, "a.odt", zipped(members | {"styles.xml": f"<p>{CN_ID}</p>"}))
    assert "content.unreadable" in seen.codes
    assert CN_ID in seen.text()


def test_a_card_whose_picture_is_an_address(engine: YaraEngine) -> None:
    held = base64.b64encode(zipped({"b.com": EICAR})).decode()
    seen = look(engine, "a.vcf", f"BEGIN:VCARD\r\nPHOTO:data:image/jpeg;base64,{held}\r\nEND:VCARD\r\n".encode())
    assert "malware.yara.eicar" in seen.codes


def test_an_encrypted_message_in_a_text_is_said(engine: YaraEngine) -> None:
    armoured = b"hello\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n\r\nhQEMA\r\n-----END PGP MESSAGE-----\r\n"
    assert "content.encrypted" in look(engine, "a.txt", armoured).codes
    assert any(part.content.startswith(b"-----BEGIN PGP") for part in read(b"Subject: x\r\n\r\n" + armoured).parts)
