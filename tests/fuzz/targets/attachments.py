"""A named file into ``Inspection``: archives, office files, PDF, mail in mail, pictures, by every reader a decoder has.

Native libraries run in the fuzzing process here. When one of them dies of an input, the runner notes it and starts anew: in the
gateway such an input kills a sandboxed decoder, and the third time it is ``content.crashes``.
"""

import gzip
import io
import lzma
import random
import re
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

import msgspec

from scanners.attachments import yara
from scanners.attachments.inspection import Inspection
from scanners.attachments.protocol import Answer, JobPart, frame
from scanners.finding import Evidence, Finding, Severity
from tests.fuzz.target import Target, declared

SOFT_S = 20.0
"""What a worker gives a decoder; far beyond the bound on CPU, so that time never decides what is found."""
CPU_S = 4.0
"""A page drawn for its QR codes and rules matched over all members; decoders do not hold up a worker's loop."""
MAX_BYTES = 32_768
"""An archive unpacks to many times its size."""
WORDS = ("geheim", "nein")
GROWN = 2_000_000
"""Bytes of one member that the mutation unpacks; more only makes it slow."""
FAULTS = tuple(
    f": {name}" for name in ("TypeError", "AttributeError", "KeyError", "IndexError", "ValueError", "NameError")
)
"""Errors that a reader does not mean: they end in a finding, but whatever the piece had left to say is not read."""
_STREAM = re.compile(rb"stream\r?\n")


class Files:
    """The shipped rules, and one look at one file."""

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory(prefix="sealgate-") as folder:
            self._engine = yara.load_rules(yara.compile_rules().save(Path(folder)))
        self._decoder = msgspec.msgpack.Decoder(Answer)

    def run(self, data: bytes) -> None:
        """``name`` LF ``declared type`` LF ``content``: the answer fits the wire, and is the same twice."""
        answer = self._look(data)
        assert self._decoder.decode(frame(answer)[4:]) == answer
        paths = [part.path for part in answer.parts]
        assert len(paths) == len(set(paths)), "two parts have one path"
        if crc32(data) % 8 == 0:
            assert self._look(data) == answer, "two readings of the same file differ"
        for found in answer.findings:
            meant = found.summary.count(": ") > 1  # "type: OLE: ValueError": a library's error that the reader expects
            assert meant or not found.summary.endswith(FAULTS), f"a reader raised: {found.summary}"
            evidence = Evidence("", found.count, found.offset, found.length)
            declared([Finding(found.code, Severity(found.severity), found.summary, found.path, evidence, found.about)])

    def _look(self, data: bytes) -> Answer:
        name, _, rest = data.partition(b"\n")
        kind, _, content = rest.partition(b"\n")
        inspection = Inspection(self._engine, WORDS, time.monotonic, SOFT_S)
        shown = name[:200].decode("utf-8", "replace")
        inspection.attachment(JobPart("2", kind[:100].decode("latin-1"), shown, 0, len(content)), content)
        return inspection.answer()


def mutate(data: bytes, size: int, seed: int, engine: Callable[[bytes, int], bytes]) -> bytes:
    """Change what lies inside the packing, and pack again; otherwise leave it to the engine."""
    dice = random.Random(seed)
    name, _, rest = data.partition(b"\n")
    kind, _, content = rest.partition(b"\n")
    head = name + b"\n" + kind + b"\n"
    if dice.random() < 0.6:
        try:
            changed = _inside(content, size - len(head), dice, engine)
        except (
            ValueError,
            OSError,
            EOFError,
            zlib.error,
            lzma.LZMAError,
            zipfile.BadZipFile,
            NotImplementedError,
            RuntimeError,
        ):
            changed = None  # not whole enough to be unpacked by the library: as bytes, then
        if changed is not None and len(changed) + len(head) <= size:
            return head + changed
    return bytes(engine(data, size))


def _inside(content: bytes, size: int, dice: random.Random, engine: Callable[[bytes, int], bytes]) -> bytes | None:
    if content.startswith(b"PK\x03\x04"):
        return _zip(content, dice, engine)
    if content.startswith(b"\x1f\x8b"):
        return gzip.compress(engine(zlib.decompressobj(31).decompress(content, GROWN), size), mtime=0)
    if content.startswith(b"\xfd7zXZ"):
        return lzma.compress(engine(lzma.LZMADecompressor().decompress(content, GROWN), size))
    if content.startswith(b"%PDF"):
        streams = list(_STREAM.finditer(content))
        if streams:
            start = dice.choice(streams).end()
            end = content.find(b"endstream", start)
            plain = zlib.decompressobj().decompress(content[start:end], GROWN)
            return content[:start] + zlib.compress(engine(plain, size)) + b"\n" + content[end:]
    return None


def _zip(content: bytes, dice: random.Random, engine: Callable[[bytes, int], bytes]) -> bytes | None:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(one.filename, archive.open(one).read(GROWN), one.compress_type) for one in archive.infolist()[:200]]
    if not members:
        return None
    at = dice.randrange(len(members))
    name, inner, method = members[at]
    nested = _inside(inner, GROWN, dice, engine) if dice.random() < 0.5 else None
    members[at] = name, nested or bytes(engine(inner, len(inner) + 4_096)), method
    if dice.random() < 0.1:
        members.append(members[dice.randrange(len(members))])
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for one, inside, packing in members:
            archive.writestr(zipfile.ZipInfo(one), inside, packing)
    return out.getvalue()


def seeds() -> Iterator[bytes]:
    """A file of each kind that the tests know how to make."""
    from tests.scanners.attachments import test_documents, test_legacy
    from tests.scanners.attachments.samples import CN_ID, EICAR, raw_zip, zipped

    mail = (
        b"Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\n\r\nhi\r\n--b\r\nContent-Type: application/zip\r\n\r\nPK\r\n--b--\r\n"
    )
    text = f"合同总价 {CN_ID}"
    sheet, slides = (
        test_documents._book(),
        zipped(
            {
                "ppt/slides/slide1.xml": "<p:sld xmlns:p='x' xmlns:a='y'><a:t>x</a:t></p:sld>",
                "[Content_Types].xml": test_documents._TYPES,
            }
        ),
    )
    files = {
        "a.zip": zipped({"b.txt": text, "c.com": EICAR, "d.zip": zipped({"e.eml": mail, "f.html": "<script>atob('x')</script>"})}),
        "b.zip": raw_zip({"名单.txt".encode("gbk"): text.encode("gbk"), b"x": b"y"}, listed={b"x"}),
        "a.docx": _smaller(test_documents._word()),
        "a.xlsx": sheet,
        "b.xlsx": test_documents._shared(),
        "a.pptx": slides,
        "a.pdf": test_documents._pdf(),
        "a.gz": gzip.compress(text.encode(), mtime=0),
        "a.tar.xz": lzma.compress(b"x.txt" + b"\0" * 95 + b"0000644\0" * 3 + b"00000000003\x0000000000000\x00" + b"\0" * 700),
        "a.eml": mail,
        "a.xls": test_legacy._xls(),
        "a.doc": test_legacy._doc(text),
        "winmail.dat": test_legacy._tnef(),
        "a.html": b"<script>new Blob([atob('UEsDBA==')]);a.download='x.zip'</script>",
        "a.rtf": b"{\\rtf1\\ansi\\ansicpg936 \\'ba\\'cf\\u21516?{\\object\\objocx{\\*\\objdata 0105000002000000}}}",
        "a.svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>x</script><text>y</text></svg>",
        "a.xml": b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
        "a.png": test_documents._qr("http://qr.test/x"),
        "a.rar": b"Rar!\x1a\x07\x00\xcf\x90s\x00\x00\r\x00\x00\x00\x00\x00\x00\x00",
        "a.7z": b"7z\xbc\xaf'\x1c\x00\x04" + bytes(24),
        "a.iso": b"\0" * 32_768 + b"\x01CD001\x01" + b"\0" * 2_041 + b"\xffCD001\x01",
        "a.cab": b"MSCF\0\0\0\0" + bytes(28),
        "a.lnk": b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0F" + bytes(60),
        "发票\u202egpj.exe": b"MZ" + bytes(80),
        "a.csv": ("姓名,身份证\n张," + CN_ID).encode("gbk"),
    }  # fmt: skip
    for name, content in files.items():
        yield name.encode() + b"\napplication/octet-stream\n" + content


def _smaller(document: bytes) -> bytes:
    """A document without the parts that only make it large."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(document)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if not name.endswith(("styles.xml", "theme1.xml", "thumbnail.jpeg", "stylesWithEffects.xml")):
                new.writestr(name, old.read(name))
    return out.getvalue()


def target() -> Target:
    """For the runner."""
    return Target("attachments", Files().run, seeds, cpu_s=CPU_S, max_bytes=MAX_BYTES, mutate=mutate)
