"""What lies behind the end of a file is opened; what phones write there is no finding."""

import gzip
import io
from collections.abc import Callable

import pytest
from PIL import Image, PngImagePlugin
from reportlab.pdfgen import canvas

from scanners.attachments.tails import behind
from scanners.attachments.yara import YaraEngine
from tests.scanners.attachments import packers
from tests.scanners.attachments.samples import CN_ID, EICAR, look, zipped


def picture(kind: str, **more: object) -> bytes:
    out = io.BytesIO()
    Image.new("P" if kind == "gif" else "RGB", (40, 40)).save(out, kind, **more)
    return out.getvalue()


def pdf() -> bytes:
    out = io.BytesIO()
    made = canvas.Canvas(out)
    made.drawString(72, 700, "hello")
    made.save()
    return out.getvalue()


def animated() -> bytes:
    out = io.BytesIO()
    frames = [Image.new("P", (40, 40), number) for number in range(5)]
    frames[0].save(out, "gif", save_all=True, append_images=frames[1:])
    return out.getvalue()


FRONTS: dict[str, Callable[[], bytes]] = {
    "a.png": lambda: picture("png"),
    "a.jpg": lambda: picture("jpeg"),
    "b.jpg": lambda: picture("jpeg", progressive=True, comment=b"x" * 500),
    "a.gif": lambda: picture("gif"),
    "b.gif": animated,
    "a.webp": lambda: picture("webp"),
    "a.bmp": lambda: picture("bmp"),
    "a.pdf": pdf,
    "a.zip": lambda: zipped({"a.txt": b"hello"}),
}
TAILS: dict[str, Callable[[], bytes]] = {
    "zip": lambda: zipped({"b.com": EICAR}),
    "gzip": lambda: gzip.compress(EICAR),
    "rar": lambda: packers.rar5(b"b.com", EICAR),
    "program": lambda: b"MZ" + bytes(200) + EICAR,
}


@pytest.mark.parametrize("name", FRONTS)
@pytest.mark.parametrize("tail", TAILS)
def test_what_lies_behind_is_opened(engine: YaraEngine, name: str, tail: str) -> None:
    seen = look(engine, name, FRONTS[name]() + TAILS[tail]())
    assert "attachment.archive_ambiguous" in seen.codes
    assert any(one.code == "malware.yara.eicar" and "!" in one.path for one in seen.answer.findings)


@pytest.mark.parametrize("name", FRONTS)
def test_text_behind_is_read(engine: YaraEngine, name: str) -> None:
    assert CN_ID in look(engine, name, FRONTS[name]() + f"resident id {CN_ID}\n".encode()).text()


@pytest.mark.parametrize("name", FRONTS)
@pytest.mark.parametrize("tail", [b"", b"\0" * 40, b"\r\n", bytes(range(1, 256)) * 4])
def test_an_ordinary_end_is_quiet(engine: YaraEngine, name: str, tail: bytes) -> None:
    assert look(engine, name, FRONTS[name]() + tail).codes <= {"content.unreadable"}


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a", b"\xff\xd8\xff\xd8", b"\x89PNG\r\n\x1a\n" + b"\xff" * 50, b"BM" + b"\xff" * 50]
)
@pytest.mark.parametrize("kind", ["image/png", "image/jpeg", "image/gif", "application/pdf", "application/zip"])
def test_broken_files_have_no_end(data: bytes, kind: str) -> None:
    assert behind(data, kind) == b""


def test_remarks_in_pictures_are_read(engine: YaraEngine) -> None:
    told = PngImagePlugin.PngInfo()
    told.add_itxt("Description", f"身份证 {CN_ID}", zip=True)
    assert CN_ID in look(engine, "a.png", picture("png", pnginfo=told)).text()
    exif = Image.Exif()
    exif[0x010E] = f"id {CN_ID}"
    assert CN_ID in look(engine, "a.jpg", picture("jpeg", exif=exif)).text()
    assert CN_ID in look(engine, "a.jpg", picture("jpeg", comment=f"id {CN_ID}".encode())).text()
