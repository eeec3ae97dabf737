"""QR codes in pictures: what they say becomes a member ``qr`` with text, so that words and links in it are judged like any other."""

import io
from typing import Any

from scanners import charset
from scanners.attachments.budget import LimitReached
from scanners.attachments.codes import QR
from scanners.attachments.reading import Note, Reading, UnreadableContent

MAX_PIXELS = 25_000_000
"""A phone's photo has 12 to 48 million; larger ones are scaled by their decoder where it can, else a limit."""
MAX_CODES = 16
"""Codes read from one picture."""
SMALLEST = 21
"""Modules of the smallest QR code: a tracking pixel has none."""
MAX_REMARK = 100_000
"""Characters of one remark in a picture that are read; people write a sentence."""
_REMARKS = (0x010E, 0x013B, 0x8298, 0x9286, 0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F)
"""Description, author, copyright, comment (Exif 2.3), and what Windows adds: title, comment, author, keywords, subject."""
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")


def read(data: bytes, reading: Reading) -> None:
    """Look for codes; pictures have no other text."""
    try:
        from PIL import Image
    except ImportError:
        return  # pictures are opaque without it
    try:
        picture: Any = Image.open(io.BytesIO(data), formats=_FORMATS)
    except Image.DecompressionBombError:
        raise LimitReached("pixels", MAX_PIXELS) from None
    except Exception as error:  # the library raises a dozen kinds on broken files
        raise UnreadableContent(f"picture: {type(error).__name__}") from None
    width, height = picture.size
    try:
        _remarks(picture, reading)
    except Exception:  # as above: remarks that can't be read are none
        reading.budget.tick()
    if min(width, height) < SMALLEST:
        return
    if picture.format == "JPEG":
        picture.draft("L", (2_000, 2_000))
        width, height = picture.size
    if width * height > MAX_PIXELS:
        raise LimitReached("pixels", MAX_PIXELS)
    try:
        if "A" in picture.getbands() or picture.mode == "P":
            flat = Image.new("RGBA", picture.size, "white")
            flat.alpha_composite(picture.convert("RGBA"))
            picture = flat
        grey = picture.convert("L")
    except Exception as error:  # as above
        raise UnreadableContent(f"picture: {type(error).__name__}") from None
    reading.budget.tick()
    look(grey.tobytes(), grey.width, grey.height, reading)


def _remarks(picture: Any, reading: Reading) -> None:
    """What programs show beside the picture: its comments, its title and its author; not the numbers of the camera."""
    said = [value for value in picture.info.values() if isinstance(value, str)]
    comment = picture.info.get("comment")
    if isinstance(comment, bytes):
        said.append(charset.decode(comment).text)
    if "exif" in picture.info:
        known = picture.getexif()
        held = {**known, **known.get_ifd(0x8769)}
        for tag in _REMARKS:
            value = held.get(tag)
            if isinstance(value, bytes):
                wide = tag >= 0x9C9B  # written by Windows
                body = value[8:] if tag == 0x9286 else value
                value = body.decode("utf-16-le", "replace") if wide else charset.decode(body.rstrip(b"\0")).text
            if isinstance(value, str):
                said.append(value)
    reading.say("\n".join(one[:MAX_REMARK] for one in said))
    if any(len(one) > MAX_REMARK for one in said):
        reading.limited("text", MAX_REMARK)


def look(grey: bytes, width: int, height: int, reading: Reading) -> None:
    """Read codes from 8-bit grey pixels, row by row."""
    import zxingcpp

    formats = zxingcpp.barcode_formats_from_str("QRCode|MicroQRCode|RMQRCode")
    view = memoryview(grey).cast("B", (height, width))
    codes = zxingcpp.read_barcodes(view, formats=formats)
    if len(codes) > MAX_CODES:
        reading.limited("codes", MAX_CODES)
    for code in codes[:MAX_CODES]:
        if code.text:
            reading.note(Note(QR, "QR code in a picture", about=_host(code.text)))
            reading.member("qr", code.text.encode("utf-8", "replace"), "text/plain; charset=utf-8")


def _host(text: str) -> str:
    """The host of a link, for rules; other contents may be personal."""
    scheme, found, rest = text.partition("://")
    if not found or scheme.lower() not in ("http", "https"):
        return ""
    return rest.partition("/")[0].rpartition("@")[2].partition("?")[0][:100].lower()
