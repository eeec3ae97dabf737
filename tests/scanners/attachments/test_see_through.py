"""Words and numbers are found however they are written: charset x transfer encoding x disguise x place, through the real scanners.

Each test walks one table and names every combination that stays unseen, so that a gap is a line to read.
"""

import base64
import html
import io
import quopri
import time
import urllib.parse
from collections.abc import AsyncIterator, Iterator, Mapping
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import docx
import openpyxl
import pptx
import pytest
from openpyxl.comments import Comment
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen import canvas

from gateway.process.decoders import DecoderPool
from scanners import mime, registry
from scanners.attachments.cache import Cache
from scanners.attachments.opener import AttachmentOpener
from scanners.attachments.poison import PoisonMemory
from scanners.attachments.yara import CompiledRules
from scanners.base import Scanner, scan
from scanners.message import Direction
from tests.scanners.attachments.samples import CN_ID, raw_zip, zipped
from tests.scanners.letters import envelope

WORDS = "content.dictionary.company"
NUMBER = "content.identifier.cn_id18"
PHRASE = "合同总价"
PHRASES = ("合同总价", "合同總價", "合同総価")
"""Simplified, traditional, Japanese: each charset writes those that it has."""
CHARSETS = (
    "utf-8", "gb18030", "gbk", "gb2312", "big5", "big5hkscs", "shift_jis", "euc-jp", "euc-kr", "hz", "iso-2022-jp", "iso-2022-cn",
    "utf-7", "utf-16", "utf-16le", "utf-16be", "utf-32",
)  # fmt: skip
DISGUISES: Mapping[str, tuple[str, ...]] = {
    "plain": (f"见 {PHRASE}。", f"号码 {CN_ID} 。"),
    "traditional": ("見 合同總價 。",),
    "zero-width": ("\u200b".join(PHRASE), "\u200b".join(CN_ID), "\u2060".join(PHRASE), "\ufeff".join(CN_ID)),
    "soft hyphen": ("\u00ad".join(PHRASE), "\u00ad".join(CN_ID)),
    "direction marks": ("\u200e".join(PHRASE), "\u202c".join(CN_ID)),
    "full-width": ("".join(chr(ord(digit) + 0xFEE0) for digit in CN_ID),),
    "other digits": (
        "".join(chr(0x1D7CE + int(digit)) for digit in CN_ID),
        "".join(chr(0x660 + int(digit)) for digit in CN_ID),
    ),
    "spaced": (" ".join(PHRASE), "\u3000".join(PHRASE), f"{CN_ID[:6]} {CN_ID[6:14]} {CN_ID[14:]}", " ".join(CN_ID)),
    "separators": (f"{CN_ID[:6]}-{CN_ID[6:14]}-{CN_ID[14:]}", f"{CN_ID[:6]}.{CN_ID[6:14]}.{CN_ID[14:]}"),
    "broken line": (f"{PHRASE[:2]}\r\n{PHRASE[2:]}",),
    "combining": ("\u034f".join(PHRASE), "\ufe0f".join(PHRASE)),
}
MARKUP: Mapping[str, tuple[str, ...]] = {
    "entities": tuple("".join(f"&#x{ord(one):x};" for one in text) for text in (PHRASE, CN_ID)),
    "decimal entities": tuple("".join(f"&#{ord(one)}" for one in text) + ";" for text in (PHRASE, CN_ID)),
    "tags": tuple("".join(f"<b>{one}</b><i></i>" for one in text) for text in (PHRASE, CN_ID)),
    "comments": tuple("<!-- x -->".join(text) for text in (PHRASE, CN_ID)),
    "wbr": tuple("<wbr>".join(text) for text in (PHRASE, CN_ID)),
    "shy and zwnj": tuple("&shy;&zwnj;".join(text) for text in (PHRASE, CN_ID)),
    "hidden within": tuple('<span style="display:none">q</span>'.join(text) for text in (PHRASE, CN_ID)),
    "tiny within": tuple('<font style="font-size:0">q</font>'.join(text) for text in (PHRASE, CN_ID)),
    "by class": tuple("<style>.z{display:none}</style>" + '<u class="z">7</u>'.join(text) for text in (PHRASE, CN_ID)),
    "hidden whole": tuple(f'<div style="visibility: hidden">{text}</div>' for text in (PHRASE, CN_ID)),
    "white": tuple(f'<p style="color:#FFFFFF">{text}</p>' for text in (PHRASE, CN_ID)),
    "attribute": tuple(f'<img src=x alt="{text}">' for text in (PHRASE, CN_ID)),
    "comment": tuple(f"<!-- {text} -->" for text in (PHRASE, CN_ID)),
    "input": tuple(f'<input value="{text}">' for text in (PHRASE, CN_ID)),
    "title": tuple(f"<title>{text}</title>" for text in (PHRASE, CN_ID)),
    "reversed": tuple(f"<bdo dir=rtl>{text[::-1]}</bdo>" for text in (PHRASE, CN_ID)),
    "cells": (f"<table><tr><td>姓名</td><td>{CN_ID}</td></tr></table>",),
}


@pytest.fixture
async def look(tmp_path: Path, rules: CompiledRules, rules_file: Path) -> AsyncIterator["Look"]:
    pool = DecoderPool(tmp_path / "decoder.sock", 1, rules_file)
    await pool.start()
    opener = AttachmentOpener(tmp_path / "decoder.sock", rules.version, Cache(0), PoisonMemory({}), deadline_s=120.0)
    settings = registry.Settings(local_domains=("corp.test",))
    yield Look(opener, registry.scanners(settings, registry.dictionaries_of(), None))
    await pool.stop()


class Look:
    """The real chain, DNS and ClamAV left out."""

    def __init__(self, opener: AttachmentOpener, scanners: tuple[Scanner, ...]) -> None:
        self.opener, self.scanners, self.unseen, self.count = opener, scanners, list[str](), 0

    async def at(self, name: str, raw: bytes, text: str) -> None:
        """Look at one mail; unseen is noted."""
        message = mime.parse(envelope(Direction.OUTBOUND), raw)
        clock = time.monotonic
        seen = await scan(message, self.scanners, self.opener, 300.0, clock)
        wanted = NUMBER if any(one.isdigit() for one in text) else WORDS
        self.count += 1
        if wanted not in {finding.code for finding in seen.findings}:
            self.unseen.append(name)

    def all_seen(self, at_least: int) -> None:
        assert not self.unseen, f"{len(self.unseen)} of {self.count}: " + "; ".join(self.unseen)
        assert self.count >= at_least


def encoded(text: str, charset: str) -> bytes | None:
    """``text`` in a charset, or None where that has no such character."""
    if charset == "iso-2022-cn":
        out, shifted = b"\x1b$)A", False
        for one in text:
            try:
                data = one.encode("gb2312")
            except UnicodeEncodeError:
                return None
            if (len(data) == 2) != shifted:
                shifted = not shifted
                out += b"\x0e" if shifted else b"\x0f"
            out += bytes(byte & 0x7F for byte in data)
        return out + (b"\x0f" if shifted else b"")
    try:
        return text.encode(charset)
    except UnicodeEncodeError:
        return None


def texts() -> Iterator[tuple[str, str]]:
    for name, forms in DISGUISES.items():
        for number, form in enumerate(forms):
            yield f"{name} {number}", form
    for number, form in enumerate(PHRASES):
        yield f"phrase {number}", form


def in_charsets(*, multibyte: bool = True) -> Iterator[tuple[str, str, str, bytes]]:
    for charset in CHARSETS:
        if not multibyte and charset.startswith(("utf-16", "utf-32")):
            continue
        for name, text in texts():
            data = encoded(text, charset)
            if data is not None:
                yield f"{charset} {name}", charset, text, data


def transferred(data: bytes, way: str) -> bytes:
    if way == "base64":
        return base64.encodebytes(data).replace(b"\n", b"\r\n")
    if way == "quoted-printable":
        return quopri.encodestring(data).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return data


def letter(data: bytes, kind: str, way: str) -> bytes:
    head = f"From: a@corp.test\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: {way}\r\n\r\n"
    return head.encode() + transferred(data, way)


def with_file(name: str, data: bytes) -> bytes:
    message = EmailMessage(policy=SMTP)
    message["From"], message["Subject"] = "a@corp.test", "x"
    message.set_content("hello")
    message.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes()


async def test_bodies(look: Look) -> None:
    for name, charset, text, data in in_charsets():
        for way in ("quoted-printable", "base64", "8bit"):
            if charset.startswith(("utf-16", "utf-32")) and (way == "8bit" or (way != "base64" and "\r\n" in text)):
                continue  # has no lines of its own (RFC 2045 6.2)
            await look.at(f"plain {name} {way}", letter(data, f"text/plain; charset={charset}", way), text)
            if "\r\n" not in text:
                page = encoded("<html><body><p>", charset) or b""
                await look.at(f"html {name} {way}", letter(page + data, f"text/html; charset={charset}", way), text)
    look.all_seen(500)


async def test_bodies_with_a_wrong_or_missing_label(look: Look) -> None:
    for name, charset, text, data in in_charsets(multibyte=False):
        if charset in ("utf-8", "gb18030", "gbk", "gb2312", "big5"):
            for label in ("", "; charset=us-ascii", "; charset=iso-8859-1", "; charset=x-unknown", "; charset=utf-8"):
                await look.at(f"{name} labelled {label!r}", letter(data, f"text/plain{label}", "base64"), text)
    look.all_seen(200)


async def test_markup(look: Look) -> None:
    for name, forms in MARKUP.items():
        for form in forms:
            text = (
                CN_ID
                if PHRASE[0] not in form and "&#x5408" not in form and "&#21512" not in form and "价" not in form
                else PHRASE
            )
            for way in ("quoted-printable", "base64", "8bit"):
                for charset in ("utf-8", "gb18030", "utf-7"):
                    data = f"<html><body><p>hello</p>{form}</body></html>".encode(charset)
                    await look.at(f"{name} {charset} {way}", letter(data, f"text/html; charset={charset}", way), text)
            file = f"<html><body><p>hello</p>{form}</body></html>".encode()
            await look.at(f"{name} in a file", with_file("a.html", file), text)
            await look.at(f"{name} in a zipped file", with_file("a.zip", zipped({"a.htm": file})), text)
    look.all_seen(300)


async def test_subjects_and_file_names(look: Look) -> None:
    for name, charset, text, data in in_charsets():
        if "\r\n" in text:
            continue
        words = f"=?{charset}?B?{base64.b64encode(data).decode()}?="
        quoted = f"=?{charset}?Q?{''.join(f'={byte:02X}' for byte in data)}?="
        for kind, word in (("B", words), ("Q", quoted)):
            raw = f"From: a@corp.test\r\nSubject: {word}\r\n\r\nhello\r\n".encode()
            await look.at(f"subject {kind} {name}", raw, text)
            head = f'Content-Type: application/octet-stream; name="{word}"\r\n\r\nx'
            await look.at(f"name {kind} {name}", head.encode(), text)
        percent = urllib.parse.quote(data, safe="")
        head = f"Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename*={charset}''{percent}.txt\r\n\r\nx"
        await look.at(f"name 2231 {name}", head.encode(), text)
        if charset in ("utf-8", "gb18030", "big5"):
            raw = b"From: a@corp.test\r\nSubject: " + data + b"\r\n\r\nhello\r\n"
            await look.at(f"raw subject {name}", raw, text)
    look.all_seen(400)


async def test_text_files(look: Look) -> None:
    for name, charset, text, data in in_charsets():
        if charset in (
            "utf-16le",
            "utf-16be",
            "utf-32",
            "iso-2022-cn",
            "hz",
            "utf-7",
            "euc-jp",
            "euc-kr",
            "shift_jis",
            "big5hkscs",
        ):
            continue  # a file has no label; what bytes alone do not tell is in the next test
        head = encoded("员工名单 ,", charset) or encoded("名 ,", charset) or b""
        for ending in ("txt", "csv"):
            await look.at(f"{ending} {name}", with_file(f"a.{ending}", head + data), text)
        await look.at(f"zip {name}", with_file("a.zip", zipped({"a.txt": head + data})), text)
    look.all_seen(150)


async def test_labelled_text_files(look: Look) -> None:
    for name, charset, text, data in in_charsets():
        kind = f'text/plain; charset={charset}; name="a.txt"\r\nContent-Disposition: attachment'
        await look.at(f"txt {name}", letter(data, kind, "base64"), text)
        if (
            not charset.startswith(("utf-16", "utf-32", "iso-2022-cn")) and "\r\n" not in text
        ):  # no browser reads these so
            meta = f'<html><head><meta charset="{charset}"></head><body>'.encode()
            await look.at(f"html {name}", with_file("a.html", meta + data), text)
    look.all_seen(200)


async def test_mail_in_mail(look: Look) -> None:
    for name, charset, text, data in in_charsets():
        inner = letter(data, f"text/plain; charset={charset}", "base64")
        await look.at(f"eml {name}", with_file("a.eml", inner), text)
        await look.at(f"eml in zip {name}", with_file("a.zip", zipped({"a.eml": inner})), text)
        way = "message/rfc822\r\nContent-Transfer-Encoding: base64"
        raw = f"From: a@corp.test\r\nContent-Type: {way}\r\n\r\n".encode() + base64.encodebytes(inner)
        await look.at(f"rfc822 in base64 {name}", raw, text)
    look.all_seen(300)


def saved(document: object) -> bytes:
    out = io.BytesIO()
    document.save(out)  # type: ignore[attr-defined]
    return out.getvalue()


def documents(text: str) -> Iterator[tuple[str, str, bytes]]:
    """(where, name, file) for each place of each kind of document."""
    for where in ("body", "runs", "header", "footer", "table", "title", "comments", "author", "custom"):
        made = docx.Document()
        made.add_paragraph("hello")
        section, cell = made.sections[0], None
        if where == "body":
            made.add_paragraph(text)
        elif where == "runs":
            paragraph = made.add_paragraph()
            for one in text:
                paragraph.add_run(one)
        elif where in ("header", "footer"):
            getattr(section, where).paragraphs[0].text = text
        elif where == "table":
            cell = made.add_table(1, 2).cell(0, 1)
            cell.text = text
        elif where == "comments":
            made.add_comment(made.add_paragraph("x").runs, text=text, author="w", initials="w")
        else:
            setattr(made.core_properties, "keywords" if where == "custom" else where, text)
        yield f"docx {where}", "a.docx", saved(made)
    for where in ("cell", "hidden", "veryHidden", "title", "comment", "properties", "formula", "link", "name"):
        book = openpyxl.Workbook()
        sheet = book.active
        sheet["A1"] = "hello"
        if where == "cell":
            sheet["Z99"] = text
        elif where in ("hidden", "veryHidden"):
            other = book.create_sheet("other")
            other.sheet_state, other["B2"] = where, text
        elif where == "title":
            book.create_sheet(text[:31])
        elif where == "comment":
            sheet["A1"].comment = Comment(text, "w")
        elif where == "properties":
            book.properties.description = text
        elif where == "formula":
            sheet["B1"] = f'=CONCATENATE("{text}","")'
        elif where == "link":
            sheet["B1"].hyperlink = f"https://x.test/?q={text}"
        else:
            sheet.oddHeader.center.text = text
        yield f"xlsx {where}", "a.xlsx", saved(book)
    for where in ("slide", "notes", "table", "title"):
        show = pptx.Presentation()
        slide = show.slides.add_slide(show.slide_layouts[5])
        slide.shapes.title.text = "hello"
        if where == "slide":
            slide.shapes.add_textbox(0, 0, 9, 9).text_frame.text = text
        elif where == "notes":
            slide.notes_slide.notes_text_frame.text = text
        elif where == "table":
            slide.shapes.add_table(1, 1, 0, 0, 9, 9).table.cell(0, 0).text = text
        else:
            show.core_properties.subject = text
        yield f"pptx {where}", "a.pptx", saved(show)
    for where in ("page", "title", "field", "bookmark"):
        if where == "field" and not text.isascii():
            continue  # the library that writes the sample cannot
        out = io.BytesIO()
        page = canvas.Canvas(out)
        pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
        page.setFont("STSong-Light", 12)
        page.drawString(72, 700, text if where == "page" else "hello")
        if where == "title":
            page.setTitle(text)
        elif where == "field":
            page.acroForm.textfield(name="f", value=text, x=72, y=500)
        elif where == "bookmark":
            page.bookmarkPage("k")
            page.addOutlineEntry(text, "k")
        page.save()
        yield f"pdf {where}", "a.pdf", out.getvalue()


async def test_documents(look: Look) -> None:
    for text in (PHRASE, CN_ID, "合同總價", " ".join(PHRASE), f"{CN_ID[:6]} {CN_ID[6:14]} {CN_ID[14:]}"):
        for where, name, data in documents(text):
            await look.at(f"{where} {text}", with_file(name, data), text)
            await look.at(f"{where} {text} zipped", with_file("a.zip", zipped({name: data})), text)
    look.all_seen(200)


async def test_names_within_archives(look: Look) -> None:
    for text in (PHRASE, CN_ID, "合同總價"):
        for charset in ("utf-8", "gb18030", "big5"):
            data = encoded(text, charset)
            if data is not None:
                archive = raw_zip({data + b".txt": b"hello"})
                await look.at(f"zip name {charset} {text}", with_file("a.zip", archive), text)
                await look.at(f"zip in zip {charset} {text}", with_file("b.zip", zipped({"a.zip": archive})), text)
        folder = zipped({f"{text}/": b"", f"{text}/a.txt": b"hello"})
        await look.at(f"zip folder {text}", with_file("a.zip", folder), text)
    look.all_seen(15)


def test_entities_are_what_they_seem() -> None:
    """The table itself: each markup form holds the phrase or the number once a browser has read it."""
    for form in (*MARKUP["entities"], *MARKUP["decimal entities"]):
        assert html.unescape(form) in (PHRASE, CN_ID)
