# ruff: noqa: E501 - a table reads best with a row per line
"""Every named bound of the scanners: what is said when it is met, or why it stops no reading.

The names are collected from the code, so that a bound without a row here fails.
"""

import ast
import gzip
import io
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from reportlab.pdfgen import canvas

from gateway.demo import mails
from scanners import amounts, contentlines, encoded, impersonation, mime, mime_reader, numbers, text, transfer, urls
from scanners.attachments import budget, cms, compressed, html, pdfnotes, plain, qrcode, xml, yara
from scanners.attachments.yara import YaraEngine
from scanners.identifiers import IdentifierScanner
from scanners.impersonation import ImpersonationScanner
from scanners.urls import UrlScanner
from tests.scanners.attachments.samples import fake_clock, look, zipped
from tests.scanners.letters import AT, read
from tests.scanners.letters import plain as letter

ROOT = Path(__file__).parents[2] / "scanners"

SAID = {
    "amounts.MAX_AMOUNTS": "numbers", "attachments/biff.MAX_STRINGS": "nodes", "attachments/budget.MAX_DEPTH": "depth",
    "attachments/budget.MAX_ENTRIES": "entries", "attachments/budget.MAX_BYTES": "bytes", "attachments/budget.MAX_MEMBER": "size",
    "attachments/budget.MAX_RATIO": "ratio", "attachments/budget.MAX_TEXT": "text", "attachments/budget.MAX_NODES": "nodes",
    "attachments/compressed.MAX_STREAMS": "streams", "attachments/html.MAX_FILES": "embedded", "attachments/legacy.MAX_PIECES": "pieces",
    "attachments/macros.MAX_SOURCE": "macros", "attachments/message.MAX_DEFECTS": "findings", "attachments/ole.MAX_STREAMS": "entries",
    "attachments/pdf.MAX_PAGES": "pages", "attachments/pdf.MAX_PICTURES": "codes", "attachments/pdf.MAX_DRAWN": "codes",
    "attachments/pdf.MAX_LOOKED": "codes", "attachments/pdf.MAX_STRUCTURE": "bytes", "attachments/pdf.MAX_LINKS": "urls",
    "attachments/pdf.MAX_FILES": "entries", "attachments/pdf.MAX_BOOKMARKS": "bookmarks", "attachments/plain.MAX_BYTES": "text",
    "attachments/plain.MAX_SHOWN": "text", "attachments/protocol.MAX_PARTS": "parts", "attachments/protocol.MAX_FINDINGS": "findings",
    "attachments/qrcode.MAX_PIXELS": "pixels", "attachments/qrcode.MAX_CODES": "codes", "attachments/rtf.MAX_GROUPS": "depth",
    "attachments/xml.MAX_DEPTH": "depth", "contentlines.MAX_FILES": "embedded", "contentlines.MAX_BYTES": "embedded",
    "attachments/cms.MAX_PIECES": "nodes", "attachments/qrcode.MAX_REMARK": "text", "attachments/tails.MAX_BLOCKS": "pieces", "attachments/cms.MAX_NESTING": "depth", "attachments/pdfnotes.MAX_LOOKED": "notes",
    "attachments/pdfnotes.MAX_NOTES": "notes", "attachments/pdfnotes.MAX_NOTE": "notes", "mime.MAX_QUOTED": "quoted",
    "drawn.MAX_DRAWINGS": "embedded", "bidi.MAX_RUNS": "disguises", "disguises.MAX_SEARCHED": "disguises", "disguises.MAX_FOUND": "disguises",
    "escapes.MAX_SEARCHED": "disguises", "escapes.MAX_ROUNDS": "disguises", "encoded.MAX_PARAMETERS": "parameters",
    "encoded.MAX_PIECES": "parameter_pieces", "impersonation.MAX_ADDRESSES": "addresses", "mime.MAX_READINGS": "readings",
    "mime.MAX_SECOND": "second_reading", "mime.MAX_SECOND_LINES": "second_reading", "mime.MAX_HTML": "html", "mime_reader.MAX_DEPTH": "depth", "mime_reader.MAX_PARTS": "parts",
    "mime_reader.MAX_FIELDS": "header_fields", "mime_reader.MAX_HEADER": "header_bytes", "mime_reader.MAX_FIELD": "field_bytes",
    "mime_reader.MAX_DECODED": "decoded_bytes", "mime_second.MAX_LEAVES": "parts", "numbers.MAX_GROUPS": "numbers",
    "text.MAX_LINKS": "urls", "text.MAX_RULES": "html", "transfer.MAX_EMBEDDED": "embedded", "urls.MAX_URLS": "urls", "urls.MAX_PAGE": "urls",
}  # fmt: skip
"""Bound: the last word of the ``content.limit.`` finding that names it."""

SILENT = {
    "attachments/archives.MAX_TRIES": "ends as content.encrypted", "attachments/ole.MAX_TRIES": "ends as content.encrypted",
    "attachments/candidates.MAX_WORDS": "ends as content.encrypted", "attachments/zipcrypto.MAX_CLASSIC": "ends as content.encrypted",
    "attachments/clamav.MAX_APART": "more stay in the mail, which is sent all the same",
    "attachments/clamav.MAX_REPLY": "ends as scanner.failed", "attachments/clamav.MAX_STREAM": "ends as scanner.failed",
    "attachments/decoder.MAX_TIME_MS": "a job that asks for more gets this", "attachments/opener.MAX_LEFT": "ends as scanner.failed",
    "attachments/protocol.MAX_FOUND": "entries comes first", "attachments/protocol.MAX_JOB": "parts comes first",
    "attachments/protocol.MAX_ANSWER": "text comes first; else content.crashes", "attachments/zips.MAX_LISTED": "entries comes first",
    "attachments/html.MAX_HTML": "the rest is said as source",
    "attachments/pdffonts.MAX_FONTS": "one silent font is all that is said",
    "attachments/yara.MAX_HITS": "hits, not reading", "attachments/pdf.MAX_ADDRESS": "longer links are read as text",
    "encoded.MAX_WORDS": "field_bytes comes first", "encoded.MAX_KNOWN": "a cache", "impersonation.MAX_KNOWN": "a cache",
    "normalise.MAX_KNOWN": "a cache", "text.MAX_KNOWN_TAG": "a cache", "text.MAX_SHOWN": "what follows is read as text of the body", "answers.MAX_REMEMBERED": "a cache", "answers.MAX_USED": "a cache",
    "impersonation.MAX_DOMAIN": "no domain is longer", "urls.MAX_URL": "a host stands before it", "numbers.MAX_DIGITS": "no identifier is longer",
    "amounts.MAX_VALUE": "no amount", "mime_reader.MAX_INNER": "ends as mime.ambiguous", "mime_second.MAX_SALVAGED": "parts comes with it",
    "transfer.MAX_PADDED": "ends as mime.ambiguous", "patterns.MAX_SPANS": "counts, not reading", "patterns.MAX_PATTERN": "an operator's error",
    "dictionaries.MAX_PHRASES": "an operator's error", "dictionaries.MAX_PHRASE": "an operator's error",
    "drawn.MAX_ROWS": "no code is larger", "drawn.MAX_COLUMNS": "no code is larger",
    "bidi.MAX_LEVELS": "deeper marks change nothing on a screen either",
    "attachments/gate.MAX_LITERALS": "beyond it YARA looks at everything",
}  # fmt: skip
"""Bounds that stop no reading, or whose end has another finding."""


def bounds() -> set[str]:
    """``module.MAX_NAME`` of every module but the resolver's and authentication's, whose ends are auth.* findings."""
    found = set()
    for path in ROOT.rglob("*.py"):
        where = path.relative_to(ROOT).with_suffix("").as_posix()
        if where.startswith("authentication/") or where == "resolver" or where == "answers":
            continue
        for node in ast.parse(path.read_text("utf-8")).body:
            target = node.targets[0] if isinstance(node, ast.Assign) else None
            if isinstance(target, ast.Name) and target.id.startswith("MAX_"):
                found.add(f"{where}.{target.id}")
    return found


def test_every_bound_of_the_code_has_a_row() -> None:
    listed = {*SAID, *SILENT}
    assert bounds() - listed == set(), "say what is found when it is met"


def test_every_finding_of_a_bound_stands_in_the_page() -> None:
    page = (ROOT.parent / "docs" / "scanning.md").read_text("utf-8")
    assert {
        word for word in SAID.values() if f"content.limit.{word}`" not in page and f"`.{word}`" not in page
    } == set()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> YaraEngine:
    return yara.load_rules(yara.compile_rules().save(tmp_path_factory.mktemp("rules")))


def html_mail(body: str) -> str:
    return f"Content-Type: text/html\n\n{body}"


MAILS = {
    "depth": "".join(f"Content-Type: multipart/mixed; boundary={n}\n\n--{n}\n" for n in range(mime_reader.MAX_DEPTH + 5)),
    "parts": "Content-Type: multipart/mixed; boundary=b\n\n" + "--b\n\nx\n" * (mime_reader.MAX_PARTS + 5),
    "header_fields": "A: b\n" * (mime_reader.MAX_FIELDS + 5) + "\nx",
    "header_bytes": ("A: " + "b" * 900 + "\n") * (mime_reader.MAX_HEADER // 900 + 5) + "\nx",
    "field_bytes": "A: b\n" + " c\n" * (mime_reader.MAX_FIELD // 2) + "\nx",
    "parameters": "Content-Type: text/plain" + "; a=b" * (encoded.MAX_PARAMETERS + 5) + "\n\nx",
    "parameter_pieces": "Content-Type: text/plain" + "".join(f"; name*{n}=b" for n in range(encoded.MAX_PIECES + 5)) + "\n\nx",
    "html": html_mail("<style>" + "a{b:c}" * (text.MAX_RULES + 5) + "</style><p style='display:none'>x</p>"),
    "second_reading": "Content-Transfer-Encoding: base64\n\n" + "a\n*\n" * (mime.MAX_SECOND_LINES // 2 + 5),
    "embedded": "Content-Type: text/plain\n\n" + "begin 644 a\n#9&%T\n`\nend\n" * (transfer.MAX_EMBEDDED + 5),
}  # fmt: skip


@pytest.mark.parametrize("which", MAILS)
def test_bounds_of_the_reader_are_named(which: str) -> None:
    assert f"content.limit.{which}" in {one.code for one in read(MAILS[which]).defects}


def test_what_quotes_more_words_than_are_decoded_is_named() -> None:
    far = b"x " * (mime.MAX_QUOTED // 2 + 1) + b"=?utf-8?q?a?="
    assert "content.limit.quoted" in {one.code for one in read(b"Content-Type: text/plain\r\n\r\n" + far).defects}
    near = b"=?utf-8?b?5ZCI5ZCM?= x\r\n" * 20_000 + b"=?utf-8?q?the_last_one?="
    assert "the last one" in read(b"Content-Type: text/plain\r\n\r\n" + near).texts["1~words"]


def test_a_long_card_is_named() -> None:
    card = b"BEGIN:VCARD\r\n" + b"NOTE:x\r\n" * (contentlines.MAX_BYTES // 8 + 5)
    assert "content.limit.embedded" in {one.code for one in read(b"Content-Type: text/vcard\r\n\r\n" + card).defects}


def test_a_long_page_is_named() -> None:
    assert "content.limit.html" in {one.code for one in read(html_mail("<p>x</p>\n" * (mime.MAX_HTML // 8))).defects}


async def test_bounds_of_the_scanners_are_named() -> None:
    many = letter("USD 5,00 " + "".join(f"USD {n}.{n} " for n in range(amounts.MAX_AMOUNTS + 5)))
    assert "content.limit.numbers" in {one.code for one in IdentifierScanner(()).find(many.readings, AT)}
    flood = letter("1 " * (numbers.MAX_GROUPS + 5) + "\n6228480000000000018")
    assert "content.limit.numbers" in {one.code for one in IdentifierScanner(()).find(flood.readings, AT)}
    senders = "From: " + ", ".join(f"a{n}@x.test" for n in range(impersonation.MAX_ADDRESSES + 5)) + "\n\nx"
    found = await ImpersonationScanner(("corp.test",), ()).scan(read(senders))
    assert "content.limit.addresses" in {one.code for one in found.findings}
    for body in (
        "<a href=http://a.test>x</a>" * (urls.MAX_URLS + 5),
        "<p>x</p>" * (urls.MAX_PAGE // 8 + 5) + "<a href=http://a.test>",
    ):
        assert "content.limit.urls" in {one.code for one in (await UrlScanner().scan(read(html_mail(body)))).findings}


def _nested(levels: int) -> bytes:
    data = b"x"
    for _ in range(levels):
        data = zipped({"a.zip": data})
    return data


def _codes(count: int) -> bytes:
    import segno
    from PIL import Image

    out = io.BytesIO()
    segno.make("x").save(out, kind="png", scale=4)
    one = Image.open(out).convert("L")
    sheet = Image.new("L", (one.width * count, one.height), 255)
    for place in range(count):
        sheet.paste(one, (place * one.width, 0))
    made = io.BytesIO()
    sheet.save(made, "png")
    return made.getvalue()


def _signed(inner: bytes) -> bytes:
    """An opaque signature around ``inner``, its lengths left open."""
    name = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07"
    return b"\x30\x80" + name + b"\x02\xa0\x80\x30\x80\x02\x01\x01\x31\x00\x30\x80" + name + b"\x01\xa0\x80" + inner


def _pages(count: int, notes: int = 0, long: int = 0) -> bytes:
    """A PDF with notes."""
    out = io.BytesIO()
    made = canvas.Canvas(out)
    for page in range(count):
        made.drawString(72, 700, "hello")
        for _ in range(notes if not page else 1):
            made.textAnnotation("n" * (long or 1), (10, 10, 20, 20))
        made.showPage()
    made.save()
    return out.getvalue()


FILES = {
    "nodes": ("a.p7m", lambda: _signed(b"\x24\x80" + b"\x04\x01x" * (cms.MAX_PIECES + 5))),
    "depth": ("a.zip", lambda: _nested(budget.MAX_DEPTH + 3)),
    "entries": ("a.zip", lambda: zipped({f"{n}.txt": b"" for n in range(budget.MAX_ENTRIES + 5)})),
    "ratio": ("a.gz", lambda: gzip.compress(bytes(4 * budget.RATIO_FROM))),
    "text": ("a.xml", lambda: b"<?xml version='1.0'?><a>" + b"b " * (plain.MAX_SHOWN // 2 + 5) + b"</a>"),
    "streams": ("a.gz", lambda: gzip.compress(b"x") * (compressed.MAX_STREAMS + 5)),
    "embedded": (
        "a.html",
        lambda: b"<html>" + b"".join(b"<a href='data:text/plain,%d'>" % n for n in range(html.MAX_FILES + 5)),
    ),
    "html": (
        "a.html",
        lambda: b"<html><style>" + b"a{b:c}" * (text.MAX_RULES + 5) + b"</style><p style='display:none'>x</p>",
    ),
    "codes": ("a.png", lambda: _codes(qrcode.MAX_CODES + 4)),
}


@pytest.mark.parametrize("which", FILES)
def test_bounds_of_decoders_are_named(engine: YaraEngine, which: str) -> None:
    name, make = FILES[which]
    assert f"content.limit.{which}" in look(engine, name, make()).codes


def test_depth_of_a_signature_is_named(engine: YaraEngine) -> None:
    assert "content.limit.depth" in look(engine, "a.p7m", _signed(b"\x24\x80" * (cms.MAX_NESTING + 5))).codes


@pytest.mark.parametrize(
    "make",
    [
        lambda: _pages(pdfnotes.MAX_LOOKED + 1),
        lambda: _pages(1, pdfnotes.MAX_NOTES + 1),
        lambda: _pages(1, 1, pdfnotes.MAX_NOTE),
    ],
    ids=["pages", "notes", "length"],
)
def test_bounds_of_notes_are_named(engine: YaraEngine, make: Callable[[], bytes]) -> None:
    assert "content.limit.notes" in look(engine, "a.pdf", make()).codes


def test_depth_of_xml_and_declared_entities_are_named(engine: YaraEngine) -> None:
    types = mails.WORKBOOK["[Content_Types].xml"]
    deep = zipped({"[Content_Types].xml": types, "word/document.xml": "<a>" * (xml.MAX_DEPTH + 5)})
    assert "content.limit.depth" in look(engine, "a.docx", deep).codes
    laughs = "<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>"
    assert (
        "content.limit.entities"
        in look(engine, "a.docx", zipped({"[Content_Types].xml": types, "word/document.xml": laughs})).codes
    )


def test_time_is_named(engine: YaraEngine) -> None:
    members = zipped({f"{number}.txt": b"x" for number in range(50)})
    assert "content.limit.time" in look(engine, "a.zip", members, soft_s=1.0, clock=fake_clock(0.05)).codes
    assert time.monotonic() > 0
