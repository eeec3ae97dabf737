"""PDF: text by pdf_oxide with pdfium behind it, links, forms, attachments, active content, and QR codes on its pages."""

import ctypes
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import re2

from scanners import urls
from scanners.attachments import pdffonts, pdfnotes, qrcode
from scanners.attachments.budget import LimitReached
from scanners.attachments.codes import ACTIVE_PDF, DECRYPTED, ENCRYPTED, UNREADABLE
from scanners.attachments.reading import Note, Reading, UnreadableContent
from scanners.finding import Severity

MAX_PAGES = 2_000
"""Pages read for text; a book has fewer."""
MAX_PICTURES = 12
"""Pictures or drawn pages in which codes are looked for: a code for people is on the first pages."""
MAX_DRAWN = 4
"""Pages drawn whole for codes that are not pictures."""
MAX_LOOKED = 40
"""Pages looked at for codes, and surveyed before their text is read."""
DRAWN_PATHS = 100
"""Lines and areas from which a page may hold a code drawn as squares; the smallest code has some 60 of each colour."""
MOST_TEXT = 400
"""Characters of text beside a picture below which the page may be nothing but a code in pieces."""
MAX_STRUCTURE = 32_000_000
"""Bytes of object streams unpacked to look for actions."""
MAX_LINKS = 20_000
"""Links that are read as text; an index has thousands."""
MAX_ADDRESS = 4_000
"""Bytes of one link; browsers take about so many, and longer ones are still read as text."""
MAX_FILES = 200
"""Embedded files that are opened."""
MAX_BOOKMARKS = 20_000
"""Titles in the outline that are read; one page of a standard has a few."""
_WORDS = 1
"""FPDF_PAGEOBJ_TEXT."""
_DRAW_SCALE = 1.4
"""100 dpi: a module of a code two centimetres wide is then three pixels."""
_TRIES = 24

_NAMES = re2.compile(
    rb"/(JavaScript|JS|Launch|EmbeddedFiles?|RichMedia|XFA|SubmitForm|ImportData|GoToE|GoToR)[\s/(<\[>\]]"
)
_MASK = re2.compile(rb"Mask")
_LINKS = re2.compile(rb"/URI\s{0,4}\(([^()\\]{4,1000})\)")
_ESCAPED = re2.compile(rb"/[A-Za-z]{0,20}#[0-9A-Fa-f]{2}[A-Za-z0-9#]{0,60}")
_WANTED = (
    b"JavaScript",
    b"JS",
    b"Launch",
    b"EmbeddedFile",
    b"RichMedia",
    b"XFA",
    b"SubmitForm",
    b"ImportData",
    b"GoToE",
    b"GoToR",
)
_SEVERITY = {"JavaScript": Severity.HIGH, "Launch": Severity.CRITICAL, "RichMedia": Severity.MEDIUM}
_QUIET = frozenset(("XFA", "SubmitForm", "ImportData", "GoToR"))


def read(data: bytes, reading: Reading) -> None:
    """Everything, each step for itself: a document whose text cannot be read may still launch a program."""
    masks = _structure(data, reading)
    document = _open(data, reading)
    if document is None:
        return
    try:
        _bookmarks(document, reading)
        pages = [_survey(document, number, reading) for number in range(min(len(document), MAX_LOOKED))]
        lengths = _text(data, document, pages, reading)
        _outside(document, pages, reading)
        pdfnotes.beside(data, document, reading)
        _attachments(document, reading)
        _disguised_links(document, pages, reading)
        _codes(document, pages, lengths, reading, masks=masks)
    finally:
        document.close()


@dataclass(frozen=True, slots=True)
class _Page:
    """What stands on a page, by pdfium's list of its objects."""

    images: int
    paths: int
    textless: bool
    """No text, form or annotation: nothing on it could be read."""
    lone: bool
    """One picture and nothing else at all."""
    marked: bool
    """It has annotations, of which links are one kind."""
    outside: bool
    """Words stand off the page: no viewer shows them, and whoever copies all takes them along."""

    @property
    def plain(self) -> bool:
        """No code could be on it."""
        return not self.images and self.paths <= DRAWN_PATHS


def _survey(document: Any, number: int, reading: Reading) -> _Page | None:
    """What stands on that page; None when pdfium can't say."""
    import pypdfium2
    import pypdfium2.raw as raw

    reading.budget.tick()
    try:
        page = document[number]
    except pypdfium2.PdfiumError:
        return None
    try:
        objects = [raw.FPDFPage_GetObject(page.raw, at) for at in range(raw.FPDFPage_CountObjects(page.raw))]
        kinds = [raw.FPDFPageObj_GetType(one) for one in objects]
        outside = _any_outside([one for one, kind in zip(objects, kinds, strict=True) if kind == _WORDS], page)
        form = raw.FPDF_PAGEOBJ_FORM in kinds
        marked = raw.FPDFPage_GetAnnotCount(page.raw) != 0
        textless = not form and raw.FPDF_PAGEOBJ_TEXT not in kinds and not marked
        lone = textless and kinds == [raw.FPDF_PAGEOBJ_IMAGE]
        if form:
            kinds = [item.type for item in page.get_objects(max_depth=3)]
    except pypdfium2.PdfiumError:
        return None
    finally:
        page.close()
    pictures, paths = kinds.count(raw.FPDF_PAGEOBJ_IMAGE), kinds.count(raw.FPDF_PAGEOBJ_PATH)
    return _Page(pictures, paths, textless, lone, marked, outside)


def _any_outside(words: Sequence[Any], page: Any) -> bool:
    """Does a piece of text lie wholly off the page?"""
    import pypdfium2.raw as raw

    near, low, far, high = page.get_bbox()
    left, bottom, right, top = (ctypes.c_float() for _ in range(4))
    for one in words:
        if raw.FPDFPageObj_GetBounds(one, left, bottom, right, top) and (
            right.value < near or left.value > far or top.value < low or bottom.value > high
        ):
            return True
    return False


def _structure(data: bytes, reading: Reading) -> bool:
    """Names of actions in the objects, packed ones included, however their letters are escaped. True when pictures may have masks."""
    found: set[str] = set()
    links: list[bytes] = []
    masks = _MASK.search(data) is not None
    fonts = pdffonts.Fonts()
    for block in (data, *_object_streams(data, reading)):
        found.update(match.group(1).decode() for match in _NAMES.finditer(block))
        escaped = [_unescaped(match.group(0)[1:]) for match in _ESCAPED.finditer(block)]
        found.update(name.decode() for name in escaped if name in _WANTED)
        masks = masks or any(b"Mask" in name for name in escaped)
        links.extend(match.group(1) for match in _LINKS.finditer(block))
        fonts.look(block)
        reading.budget.tick()
    if fonts.silent:
        reading.note(Note(UNREADABLE, "a font that does not say which characters it draws", about="font"))
    if "JS" in found:
        found.add("JavaScript")
    for name in sorted(found - {"JS", "EmbeddedFiles"}):
        severity = Severity.LOW if name in _QUIET else _SEVERITY.get(name, Severity.MEDIUM)
        reading.note(Note(ACTIVE_PDF, f"PDF holds {name}", about=name, severity=severity))
    reading.say("\n".join(dict.fromkeys(link.decode("latin-1") for link in links[:MAX_LINKS])))
    if len(links) > MAX_LINKS:
        reading.limited("urls", MAX_LINKS, Severity.LOW)
    return masks


def _unescaped(name: bytes) -> bytes:
    """A name without its ``#xx`` (ISO 32000 7.3.5)."""
    first, *rest = name.split(b"#")
    try:
        return first + b"".join(bytes.fromhex(piece[:2].decode()) + piece[2:] for piece in rest)
    except ValueError:
        return name


def _object_streams(data: bytes, reading: Reading) -> list[bytes]:
    blocks: list[bytes] = []
    position = total = 0
    while total < MAX_STRUCTURE:
        position = data.find(b"/ObjStm", position)
        if position < 0:
            return blocks
        start = data.find(b"stream", position, position + 2_000)
        position += 7
        if start < 0:
            continue
        start += 6
        start += 2 if data[start : start + 2] == b"\r\n" else 1
        try:
            block = zlib.decompressobj().decompress(data[start : start + 8_000_000], MAX_STRUCTURE - total)
        except zlib.error:
            continue
        total += len(block)
        reading.budget.unpacked(len(block))
        blocks.append(block)
    raise LimitReached("bytes", MAX_STRUCTURE)


def _open(data: bytes, reading: Reading) -> Any:
    """The document by pdfium, with no password, then the mail's own words; None when it stays shut."""
    import pypdfium2

    for number, word in enumerate(("", *reading.words[:_TRIES])):
        reading.budget.tick()
        try:
            document = pypdfium2.PdfDocument(data, password=word)
        except pypdfium2.PdfiumError as error:
            if "assword" in str(error):
                continue
            raise UnreadableContent("pdf is broken") from None
        if number:
            reading.note(Note(DECRYPTED, "opened with a password from the mail", about="pdf"))
        return document
    reading.note(Note(ENCRYPTED, "encrypted PDF", about="pdf"))
    return None


def _text(data: bytes, document: Any, pages: Sequence[_Page | None], reading: Reading) -> list[int]:
    """Say the text; returns characters per page. pdf_oxide first (six times as fast), pdfium where that finds nothing or fails."""
    try:
        info = document.get_metadata_dict()
        reading.say(
            "\n".join(
                value for key, value in info.items() if value and key in ("Title", "Author", "Subject", "Keywords")
            )
        )
    except (ValueError, UnicodeError):
        reading.budget.tick()
    lengths = _quick_text(data, len(document), pages, reading)
    if sum(lengths):
        return lengths
    lengths = []
    for number in range(min(len(document), MAX_PAGES)):
        reading.budget.tick()
        page = document[number]
        shown = page.get_textpage().get_text_bounded()
        lengths.append(len(shown.strip()))
        reading.say(shown)
        page.close()
    if len(document) > MAX_PAGES:
        raise LimitReached("pages", MAX_PAGES)
    return lengths


def _outside(document: Any, pages: Sequence[_Page | None], reading: Reading) -> None:
    """Say all words of pages that have some beside them, which the first reader leaves out."""
    for number, known in enumerate(pages):
        if known is not None and known.outside:
            reading.budget.tick()
            page = document[number]
            reading.say(page.get_textpage().get_text_range())
            page.close()


def _bookmarks(document: Any, reading: Reading) -> None:
    """Say the outline: a viewer shows it beside the pages. An outline that goes round in a circle ends at the bound."""
    import pypdfium2

    titles: list[str] = []
    try:
        for entry in islice(document.get_toc(), MAX_BOOKMARKS):
            titles.append(entry.get_title())
            reading.budget.tick()
        if len(titles) >= MAX_BOOKMARKS:
            reading.limited("bookmarks", MAX_BOOKMARKS)
    except (pypdfium2.PdfiumError, ValueError, UnicodeError):
        reading.note(Note(UNREADABLE, "outline not read", about="pdf", severity=Severity.LOW))
    reading.say("\n".join(titles))


def _quick_text(data: bytes, count: int, pages: Sequence[_Page | None], reading: Reading) -> list[int]:
    """Text by pdf_oxide. It unpacks the pictures of a page that has no text: where both readers agree on that, it isn't asked for any."""
    import pdf_oxide

    lengths: list[int] = []
    try:
        document: Any = pdf_oxide.PdfDocument.from_bytes(data)
        for number in range(min(count, MAX_PAGES)):
            reading.budget.tick()
            page = pages[number] if number < len(pages) else None
            if page is not None and page.textless and not document.extract_spans(number):
                lengths.append(0)
                continue
            shown = document.extract_text(number)
            lengths.append(len(shown.strip()))
            reading.say(shown)
    except LimitReached:
        raise
    except BaseException as error:  # a Rust panic arrives as a BaseException; pdfium then reads instead
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise
        return []
    if count > MAX_PAGES:
        raise LimitReached("pages", MAX_PAGES)
    return lengths


def _attachments(document: Any, reading: Reading) -> None:
    if document.count_attachments() > MAX_FILES:
        reading.limited("entries", MAX_FILES)
    for number in range(min(document.count_attachments(), MAX_FILES)):
        attachment = document.get_attachment(number)
        content = bytes(attachment.get_data())
        reading.budget.unpacked(len(content))
        reading.member(attachment.get_name() or f"attachment-{number}", content, "")


def _disguised_links(document: Any, pages: Sequence[_Page | None], reading: Reading) -> None:
    """Links whose place on the page shows another domain than they lead to; once a domain."""
    import pypdfium2

    told: set[str] = set()
    for number, known in enumerate(pages):
        if known is not None and not known.marked:
            continue
        try:
            page = document[number]
            for target, shown in _page_links(document, page, reading):
                host, _ = urls.host_of(target)
                seen = urls.shown_host(shown)
                if host and seen and host not in told and urls.differ(seen, host):
                    told.add(host)
                    reading.note(Note(urls.MISMATCH, urls.MISMATCH.en, about=host))
            page.close()
        except (pypdfium2.PdfiumError, ValueError, UnicodeError):
            reading.note(Note(UNREADABLE, "links not read", about="pdf", severity=Severity.LOW))


def _page_links(document: Any, page: Any, reading: Reading) -> Iterator[tuple[str, str]]:
    """(address, the text under it) of a page's link annotations."""
    import pypdfium2.raw as raw

    position, link, words = ctypes.c_int(0), raw.FPDF_LINK(), None
    for _ in range(MAX_LINKS):
        if not raw.FPDFLink_Enumerate(page.raw, ctypes.byref(position), ctypes.byref(link)):
            break
        reading.budget.tick()
        action = raw.FPDFLink_GetAction(link)
        size = raw.FPDFAction_GetURIPath(document.raw, action, None, 0) if action else 0
        rect = raw.FS_RECTF()
        if not 0 < size <= MAX_ADDRESS or not raw.FPDFLink_GetAnnotRect(link, rect):
            continue
        buffer = ctypes.create_string_buffer(size)
        raw.FPDFAction_GetURIPath(document.raw, action, buffer, size)
        words = words or page.get_textpage()
        low, high = sorted((rect.bottom, rect.top))
        yield buffer.value.decode("utf-8", "replace"), words.get_text_bounded(rect.left, low, rect.right, high)


def _codes(
    document: Any, pages: Sequence[_Page | None], lengths: Sequence[int], reading: Reading, *, masks: bool
) -> None:
    """Codes in pictures; pages with little text and no picture are drawn, since a code may be drawn as squares."""
    looks = _Looks(masks)
    if len(document) > MAX_LOOKED:
        looks.full(MAX_LOOKED, reading)
    for number, known in enumerate(pages):
        if known is not None and known.plain:
            continue
        reading.budget.tick()
        page = document[number]
        try:
            looks.at(page, known, sum(lengths[number : number + 1]), reading)
        except LimitReached:
            raise
        except Exception as error:  # a page that cannot be drawn says so and the next is tried
            reading.note(
                Note(UNREADABLE, f"page not drawn: {type(error).__name__}", about="pdf", severity=Severity.LOW)
            )
        finally:
            page.close()


@dataclass(slots=True)
class _Looks:
    """How much of a document has been looked at for codes. ``masks``: what pictures show may be their masks' doing."""

    masks: bool
    pictures: int = 0
    drawn: int = 0
    said: bool = False

    def at(self, page: Any, known: _Page | None, length: int, reading: Reading) -> None:
        """Look at the pictures of a page, then at the page as a whole where a code may be put together from pieces."""
        import pypdfium2.raw as raw

        kinds = [
            item
            for item in page.get_objects(max_depth=3)
            if item.type in (raw.FPDF_PAGEOBJ_IMAGE, raw.FPDF_PAGEOBJ_PATH)
        ]
        images = [item for item in kinds if item.type == raw.FPDF_PAGEOBJ_IMAGE]
        seen = whole = False
        for image in images:
            if not _worth(image):
                continue
            if self.pictures >= MAX_PICTURES:
                self.full(MAX_PICTURES, reading)
                break
            self.pictures += 1
            seen = _picture(image, reading) or seen
            whole = known is not None and known.lone and not self.masks  # drawn, it would show the same again
        pieces = len(kinds) - len(images) > DRAWN_PATHS or (bool(images) and length < MOST_TEXT)
        if not pieces or seen or whole:
            return
        if self.drawn >= MAX_DRAWN:
            self.full(MAX_DRAWN, reading)
            return
        self.drawn += 1
        _draw(page, reading)

    def full(self, bound: int, reading: Reading) -> None:
        """Once a document: codes are looked for no further. Of low weight, since every long scan gets there."""
        if not self.said:
            self.said = True
            reading.limited("codes", bound, Severity.LOW)


def _worth(image: Any) -> bool:
    """A code is about square, neither an icon nor a scanned page."""
    width, height = image.get_px_size()
    return bool(qrcode.SMALLEST <= width <= 3_000 and qrcode.SMALLEST <= height <= 3_000 and 0.5 <= width / height <= 2)


def _picture(image: Any, reading: Reading) -> bool:
    bitmap = image.get_bitmap(render=False)
    return _look(bitmap, reading)


def _draw(page: Any, reading: Reading) -> None:
    width, height = page.get_size()
    scale = min(_DRAW_SCALE, 2_500 / max(width, height, 1))
    _look(page.render(scale=scale, grayscale=True), reading)


def _look(bitmap: Any, reading: Reading) -> bool:
    """Read codes from a pdfium bitmap of any layout; True if there was one."""
    from PIL import Image

    mode = {1: "L", 3: "RGB", 4: "RGBX"}.get(bitmap.n_channels, "L")
    layout = {1: "L", 3: "BGR", 4: "BGRX"}[bitmap.n_channels]
    size = (bitmap.width, bitmap.height)
    picture = Image.frombuffer(mode, size, bytes(bitmap.buffer), "raw", layout, bitmap.stride, 1).convert("L")
    found = [0]
    before = reading.note

    def note(seen: Note) -> None:
        found[0] += 1
        before(seen)

    reading.note = note
    try:
        qrcode.look(picture.tobytes(), picture.width, picture.height, reading)
    finally:
        reading.note = before
    return bool(found[0])
