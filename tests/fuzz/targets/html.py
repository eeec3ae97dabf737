"""A page into the HTML reader: text, hidden text, links."""

from collections.abc import Iterator

from scanners import text, urls
from tests.fuzz.target import Target


def run(data: bytes) -> None:
    """What is read is no longer than the page (entities of one character and line breaks aside), and the same twice."""
    source = data.decode("utf-8", "replace")
    label = text.declared_charset(data)
    assert len(label) < 200
    page = text.read(source)
    assert page == text.read(source)
    assert len(page.visible) + len(page.hidden) <= 4 * len(source) + 16
    f"{page.visible}{page.hidden}".encode("utf-8", "replace")
    found, _ = text.links(source)
    for link in found:
        urls.shown_host(link.shown)
        host, _ = urls.host_of(link.href)
        urls.is_confusable(host)
        urls.is_address(host)


def seeds() -> Iterator[bytes]:
    """Every way of hiding that the reader knows."""
    pages = (
        "<html><head><meta charset=gbk><title>标题</title><style>.h{display:none}#i{font-size:0}</style></head><body>合<b>同</b></body>",
        '<meta http-equiv="Content-Type" content="text/html; charset=gb2312"><p class=h>x</p><p id=i>y',
        "<div style='display:none'>a</div><span style=\"visibility:hidden;opacity:0\">b</span><font size=0 color=#fff>c</font>",
        "<a href='http://a.test/x'>http://b.test</a><a href=//c.test>d</a><a href=\"jav&#x61;script:x\">e</a><form action=http://f>",
        "<!-- c --><![CDATA[x]]><!doctype html><script>if(a<b)'</script>'</script><textarea><b></textarea><noscript>n</noscript>",
        "&#21512;&#x540C;&amp;&nbsp;&zwj;&notit;&unknown;&#0;&#xD800;&#1114112;<br/><td>1<td>2<tr><table><li>&lt",
        "<p style='position:absolute;left:-9999px'>x<p style=color:#ffffff;background:white>y<p hidden>z<img alt=w title=v src='cid:1'>",
        "<a href=http://xn--fiq228c.test/%20@e.test:80>甲</a><base href=http://g.test/><area href='http://1.2.3.4'>",
        "<xmp><b></xmp><plaintext><a></plaintext><select><option>o</select><svg><title>t</title></svg>",
        "<template>x</template><iframe srcdoc='<b>q'>",
    )
    for page in pages:
        yield page.encode()


def target() -> Target:
    """For the runner."""
    return Target("html", run, seeds)
