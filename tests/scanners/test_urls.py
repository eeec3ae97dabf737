# ruff: noqa: E501 - tables read best with a row per line
"""Links that are not what they look like."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanners.urls import UrlScanner, host_of, is_address, is_confusable
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
