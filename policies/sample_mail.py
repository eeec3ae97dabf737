"""Makes the bytes of an example's mail: MIME by hand, the same bytes every time, real docx, xlsx and zip files around their text."""

import base64
import io
import zipfile
from datetime import datetime
from xml.sax.saxutils import escape

from policies.facts import fold_domain
from policies.sample import Attachment, Sample
from scanners.message import Direction, Envelope, Recipient

_TYPES = {
    "txt": "text/plain; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "eml": "message/rfc822",
    "zip": "application/zip",
    "pdf": "application/pdf",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
_BOUNDARY = "=_sealgate-example"
_EPOCH = (1980, 1, 1, 0, 0, 0)


def compose(sample: Sample, direction: Direction, at: datetime) -> tuple[Envelope, bytes]:
    """The envelope and the bytes of an example."""
    author = sample.author or sample.sender or "MAILER-DAEMON@invalid.test"
    name, angle, address = author.rpartition("<")
    shown = f"{_word(name.strip())} <{address}" if angle else author
    lines = [
        b"From: " + _ascii(shown),
        b"To: " + _ascii(sample.to),
        b"Subject: " + _word(sample.subject).encode(),
        b"Date: " + at.strftime("%a, %d %b %Y %H:%M:%S +0000").encode(),
        b"Message-ID: <example@sealgate.test>",
        *(f"{key}: ".encode() + _ascii(value) for key, value in sample.headers),
        b"MIME-Version: 1.0",
    ]
    raw = b"\r\n".join(lines) + b"\r\n" + _body(sample)
    if len(raw) < sample.size:
        raw += b"\r\n" * ((sample.size - len(raw)) // 2 + 1)
    envelope = Envelope(
        id="example",
        session="example",
        listener="example",
        direction=direction,
        received_at=at,
        client="192.0.2.1",
        hop="192.0.2.1",
        helo="client.example",
        tls="TLSv1.3",
        user=sample.login,
        sender=sample.sender,
        recipients=(Recipient(sample.to),),
    )
    return envelope, raw


def _ascii(text: str) -> bytes:
    """A header value; an address with a domain in Unicode is written with A-labels, its local part as UTF-8 (RFC 6532)."""
    if text.isascii():
        return text.encode()
    head, at, domain = text.rpartition("@")
    return f"{head}@{fold_domain(domain)}".encode() if at else text.encode()


def _word(text: str) -> str:
    """RFC 2047 words of at most 30 characters each, or the text itself."""
    if text.isascii():
        return text
    words = [text[start : start + 10] for start in range(0, len(text), 10)]
    return "\r\n ".join(f"=?utf-8?B?{base64.b64encode(word.encode()).decode()}?=" for word in words)


def _body(sample: Sample) -> bytes:
    parts: list[bytes] = []
    if sample.text or not (sample.html or sample.attachments):
        parts.append(_part("text/plain; charset=utf-8", sample.text.encode()))
    if sample.html:
        parts.append(_part("text/html; charset=utf-8", sample.html.encode()))
    if len(parts) == 2:
        parts = [_multipart("alternative", _BOUNDARY + "-alt", parts)]
    parts.extend(_attached(one) for one in sample.attachments)
    return parts[0] if len(parts) == 1 else _multipart("mixed", _BOUNDARY, parts)


def _multipart(kind: str, boundary: str, parts: list[bytes]) -> bytes:
    line = f"--{boundary}".encode()
    inner = b"".join(line + b"\r\n" + part + b"\r\n" for part in parts)
    return f'Content-Type: multipart/{kind}; boundary="{boundary}"\r\n\r\n'.encode() + inner + line + b"--\r\n"


def _part(kind: str, content: bytes, extra: str = "") -> bytes:
    coded = base64.encodebytes(content).replace(b"\n", b"\r\n")
    return f"Content-Type: {kind}\r\n{extra}Content-Transfer-Encoding: base64\r\n\r\n".encode() + coded


def _attached(attachment: Attachment) -> bytes:
    extension = attachment.name.rpartition(".")[2].lower()
    kind = _TYPES.get(extension, "application/octet-stream")
    plain = attachment.name.replace('"', "")
    quoted = "".join(
        chr(byte) if chr(byte).isalnum() and byte < 128 else f"%{byte:02X}" for byte in attachment.name.encode()
    )
    name = f'filename="{plain}"' if plain.isascii() else f"filename*=utf-8''{quoted}"
    return _part(kind, content(attachment), f"Content-Disposition: attachment; {name}\r\n")


def content(attachment: Attachment) -> bytes:
    """The bytes of an example's file. A zip holds one file named by the text before ``|``: ``"price.txt|text inside"``."""
    if attachment.base64:
        try:
            return base64.b64decode(attachment.base64, validate=True)
        except ValueError:
            return b""
    extension = attachment.name.rpartition(".")[2].lower()
    if extension == "docx":
        return _docx(attachment.text)
    if extension == "xlsx":
        return _xlsx(attachment.text)
    if extension == "zip":
        name, bar, text = attachment.text.partition("|")
        inner = Attachment(name, text) if bar else Attachment("file.txt", attachment.text)
        return _zip({inner.name: content(inner)})
    return attachment.text.encode()


def _zip(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
_CT = "http://schemas.openxmlformats.org/package/2006/content-types"
_REL = "http://schemas.openxmlformats.org/package/2006/relationships"
_DOC = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_APP = "application/vnd.openxmlformats-officedocument."


def _package(main: str, kind: str, others: dict[str, tuple[str, str]], files: dict[str, str]) -> bytes:
    """An OOXML package: content types and the relation to its main part are written here."""
    overrides = "".join(
        f'<Override PartName="/{name}" ContentType="{_APP}{what}+xml"/>'
        for name, (what, _) in {main: (kind, ""), **others}.items()
    )
    types = (
        f'{_XML}<Types xmlns="{_CT}"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Default Extension="xml" ContentType="application/xml"/>{overrides}</Types>'
    )
    rels = f'{_XML}<Relationships xmlns="{_REL}"><Relationship Id="rId1" Type="{_DOC}/officeDocument" Target="{main}"/></Relationships>'
    members = {"[Content_Types].xml": types, "_rels/.rels": rels, **files}
    return _zip({name: text.encode() for name, text in members.items()})


def _docx(text: str) -> bytes:
    space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    paragraphs = "".join(
        f'<w:p><w:r><w:t xml:space="preserve">{escape(line)}</w:t></w:r></w:p>' for line in text.splitlines()
    )
    body = f'{_XML}<w:document xmlns:w="{space}"><w:body>{paragraphs}</w:body></w:document>'
    return _package("word/document.xml", "wordprocessingml.document.main", {}, {"word/document.xml": body})


def _xlsx(text: str) -> bytes:
    """Rows are lines, cells are separated by tabs or commas."""
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    rows = ""
    for number, line in enumerate(text.splitlines(), 1):
        cells = "".join(
            f'<c r="{chr(65 + column)}{number}" t="inlineStr"><is><t>{escape(cell.strip())}</t></is></c>'
            for column, cell in enumerate(line.replace("\t", ",").split(",")[:26])
        )
        rows += f'<row r="{number}">{cells}</row>'
    sheet = f'{_XML}<worksheet xmlns="{space}"><sheetData>{rows}</sheetData></worksheet>'
    book = f'{_XML}<workbook xmlns="{space}" xmlns:r="{_DOC}"><sheets><sheet name="Sheet1" sheetId="1" r:id="rId1"/></sheets></workbook>'
    link = f'<Relationship Id="rId1" Type="{_DOC}/worksheet" Target="worksheets/sheet1.xml"/>'
    rels = f'{_XML}<Relationships xmlns="{_REL}">{link}</Relationships>'
    files = {"xl/workbook.xml": book, "xl/_rels/workbook.xml.rels": rels, "xl/worksheets/sheet1.xml": sheet}
    return _package(
        "xl/workbook.xml",
        "spreadsheetml.sheet.main",
        {"xl/worksheets/sheet1.xml": ("spreadsheetml.worksheet", "")},
        files,
    )
