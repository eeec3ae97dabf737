"""The mails of the demo, made fresh each time: signed where the sender can sign, harmless throughout."""

import base64
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any

import dkim
import zxingcpp
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from PIL import Image

PARTNER = "partner.example"
PARTNER_IP = "198.18.0.7"
STRANGER_IP = "198.18.0.66"
EICAR = ("X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!" + "$H+H*").encode()
"""The industry's harmless test string, in two halves so that this file is not itself found."""
RESIDENT_ID = "110101190001010014"
"""Synthetic: born 1900, zero body, valid check digit (GB 11643)."""


@dataclass(frozen=True, slots=True)
class Keys:
    """A sender's DKIM key and the record that publishes it."""

    private: bytes
    record: str


def make_keys() -> Keys:
    """RSA 2048, made for this run."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    text = base64.b64encode(public).decode()
    return Keys(private, f'"v=DKIM1; k=rsa; p={text[:200]}" "{text[200:]}"')


def zone(keys: Keys) -> Mapping[tuple[str, str], list[str]]:
    """What the stub DNS knows."""
    return {
        (PARTNER, "TXT"): [f'"v=spf1 ip4:{PARTNER_IP} -all"'],
        (f"_dmarc.{PARTNER}", "TXT"): ['"v=DMARC1; p=reject"'],
        (f"sel._domainkey.{PARTNER}", "TXT"): [keys.record],
        ("corp.test", "TXT"): ['"v=spf1 ip4:198.18.1.1 -all"'],
        ("_dmarc.corp.test", "TXT"): ['"v=DMARC1; p=reject"'],
        ("bank.example", "TXT"): ['"v=spf1 -all"'],
        ("_dmarc.bank.example", "TXT"): ['"v=DMARC1; p=reject"'],
        ("acme.example", "TXT"): ['"v=spf1 -all"'],
    }


def mail(
    sender: str,
    to: str,
    subject: str,
    text: str,
    attachments: Mapping[str, bytes] | None = None,
    charset: str = "utf-8",
) -> bytes:
    """A plain mail in Chinese or English, with attachments, as it would stand on the wire."""
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = f"<{abs(hash((sender, subject, text))):x}@{sender.rpartition('@')[2].rstrip('>')}>"
    message.set_content(text, charset=charset, cte="base64")
    for name, content in (attachments or {}).items():
        message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes()


def signed(raw: bytes, keys: Keys) -> bytes:
    """The mail with the partner's DKIM signature in front."""
    field: bytes = dkim.sign(
        raw,
        b"sel",
        PARTNER.encode(),
        keys.private,
        include_headers=[b"from", b"to", b"subject", b"date", b"message-id"],
    )
    return field + raw


def zipped(name: str, content: bytes) -> bytes:
    """A zip file with one member."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


SHEET = """<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>
<row r="1"><c r="A1" t="inlineStr"><is><t>姓名</t></is></c><c r="B1" t="inlineStr"><is><t>身份证号</t></is></c></row>
<row r="2"><c r="A2" t="inlineStr"><is><t>张三</t></is></c><c r="B2" t="inlineStr"><is><t>{identifier}</t></is></c></row>
</sheetData></worksheet>"""
WORKBOOK = {
    "[Content_Types].xml": '<?xml version="1.0" encoding="UTF-8"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/'
    'content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/><Override PartName="/xl/workbook.xml" ContentType="application/'
    'vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/><Override PartName="/xl/worksheets/sheet1.xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/></Types>',
    "_rels/.rels": '<?xml version="1.0" encoding="UTF-8"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/'
    'relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/'
    'officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": '<?xml version="1.0" encoding="UTF-8"?><workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/'
    '2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="Sheet1" '
    'sheetId="1" r:id="rId1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": '<?xml version="1.0" encoding="UTF-8"?><Relationships xmlns="http://schemas.openxmlformats.org/'
    'package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/'
    'relationships/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
}


def roster(identifier: str) -> bytes:
    """An xlsx with one name and one resident ID number, made by hand: no library for writing sheets ships with the product."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in WORKBOOK.items():
            archive.writestr(name, text)
        archive.writestr("xl/worksheets/sheet1.xml", SHEET.format(identifier=identifier))
    return buffer.getvalue()


def code_pdf(text: str) -> bytes:
    """A PDF with nothing in it but a QR code."""
    drawn: Any = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.QRCode).to_image(scale=6)
    height, width = drawn.shape
    picture = Image.frombytes("L", (width, height), bytes(memoryview(drawn)))
    buffer = io.BytesIO()
    picture.save(buffer, "PDF")
    return buffer.getvalue()
