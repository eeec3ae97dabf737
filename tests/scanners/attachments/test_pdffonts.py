"""PDF text that cannot be read as it looks is said; text that only hides is read."""

import io
from collections.abc import Callable, Sequence

import pytest
from reportlab.lib.colors import white
from reportlab.pdfgen.canvas import Canvas

from scanners.attachments import pdffonts
from scanners.attachments.yara import YaraEngine
from tests.scanners.attachments.samples import CN_ID, look

TREE = (b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>")  # fmt: skip


def drawn(draw: Callable[[Canvas], object]) -> bytes:
    """A page of ordinary text, and what ``draw`` adds."""
    out = io.BytesIO()
    made = Canvas(out)
    made.drawString(72, 700, "hello world, a page of text")
    draw(made)
    made.save()
    return out.getvalue()


def stream(content: bytes, head: bytes = b"") -> bytes:
    return b"<<%s/Length %d>>stream\n%s\nendstream" % (head, len(content), content)


def document(objects: Sequence[bytes]) -> bytes:
    """A PDF written by hand."""
    out, places = b"%PDF-1.7\n", []
    for number, each in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    table = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + b"".join(
        b"%010d 00000 n \n" % one for one in places
    )
    return out + table + b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(out))


def type3(names: Sequence[str], more: bytes = b"") -> bytes:
    codes = bytes(97 + int(one) for one in CN_ID)
    glyph = stream(b"1000 0 0 0 750 750 d1 0 0 750 750 re f")
    listed = "".join(f"/{name}" for name in names).encode()
    procs = b"".join(b"/%s 6 0 R" % name.encode() for name in names)
    font = (
        b"<</Type/Font/Subtype/Type3/FontBBox[0 0 750 750]/FontMatrix[.001 0 0 .001 0 0]/CharProcs<<" + procs
        + b">>/Encoding<</Type/Encoding/Differences[97" + listed + b"]>>/FirstChar 97/LastChar 106/Widths["
        + b"1000 " * 10 + b"]" + more + b">>"
    )  # fmt: skip
    return document((*TREE, stream(b"BT /F1 20 Tf 72 600 Td (" + codes + b") Tj ET"), font, glyph))


def composite(more: bytes = b"") -> bytes:
    codes = b"".join(b"%04X" % (3 + int(one)) for one in CN_ID)
    font = b"<</Type/Font/Subtype/Type0/BaseFont/ABCDEF+Foo/Encoding/Identity-H/DescendantFonts[6 0 R]" + more + b">>"
    below = (
        b"<</Type/Font/Subtype/CIDFontType2/BaseFont/ABCDEF+Foo/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)"
        b"/Supplement 0>>/FontDescriptor 7 0 R/DW 1000>>"
    )
    told = b"<</Type/FontDescriptor/FontName/ABCDEF+Foo/Flags 4/FontBBox[0 0 1000 1000]/ItalicAngle 0>>"
    return document((*TREE, stream(b"BT /F1 20 Tf 72 600 Td <" + codes + b"> Tj ET"), font, below, told))


NUMBERED = [f"g{number}" for number in range(10)]
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@pytest.mark.parametrize("data", [type3(NUMBERED), composite()], ids=["drawn glyphs", "codes of its own"])
def test_a_font_that_says_nothing_is_unreadable(engine: YaraEngine, data: bytes) -> None:
    assert look(engine, "a.pdf", data).finding("content.unreadable").about == "font"


@pytest.mark.parametrize(
    "data",
    [type3(WORDS), type3(NUMBERED, b"/ToUnicode 6 0 R"), composite(b"/ToUnicode 6 0 R"), drawn(lambda made: None)],
    ids=["names", "told", "codes told", "ordinary"],
)
def test_fonts_that_say_it_are_quiet(engine: YaraEngine, data: bytes) -> None:
    assert "content.unreadable" not in look(engine, "a.pdf", data).codes


def test_the_names_of_digits_are_enough(engine: YaraEngine) -> None:
    assert CN_ID in look(engine, "a.pdf", type3(WORDS)).text()


def _clear(made: Canvas) -> None:
    words = made.beginText(72, 600)
    words.setTextRenderMode(3)
    words.textLine(CN_ID)
    made.drawText(words)


HIDDEN: dict[str, Callable[[Canvas], object]] = {
    "off the page": lambda made: made.drawString(-5000, 6000, CN_ID),
    "white": lambda made: (made.setFillColor(white), made.drawString(72, 600, CN_ID)),
    "tiny": lambda made: (made.setFont("Helvetica", 0.1), made.drawString(72, 600, CN_ID)),
    "invisible": _clear,
    "mirrored": lambda made: (made.scale(-1, 1), made.drawString(-400, 400, CN_ID)),
}


@pytest.mark.parametrize("way", HIDDEN)
def test_words_nobody_sees_are_read(engine: YaraEngine, way: str) -> None:
    assert CN_ID in look(engine, "a.pdf", drawn(HIDDEN[way])).text().replace("\n", "").replace(" ", "")


def test_hostile_dictionaries_end() -> None:
    fonts = pdffonts.Fonts()
    fonts.look(b"<<" * 3_000 + b"/Type3" * 5_000 + b">>" * 10)
    fonts.look(b"/Type0/Identity-H" * 5_000)
    assert fonts.looked > pdffonts.MAX_FONTS
