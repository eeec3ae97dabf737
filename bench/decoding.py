"""What opening attachments costs: the hand-over to a decoder, and each format, in this process and through the pool.

Run: python bench/decoding.py [SECONDS_PER_LINE]      Prints milliseconds per document, best of the repeats; noise is about 15 %.
"""

import asyncio
import io
import random
import resource
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import docx
import openpyxl
import xlsxwriter
from PIL import Image
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen import canvas

from gateway.process.decoders import DecoderPool
from scanners.attachments import yara
from scanners.attachments.cache import Cache
from scanners.attachments.inspection import Inspection, preload
from scanners.attachments.opener import AttachmentOpener
from scanners.attachments.poison import PoisonMemory
from scanners.attachments.protocol import JobPart
from tests.scanners.attachments.samples import attached, mail, zipped

_WORDS = "合同 总价 客户 项目 report invoice 会议 纪要 please 发票 schedule 数量 单价 delivery".split()  # noqa: SIM905


def _sentence(chance: random.Random, words: int) -> str:
    return " ".join(chance.choice(_WORDS) for _ in range(words))


def _noise(chance: random.Random, size: int) -> bytes:
    out = io.BytesIO()
    Image.frombytes("RGB", (size, size), chance.randbytes(3 * size * size)).save(out, "jpeg", quality=80)
    return out.getvalue()


def _xlsx(chance: random.Random, shared: bool) -> bytes:
    out = io.BytesIO()
    rows = [[_sentence(chance, 3), chance.random() * 1e6, number, _sentence(chance, 1)] for number in range(2_500)]
    if shared:
        with xlsxwriter.Workbook(out) as book:
            sheet = book.add_worksheet()
            for number, row in enumerate(rows):
                sheet.write_row(number, 0, row)
        return out.getvalue()
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(out)
    return out.getvalue()


def _docx(chance: random.Random) -> bytes:
    document = docx.Document()
    for _ in range(300):
        document.add_paragraph(_sentence(chance, 12))
    document.add_picture(io.BytesIO(_noise(chance, 900)))
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def _pdf(chance: random.Random) -> bytes:
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    out = io.BytesIO()
    page = canvas.Canvas(out)
    for number in range(10):
        page.setFont("STSong-Light", 10)
        for line in range(40):
            page.drawString(50, 780 - 14 * line, _sentence(chance, 8))
        if number < 2:
            page.drawImage(ImageReader(io.BytesIO(_noise(chance, 800))), 50, 50, 150, 150)
        page.showPage()
    page.save()
    return out.getvalue()


def samples() -> dict[str, bytes]:
    """The same files every time."""
    chance = random.Random(7)
    text = _sentence(chance, 2_000).encode()
    book = _xlsx(chance, shared=True)
    return {
        "txt": text,
        "html": b"<html><body>" + b"".join(b"<p>" + text[:200] + b"</p>" for _ in range(50)),
        "zip": zipped({"a.txt": text, "b.csv": text}),
        "xlsx-shared": book,
        "xlsx-inline": _xlsx(chance, shared=False),
        "zip-of-xlsx": zipped({"a.xlsx": book}, zipfile.ZIP_STORED),
        "docx": _docx(chance),
        "pdf": _pdf(chance),
        "jpeg": _noise(chance, 800),
    }


def _best(work: Callable[[], object], seconds: float) -> float:
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return best * 1000


def _alone(files: dict[str, bytes], engine: yara.YaraEngine, seconds: float) -> None:
    print(f"{'in process':<14}{'kB':>8}{'chars':>9}{'CPU ms':>9}{'yara ms':>9}")
    for name, data in files.items():
        suffix = name.split("-")[-1] if name.startswith("zip") else name.split("-")[0]
        suffix = "zip" if name.startswith("zip") else suffix
        sizes: list[int] = []

        def work(name: str = f"a.{suffix}", data: bytes = data, sizes: list[int] = sizes) -> None:
            inspection = Inspection(engine, (), time.monotonic, 20.0)
            inspection.attachment(JobPart("2", "", name, 0, len(data)), data)
            sizes[:] = [sum(len(part.text or "") for part in inspection.answer().parts)]

        took = _best(work, seconds)
        matched = _best(lambda data=data: engine.match(data), seconds / 4)
        print(f"{name:<14}{len(data) / 1000:>8.0f}{sizes[0]:>9}{took:>9.2f}{matched:>9.2f}")


async def _crossing(files: dict[str, bytes], rules: yara.CompiledRules, folder: Path, seconds: float) -> None:
    pool = DecoderPool(folder / "decoder.sock", 2, rules.save(folder))
    began = time.perf_counter()
    await pool.start()
    print(f"\ntwo decoders up in {time.perf_counter() - began:.2f} s; sandbox: {', '.join(pool.layers)}")
    print(f"{'by the pool':<14}{'ms':>9}{'worker CPU ms':>15}{'cached ms':>11}")
    try:
        opener = AttachmentOpener(folder / "decoder.sock", rules.version, Cache(0), PoisonMemory({}))
        cached = AttachmentOpener(folder / "decoder.sock", rules.version, Cache(64_000_000), PoisonMemory({}))
        for name, data in {"tiny txt": b"hello", **files}.items():
            message = mail(attached("a.bin", data))
            timings = []
            for one in (opener, cached):
                count, cpu, end = 0, time.process_time(), time.perf_counter() + seconds
                start = time.perf_counter()
                while time.perf_counter() < end:
                    await one.open(message)
                    count += 1
                timings.append(
                    ((time.perf_counter() - start) / count * 1000, (time.process_time() - cpu) / count * 1000)
                )
            print(f"{name:<14}{timings[0][0]:>9.2f}{timings[0][1]:>15.2f}{timings[1][0]:>11.3f}")
        for pid in pool.pids:
            status = Path(f"/proc/{pid}/status").read_text()  # noqa: ASYNC240 - a bench may block
            print(f"decoder {pid}: {int(status.split('VmRSS:')[1].split()[0]) // 1000} MB resident")
    finally:
        await pool.stop()


def main() -> None:
    """Print both tables."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    preload()
    files = samples()
    rules = yara.compile_rules()
    with tempfile.TemporaryDirectory() as folder:
        _alone(files, yara.load_rules(rules.save(Path(folder))), seconds)
        asyncio.run(_crossing(files, rules, Path(folder), seconds))
    print(f"this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000} MB at most")


if __name__ == "__main__":
    main()
