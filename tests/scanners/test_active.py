"""What acts in a page is said; words that look like it are not. Files: attachments/test_scripts.py."""

import pytest

from scanners import active
from scanners.urls import UrlScanner
from tests.scanners.letters import read

ACTS = {
    "<script>x()</script>": "script",
    "<SCRIPT\nsrc=//x.test/a.js></SCRIPT>": "script",
    "<svg><script>x()</script></svg>": "script",
    "<!--[if mso]><script>x()</script><![endif]-->": "script",
    "<img src=x onerror=x()>": "event",
    "<img src=x ONERROR = 'x()'>": "event",
    "<svg/onload=x()>": "event",
    "<input/autofocus/onfocus=x()>": "event",
    "<img alt='>' onerror=x()>": "event",
    "<details open ontoggle=x()>": "event",
    "<meta http-equiv=refresh content='0;url=http://x.test/'>": "refresh",
    "<meta content='0;url=http://x.test/' http-equiv = \"Refresh\">": "refresh",
    "<iframe src=http://x.test/></iframe>": "frame",
    "<frameset><frame src=a></frameset>": "frame",
    "<form action=http://x.test/><input type=password></form>": "form",
    "<object data=http://x.test/a.swf></object>": "object",
    "<embed src=http://x.test/a.swf>": "object",
    "<applet code=x></applet>": "object",
    "<base href=http://x.test/>": "base",
    "<p style='width:expression(x())'>": "style",
    "<style>@import url(http://x.test/a.css);</style>": "style",
    "<link rel=stylesheet href=http://x.test/a.css>": "style",
}


@pytest.mark.parametrize("source", ACTS)
async def test_in_bodies(source: str) -> None:
    found = await UrlScanner().scan(read(f"Content-Type: text/html\n\n<p>hello</p>{source}<p>bye</p>"))
    assert (active.ACTIVE.code, ACTS[source]) in {(one.code, one.about) for one in found.findings}


@pytest.mark.parametrize(
    "source",
    [
        "<p>We are online = yes; on time = ok; once=3; the on/off switch</p>",
        "<p>the description of the formal object, a framework, scripted</p>",
        "<p style='behaviour: good'>expression of interest (EOI), @important</p>",
        "<meta http-equiv=content-type content='text/html; charset=utf-8'><table background=x.png></table>",
        "<a href='http://x.test/?onload=1'>x</a>",
    ],
)
async def test_ordinary_pages_are_quiet(source: str) -> None:
    found = await UrlScanner().scan(read(f"Content-Type: text/html\n\n{source}"))
    assert active.ACTIVE.code not in {one.code for one in found.findings}
