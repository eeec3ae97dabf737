# ruff: noqa: E501 - tables read best with a row per line
"""Whatever a file is put into, the judge sees it: each way of embedding carries the EICAR string, or, where it can't, an identity number.

One table, through the whole judge: parser, decoder processes, scanners, built-in rules. Malware must be rejected, so that a row holds only
when finding and decision both come out.
"""

import base64
import bz2
import functools
import gzip
import io
import lzma
import quopri
import tarfile
import time
import zipfile
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

import docx
import pypdfium2
import pytest
from reportlab.pdfgen import canvas

from gateway import config
from gateway.demo import mails
from gateway.judging import loading
from gateway.judging.judge import Judge, judge
from gateway.process.decoders import DecoderPool
from policies.decision import Disposition
from policies.facts import Context
from scanners import mime
from scanners.attachments.cache import Cache
from scanners.attachments.opener import AttachmentOpener
from scanners.attachments.poison import PoisonMemory
from scanners.attachments.yara import compile_rules
from scanners.message import Direction, Recipient
from tests.scanners.attachments import packers
from tests.scanners.attachments.compound import compound
from tests.scanners.attachments.samples import CN_ID, EICAR, zipped
from tests.scanners.letters import envelope

MALWARE = "malware.yara.eicar"
NUMBER = "content.identifier.cn_id18"
LINES = f"resident id {CN_ID}\r\n"
WAIT_S = 25.0


def mail(body: bytes, head: str = "", subject: str = "x") -> bytes:
    """A mail with this body under these Content fields."""
    return f"From: a@acme.test\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n{head}\r\n".encode() + body


def attached(name: str, data: bytes, text: str = "hello", subject: str = "x") -> bytes:
    """An ordinary mail with one file."""
    message = EmailMessage(policy=SMTP)
    message["From"], message["Subject"] = "a@acme.test", subject
    message.set_content(text)
    message.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes()


def page(source: str) -> bytes:
    """An HTML body."""
    return mail(source.encode(), "Content-Type: text/html; charset=utf-8\r\n")


def member_of(layout: str, *filters: str, content: bytes = EICAR, name: str = "b.com") -> bytes:
    """An archive by libarchive's own writer; skips where the library lacks."""
    libarchive = pytest.importorskip(
        "libarchive", reason="libarchive missing: pip install sealgate[archives], apt install libarchive13"
    )
    blocks: list[bytes] = []
    with libarchive.custom_writer(lambda data: blocks.append(bytes(data)) or len(data), layout, *filters) as archive:
        archive.add_file_from_memory(name, len(content), content)
    return b"".join(blocks)


def tarred(content: bytes, mode: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        member = tarfile.TarInfo("b.com")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def changed(data: bytes, members: Mapping[str, bytes]) -> bytes:
    """An office file with members added."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        for name, content in members.items():
            new.writestr(name, content)
    return out.getvalue()


@functools.cache
def document() -> bytes:
    out = io.BytesIO()
    made = docx.Document()
    made.add_paragraph("hello")
    made.save(out)
    return out.getvalue()


def office(kind: str, member: str, content: bytes) -> bytes:
    """A docx, xlsx or pptx that holds one more member."""

    if kind == "word":
        return changed(document(), {member: content})
    if kind == "xl":
        return changed(mails.roster("1"), {member: content})
    import pptx

    out = io.BytesIO()
    pptx.Presentation().save(out)
    return changed(out.getvalue(), {member: content})


def ole(content: bytes) -> bytes:
    """A compound file around one packaged file."""
    return compound({"\x01Ole10Native": packers.ole_package(b"b.com", content)}, pad=False)


def pdf_with(content: bytes) -> bytes:
    """A PDF with an embedded file."""
    out = io.BytesIO()
    made = canvas.Canvas(out)
    made.drawString(72, 700, "hello")
    made.save()
    opened: Any = pypdfium2.PdfDocument(out.getvalue())
    opened.new_attachment("b.com").set_data(content)
    saved = io.BytesIO()
    opened.save(saved)
    opened.close()
    return saved.getvalue()


def multipart(
    *parts: bytes, before: bytes = b"", after: bytes = b"", boundary: bytes = b"b", end: bytes = b"--b--\r\n"
) -> bytes:
    head = "Content-Type: multipart/mixed; boundary=b\r\n"
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    return mail(before + body + end + after, head)


FILE = (
    b"Content-Type: application/octet-stream; name=b.com\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + base64.encodebytes(EICAR)
)
TEXT = b"Content-Type: text/plain\r\n\r\nhello\r\n"
INNER = multipart(TEXT, FILE)
B64 = base64.b64encode(EICAR).decode()


def quoted(data: bytes) -> bytes:
    return quopri.encodestring(data, quotetabs=True).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


@dataclass(frozen=True)
class Row:
    """A way to embed; ``make`` is called late, since some need a library."""

    make: Callable[[], bytes]
    code: str = MALWARE


def row(make: Callable[[], bytes], code: str = MALWARE) -> Row:
    return Row(make, code)


IN_MAIL: dict[str, Row] = {
    "base64 attachment": row(lambda: attached("b.com", EICAR)),
    "quoted-printable attachment": row(lambda: multipart(TEXT, b"Content-Type: application/octet-stream; name=b.com\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + quoted(EICAR))),
    "x-uuencode attachment": row(lambda: multipart(TEXT, b"Content-Type: application/octet-stream; name=b.com\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\n" + packers.uuencoded("b.com", EICAR))),
    "8bit attachment": row(lambda: multipart(TEXT, b"Content-Type: application/octet-stream; name=b.com\r\n\r\n" + EICAR)),
    "unknown encoding": row(lambda: multipart(TEXT, b"Content-Type: application/octet-stream; name=b.com\r\nContent-Transfer-Encoding: x-base64\r\n\r\n" + base64.encodebytes(EICAR))),
    "uuencode in text": row(lambda: mail(b"see below\r\n\r\n" + packers.uuencoded("b.com", EICAR))),
    "begin-base64 in text": row(lambda: mail(b"begin-base64 644 b.com\r\n" + base64.encodebytes(EICAR) + b"====\r\n")),
    "uuencoded zip in text": row(lambda: mail(packers.uuencoded("b.zip", zipped({"b.com": EICAR})))),
    "yEnc in text": row(lambda: mail(b"see below\r\n\r\n" + packers.yencoded("b.com", EICAR))),
    "yEnc zip in text": row(lambda: mail(packers.yencoded("b.zip", zipped({"b.com": EICAR})))),
    "uuencode in an attached text": row(lambda: attached("a.txt", b"see\r\n" + packers.uuencoded("b.com", EICAR))),
    "body itself": row(lambda: mail(EICAR)),
    "message/rfc822": row(lambda: multipart(TEXT, b"Content-Type: message/rfc822\r\n\r\n" + INNER)),
    "message/rfc822 in base64": row(lambda: multipart(TEXT, b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(INNER))),
    "message/rfc822 in quoted-printable": row(lambda: multipart(TEXT, b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + quoted(INNER))),
    "multipart in base64": row(lambda: mail(base64.encodebytes(b"--b\r\n" + FILE + b"--b--\r\n"), "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: base64\r\n")),
    "digest": row(lambda: mail(b"--b\r\n\r\n" + INNER + b"\r\n--b--\r\n", "Content-Type: multipart/digest; boundary=b\r\n").replace(b"--b\r\n\r\nFrom", b"--b\r\n\r\nFrom")),
    "preamble": row(lambda: multipart(TEXT, before=packers.uuencoded("b.com", EICAR))),
    "part in the preamble": row(lambda: multipart(TEXT, before=b"\r\n--c\r\n" + FILE + b"--c--\r\n")),
    "epilogue": row(lambda: multipart(TEXT, after=packers.uuencoded("b.com", EICAR))),
    "part after the end": row(lambda: multipart(TEXT, after=b"\r\n--b\r\n" + FILE + b"\r\n--b--\r\n")),
    "no end boundary": row(lambda: multipart(TEXT, FILE, end=b"")),
    "boundary with a tail": row(lambda: multipart(TEXT, FILE, boundary=b"bx")),
    "two boundary parameters": row(lambda: mail(b"--a\r\n" + TEXT + b"--a--\r\n\r\n--c\r\n" + FILE + b"--c--\r\n", "Content-Type: multipart/mixed; boundary=a; boundary=c\r\n")),
    "text/plain with a boundary": row(lambda: mail(b"--b\r\n" + FILE + b"--b--\r\n", "Content-Type: text/plain; boundary=b\r\n")),
    "Content-Type twice": row(lambda: mail(b"--b\r\n" + FILE + b"--b--\r\n", "Content-Type: text/plain\r\nContent-Type: multipart/mixed; boundary=b\r\n")),
    "RFC 2231 boundary in pieces": row(lambda: mail(b"--bcd\r\n" + FILE + b"--bcd--\r\n", "Content-Type: multipart/mixed; boundary*0=b; boundary*1=cd\r\n")),
    "winmail.dat": row(lambda: attached("winmail.dat", packers.tnef(b"b.com", EICAR))),
    "winmail.dat, number in the body": row(lambda: attached("winmail.dat", packers.tnef(b"a.bin", b"x", LINES.encode())), NUMBER),
    "eml attached": row(lambda: attached("a.eml", INNER)),
    "eml in zip": row(lambda: attached("a.zip", zipped({"a.eml": INNER}))),
    "eml in eml in zip": row(lambda: attached("a.zip", zipped({"a.eml": attached("b.eml", INNER)}))),
    "mht": row(lambda: attached("a.mht", INNER)),
    "base64 with the letters of addresses": row(lambda: mail(base64.urlsafe_b64encode(f"??>>~~客户身份证号 {CN_ID}".encode()) + b"\r\n", "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n"), NUMBER),
    "hexadecimal in text": row(lambda: mail(f"id {CN_ID}".encode().hex().encode()), NUMBER),
    "mailbox": row(lambda: attached("a.mbox", b"From x@y.test Mon Jan  1 00:00:00 2026\r\nSubject: a\r\n\r\nhello\r\n\r\nFrom x@y.test Mon Jan  1 00:00:00 2026\r\n" + INNER)),
}  # fmt: skip
"""Structures and encodings of mail."""

IN_ARCHIVES: dict[str, Row] = {
    "zip": row(lambda: attached("a.zip", zipped({"b.com": EICAR}))),
    "stored zip": row(lambda: attached("a.zip", zipped({"b.com": EICAR}, zipfile.ZIP_STORED))),
    "bzip2 zip": row(lambda: attached("a.zip", zipped({"b.com": EICAR}, zipfile.ZIP_BZIP2))),
    "lzma zip": row(lambda: attached("a.zip", zipped({"b.com": EICAR}, zipfile.ZIP_LZMA))),
    "zip in zip": row(lambda: attached("a.zip", zipped({"b.zip": zipped({"b.com": EICAR})}))),
    "zip in zip in zip, named otherwise": row(lambda: attached("a.pdf", zipped({"b.jpg": zipped({"c.txt": zipped({"b.com": EICAR})})}))),
    "tar": row(lambda: attached("a.tar", tarred(EICAR, "w"))),
    "tar.gz": row(lambda: attached("a.tar.gz", tarred(EICAR, "w:gz"))),
    "tar.bz2": row(lambda: attached("a.tar.bz2", tarred(EICAR, "w:bz2"))),
    "tar.xz": row(lambda: attached("a.tar.xz", tarred(EICAR, "w:xz"))),
    "gz": row(lambda: attached("b.com.gz", gzip.compress(EICAR))),
    "bz2": row(lambda: attached("b.com.bz2", bz2.compress(EICAR))),
    "xz": row(lambda: attached("b.com.xz", lzma.compress(EICAR))),
    "lzma alone": row(lambda: attached("b.com.lzma", lzma.compress(EICAR, lzma.FORMAT_ALONE))),
    "7z": row(lambda: attached("a.7z", member_of("7zip"))),
    "7z in zip": row(lambda: attached("a.zip", zipped({"a.7z": member_of("7zip")}))),
    "iso": row(lambda: attached("a.iso", member_of("iso9660"))),
    "xar": row(lambda: attached("a.xar", member_of("xar"))),
    "cpio": row(lambda: attached("a.cpio", member_of("cpio"))),
    "cpio, new": row(lambda: attached("a.cpio", member_of("cpio_newc"))),
    "ar": row(lambda: attached("a.deb", member_of("ar_svr4"))),

    "old tar": row(lambda: attached("a.tar", member_of("v7tar"))),
    "rar 4": row(lambda: attached("a.rar", packers.rar4(b"b.com", EICAR))),
    "rar 5": row(lambda: attached("a.rar", packers.rar5(b"b.com", EICAR))),
    "rar 4, its member no file to Unix": row(lambda: attached("a.rar", packers.rar4(b"b.com", EICAR, 0x20))),
    "rar 5, its member no file to Unix": row(lambda: attached("a.rar", packers.rar5(b"b.com", EICAR, 0x20))),
    "two streams in gz": row(lambda: attached("b.com.gz", gzip.compress(b"clean ") + gzip.compress(EICAR))),
    "two streams in bz2": row(lambda: attached("b.com.bz2", bz2.compress(b"clean ") + bz2.compress(EICAR))),
    "two streams in xz": row(lambda: attached("b.com.xz", lzma.compress(b"clean ") + lzma.compress(EICAR))),
    "tar behind a tar": row(lambda: attached("a.tar", tarred(b"clean", "w") + tarred(zipped({"b.com": EICAR}), "w"))),
    "tar behind a broken header": row(lambda: attached("a.tar", tarred(b"clean", "w")[:1024] + b"\xff" * 512 + tarred(zipped({"b.com": EICAR}), "w"))),
    "rar in zip": row(lambda: attached("a.zip", zipped({"a.rar": packers.rar5(b"b.com", EICAR)}))),
    "cab": row(lambda: attached("a.cab", packers.cab(b"b.com", EICAR))),
    "lha, level 0": row(lambda: attached("a.lzh", packers.lha(b"b.com", EICAR, 0))),
    "lha, level 1": row(lambda: attached("a.lzh", packers.lha(b"b.com", EICAR, 1))),
    "lha, level 2": row(lambda: attached("a.lha", packers.lha(b"b.com", EICAR, 2))),
    "tar.zst": row(lambda: attached("a.tar.zst", member_of("gnutar", "zstd"))),
    "tar.lz4": row(lambda: attached("a.tar.lz4", member_of("gnutar", "lz4"))),
    "tar.lz": row(lambda: attached("a.tar.lz", member_of("gnutar", "lzip"))),
    "tar.Z": row(lambda: attached("a.tar.Z", member_of("gnutar", "compress"))),
    "password zip, word in the text": row(lambda: attached("a.zip", packers.classic_zip(b"b.com", EICAR, b"Kx93z"), "解压密码：Kx93z，谢谢")),
    "password zip, word in the subject": row(lambda: attached("a.zip", packers.classic_zip(b"b.com", EICAR, b"Kx93z"), subject="files pw Kx93z")),
    "password zip in a zip": row(lambda: attached("a.zip", zipped({"b.zip": packers.classic_zip(b"b.com", EICAR, b"Kx93z")}), "password: Kx93z")),
    "number in a 7z": row(lambda: attached("a.7z", member_of("7zip", content=LINES.encode(), name="a.txt")), NUMBER),
    "number in a rar": row(lambda: attached("a.rar", packers.rar4(b"a.txt", LINES.encode())), NUMBER),
}  # fmt: skip
"""Archives, one in another, and behind passwords that the mail tells."""

IN_DOCUMENTS: dict[str, Row] = {
    **{f"{kind}, {member}": row(functools.partial(lambda kind, ending, member: attached(f"a.{ending}", office(kind, member, EICAR)), kind, ending, member))
       for kind, ending in (("word", "docx"), ("xl", "xlsx"), ("ppt", "pptx"))
       for member in (f"{kind}/embeddings/b.com", f"{kind}/media/image1.png", f"{kind}/embeddings/oleObject1.bin")},
    **{f"{kind}, OLE package": row(functools.partial(lambda kind, ending: attached(f"a.{ending}", office(kind, f"{kind}/embeddings/oleObject1.bin", ole(EICAR))), kind, ending))
       for kind, ending in (("word", "docx"), ("xl", "xlsx"), ("ppt", "pptx"))},
    "xlsx in docx": row(lambda: attached("a.docx", office("word", "word/embeddings/Microsoft_Excel_Sheet.xlsx", mails.roster(CN_ID))), NUMBER),
    "docx in zip": row(lambda: attached("a.zip", zipped({"a.docx": office("word", "word/embeddings/b.com", EICAR)}))),
    "OLE package": row(lambda: attached("a.doc", compound({"WordDocument": b"x", "ObjectPool/_1/\x01Ole10Native": packers.ole_package(b"b.com", EICAR)}))),
    "Outlook message": row(lambda: attached("a.msg", compound({"__properties_version1.0": b"", "__attach_version1.0_#00000000/__substg1.0_3707001F": "b.com".encode("utf-16-le"), "__attach_version1.0_#00000000/__substg1.0_37010102": EICAR}))),
    "rtf object": row(lambda: attached("a.rtf", rb"{\rtf1 hello {\object{\*\objdata " + EICAR.hex().encode() + b"}}}")),
    "PDF embedded file": row(lambda: attached("a.pdf", pdf_with(EICAR))),
    "PDF embedded zip": row(lambda: attached("a.pdf", pdf_with(zipped({"b.com": EICAR})))),
    "behind a picture": row(lambda: attached("a.gif", b"GIF89a\x01\0\x01\0\0\0\0;" + gzip.compress(EICAR))),
    "PDF and zip at once": row(lambda: attached("a.pdf", pdf_with(b"x") + zipped({"b.com": EICAR}))),
    "odt": row(lambda: attached("a.odt", zipped({"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": "<x/>", "Object 1/b.com": EICAR}))),
}  # fmt: skip
"""Documents that carry files."""

IN_PAGES: dict[str, Row] = {
    "data: link in a body": row(lambda: page(f'<a href="data:application/octet-stream;base64,{B64}">x</a>')),
    "data: link without quotes": row(lambda: page(f"<a href=data:application/x-msdownload;base64,{B64}>x</a>")),
    "data: object": row(lambda: page(f'<object data="data:text/html;base64,{B64}"></object>')),
    "data: text": row(lambda: page(f'<iframe src="DATA:text/plain;charset=x;BASE64,{B64}"></iframe>')),
    "data: of no type": row(lambda: page(f'<embed src="data:;base64,{B64}">')),
    "data: picture that is none": row(lambda: page(f'<img src="data:image/png;base64,{B64}">')),
    "data: percent-coded": row(lambda: page('<a href="data:application/zip,' + "".join(f"%{byte:02x}" for byte in EICAR) + '">x</a>')),
    "data: broken over lines": row(lambda: page('<a href="data:application/zip;base64,' + "\r\n ".join(B64[at : at + 30] for at in range(0, len(B64), 30)) + '">x</a>')),
    "data: with entities": row(lambda: page('<a href="&#100;ata:application/zip;base64,' + B64.replace("=", "&#61;") + '">x</a>')),
    "data: of a zip": row(lambda: page(f'<a href="data:application/zip;base64,{base64.b64encode(zipped({"b.com": EICAR})).decode()}">x</a>')),
    "data: in a css": row(lambda: page(f"<style>p{{background:url(data:application/x;base64,{B64})}}</style>")),
    "data: in an attached page": row(lambda: attached("a.html", f'<a href="data:application/zip;base64,{B64}">x</a>'.encode())),
    "data: in a zipped page": row(lambda: attached("a.zip", zipped({"a.html": f'<a href="data:application/zip;base64,{B64}">x</a>'}))),
    "smuggled by atob": row(lambda: page(f'<script>var d=atob("{B64}");var b=new Blob([d]);a.href=URL.createObjectURL(b);a.download="b.com";a.click()</script>')),
    "smuggled zip by atob": row(lambda: attached("a.html", f"<script>var d=atob('{base64.b64encode(zipped({'b.com': EICAR * 30})).decode()}');new Blob([d]);x.createObjectURL(b);y.click()</script>".encode())),
    "smuggled in an attribute": row(lambda: page(f'<body onload="f()"><p id=x title="{B64}"></p><script>saveAs(new Blob([atob(x.title)]))</script>')),
    "smuggled in pieces": row(lambda: page(f'<script>var d="{B64[:40]}"+"{B64[40:]}";new Blob([atob(d)]);a.createObjectURL(b);a.click()</script>')),
    "smuggled as hexadecimal": row(lambda: page(f'<script>var d="{EICAR.hex()}";new Blob([parseInt(d)]);a.createObjectURL(b);a.click()</script>')),
    "smuggled as numbers": row(lambda: page(f"<script>var d=new Uint8Array([{','.join(map(str, EICAR))}]);new Blob([d]);a.createObjectURL(b);a.click()</script>")),
    "number in a data: page": row(lambda: page(f'<a href="data:text/html;base64,{base64.b64encode(f"<p>id {CN_ID}</p>".encode()).decode()}">x</a>'), NUMBER),
}  # fmt: skip
"""Files inside HTML."""


@pytest.fixture
async def judging(tmp_path: Path) -> AsyncIterator[Judge]:
    """The judge of a gateway without DNS, with decoder processes."""
    source = b'[gateway]\nhostname="gw.corp.test"\nlocal_domains=["corp.test"]\nstate_dir="state"\n'
    settings = config.parse(source, tmp_path / "sealgate.toml")
    pool = DecoderPool(tmp_path / "decoder.sock", 1, loading.prepare_rules(settings))
    await pool.start()
    opener = AttachmentOpener(
        tmp_path / "decoder.sock", compile_rules().version, Cache(0), PoisonMemory({}), deadline_s=120.0
    )
    yield loading.build(settings, None, opener)
    await pool.stop()


async def unseen(judging: Judge, table: Mapping[str, Row], mark: str = "") -> list[str]:
    """The rows whose file stayed unseen, and what was said instead.

    ``mark`` must stand in the finding's part: what is stored as it is could be matched in the archive's own bytes.
    """
    missing: list[str] = []
    for name, each in table.items():
        message = mime.parse(envelope(Direction.INBOUND), each.make())
        contexts = [(Recipient("b@corp.test"), Context())]
        judged = await judge(judging, message, contexts, WAIT_S, time.monotonic)
        found = judged.scanned.findings
        if not any(one.code == each.code and mark in (one.part or "") for one in found):
            missing.append(f"{name}: {sorted({(one.code, one.part) for one in found})}")
        elif each.code == MALWARE and judged.decisions[0][1].disposition is not Disposition.REJECT:
            missing.append(f"{name}: found, and {judged.decisions[0][1].disposition}")
    return missing


@pytest.mark.parametrize(
    ("table", "mark"),
    [(IN_MAIL, ""), (IN_ARCHIVES, "!"), (IN_DOCUMENTS, "!"), (IN_PAGES, "")],
    ids=["mail", "archives", "documents", "pages"],
)
async def test_what_is_embedded_is_seen(judging: Judge, table: Mapping[str, Row], mark: str) -> None:
    missing = await unseen(judging, table, mark)
    assert not missing, f"{len(missing)} of {len(table)}:\n" + "\n".join(missing)


async def test_the_table_notices_what_is_not_embedded(judging: Judge) -> None:
    table = {"nothing": row(lambda: attached("a.zip", zipped({"b.txt": b"hello"})))}
    assert await unseen(judging, table)
    assert await unseen(judging, {"only in the bytes": row(lambda: attached("a.bin", EICAR))}, "!")
