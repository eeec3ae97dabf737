# ruff: noqa: E501 - tables read best with a row per line
"""Links that are not what they look like."""

import dataclasses
import io
from pathlib import Path

import pytest
import segno
from hypothesis import given
from hypothesis import strategies as st
from reportlab.pdfgen import canvas

from scanners.attachments import yara
from scanners.message import Part
from scanners.urls import UrlScanner, host_of, is_address, is_confusable
from tests.scanners.attachments.samples import look
from tests.scanners.letters import read

SCANNER = UrlScanner()


async def said(body: str, kind: str = "html") -> list[tuple[str, str]]:
    result = await SCANNER.scan(read(f"Content-Type: text/{kind}; charset=utf-8\n\n{body}"))
    assert {one.code for one in result.findings} <= {one.code for one in SCANNER.codes}
    return [(one.code, one.about) for one in result.findings]


@pytest.mark.parametrize(
    ("body", "code", "about"),
    [
        ('<a href="http://evil.test/x">http://www.bank.test</a>', "url.mismatch", "evil.test"), ('<a href="http://evil.test/x">www.ba<b>nk</b>.test/login</a>', "url.mismatch", "evil.test"),
        ('<a href="http:\\\\evil.test">www.good.test</a>', "url.mismatch", "evil.test"), ('<a href="//evil.test">good.test</a>', "url.mismatch", "evil.test"),
        ('<a href="http://1.2.3.4/">x</a>', "url.ip_host", "1.2.3.4"), ('<a href="http://0x7f000001/">x</a>', "url.ip_host", "0x7f000001"),
        ('<a href="http://[::1]/">x</a>', "url.ip_host", "[::1]"), ('<a href="http://bank.com@evil.test/">x</a>', "url.userinfo", "evil.test"),
        ('<a href="http://bаnk.test">x</a>', "url.confusable", "bаnk.test"), ("<A HREF=http://xn--bnk-5cd.test>x</A>", "url.confusable", "xn--bnk-5cd.test"),
        ('<a href="java\nscript:alert(1)">x</a>', "url.scheme", "javascript"), ("<a href='&#104;ttp://evil.test'>good.test</a>", "url.mismatch", "evil.test"),
    ],
)  # fmt: skip
async def test_found(body: str, code: str, about: str) -> None:
    assert (code, about) in await said(body)


@pytest.mark.parametrize(
    "body",
    ['<a href="http://www.bank.test/x">bank.test</a>', '<a href="http://a.test">点击这里</a>', '<a href="http://例子.测试">x</a>', '<a href="mailto:a@b">www.x.test</a>',
     '<a href="#top">top.test</a>', '<a href="http://почта.рф">x</a>'],
)  # fmt: skip
async def test_silent(body: str) -> None:
    assert await said(body) == []


async def test_links_in_plain_text() -> None:
    assert await said("see http://user@1.2.3.4/x。谢谢", "plain") == [
        ("url.userinfo", "1.2.3.4"),
        ("url.ip_host", "1.2.3.4"),
    ]


async def test_the_bound_is_said() -> None:
    assert ("content.limit.urls", "urls") in await said("<a href=http://a.test>x</a>" * 1000)


@given(st.text(max_size=100))
def test_hosts_never_raise(text: str) -> None:
    host, _ = host_of("http://" + text)
    is_address(host)
    is_confusable(host)


async def chain(name: str, data: bytes, tmp_path: Path) -> set[tuple[str, str]]:
    """What a decoder and the link scanner say about a file."""
    engine = yara.load_rules(yara.compile_rules().save(tmp_path))
    answer = look(engine, name, data).answer
    parts = [Part(one.path, one.media_type, "", filename=one.filename, text=one.text) for one in answer.parts]
    message = dataclasses.replace(read("Subject: x\n\nhello"), parts=tuple(parts))
    found = (await SCANNER.scan(message)).findings
    return {(one.code, one.about) for one in (*found, *answer.findings)}


def drawn(shown: str, target: str) -> bytes:
    """A PDF with a link annotation over a line of text."""
    out = io.BytesIO()
    page = canvas.Canvas(out)
    page.drawString(72, 700, shown)
    page.linkURL(target, (70, 695, 400, 715))
    page.save()
    return out.getvalue()


def coded(text: str) -> bytes:
    """A picture of a QR code."""
    out = io.BytesIO()
    segno.make(text).save(out, kind="png", scale=5)
    return out.getvalue()


CONFUSABLE = "http://b\u0430nk.test/"
ADDRESS = ("url.ip_host", "1.2.3.4")


async def test_links_of_text_html_pdf_and_codes(tmp_path: Path) -> None:
    """The same two links from each of the four."""
    assert ADDRESS in await said("see http://1.2.3.4/x", "plain")
    assert ("url.confusable", "b\u0430nk.test") in await said(f"see {CONFUSABLE}x", "plain")
    assert ADDRESS in await said('<a href="http://1.2.3.4/x">x</a>')
    assert ("url.confusable", "b\u0430nk.test") in await said(f'<a href="{CONFUSABLE}">x</a>')
    assert ADDRESS in await chain("a.pdf", drawn("see here", "http://1.2.3.4/x"), tmp_path)
    assert ADDRESS in await chain("a.png", coded("http://1.2.3.4/x"), tmp_path)
    assert ("url.confusable", "b\u0430nk.test") in await chain("a.png", coded(CONFUSABLE), tmp_path)


async def test_a_pdf_that_shows_another_address(tmp_path: Path) -> None:
    assert ("url.mismatch", "evil.test") in await chain(
        "a.pdf", drawn("www.bank.test", "https://evil.test/x"), tmp_path
    )
    assert ("url.mismatch", "evil.test") in await chain(
        "a.pdf", drawn("https://bank.test/login", "http://evil.test/x"), tmp_path
    )
    for shown, target in (("www.bank.test", "https://bank.test/x"), ("click here", "https://evil.test/x")):
        assert not {one for one in await chain("a.pdf", drawn(shown, target), tmp_path) if one[0] == "url.mismatch"}
