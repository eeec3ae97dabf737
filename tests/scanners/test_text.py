# ruff: noqa: E501 - tables read best with a row per line
"""HTML: what a reader sees, and what only the source holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanners.text import links, read
from tests.cost import least_s

VISIBLE = [
    ("<p>合<b>同</b>总<i></i>价</p>", "合同总价"), ("合<wbr>同&shy;", "合同\xad"), ("合<!-- x -->同", "合同"), ("合<span style='display:none'>x</span>同", "合同"),
    ("合<span style=\"DISPLAY : NONE\">x</span>同", "合同"), ("合<span style='font-size:0'>x</span>同", "合同"), ("合<i hidden>x</i>同", "合同"),
    ("<style>.h{display:none}</style>合<i class='a h'>x</i>同", "合同"), ("合<font color=#ffffff>x</font>同", "合同"),
    ("合<span style='visi/**/bility:hidden'>x</span>同", "合同"), ("&#21512;&#x540C;", "合同"), ("&#21512&#21516", "合同"), ("&#000021512;同", "合同"),
    ("a<br>b</p><div>c", "a\nb\nc"), ("合\n同", "合 同"), ("1 < 2 <3", "1 < 2 <3"), ("<a title='\">\"'>合同</a>", "合同"), ("<x y=\">\">合同", "合同"),
    ("合<script>a<b</script>同", "合同"), ("<title>t</title>合同", "合同"), ("合<!-->同", "合同"), ("合<!--x--!>同", "合同"), ("合<?x?>同", "合同"),
    ("合</ x>同", "合同"), ("<a it's>合同", "合同"), ("<textarea>合同</textarea>", "合同"), ("<td>合</td><td>同</td>", "合\n同"),
    ("<div style='display:none'>a<div>b</div>c</div>合同", "合同"), ("<p style='line-height:0px'>合同", "合同"), ("plain", "plain"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "expected"), VISIBLE)
def test_visible(source: str, expected: str) -> None:
    assert read(source).visible == expected


HIDDEN = [
    "<div style='display:none'>合同总价</div>x", "<!-- 合同总价 -->x", "<img alt='合同总价'>x", "<p title='合同总价'>x", "<script>合同总价</script>x",
    "<bdo dir=rtl>价总同合</bdo>", "<input value=合同总价>", "<style>p:after{content:'合同总价'}</style>", "<template>合同总价</template>x",
    "合<span class=h>同</span>总价<style>.h{display:none}</style>", "<sTyle>.h{display:none}</style>İ合<b class=h>x</b>同<i hidden>合同总价</i>",
    "<BDO dir=rtl>价总<bdo>同</BDO>合", "<bdo dir=rtl>价总同合", "<!--[if mso]>合同总价<![endif]-->x", "<title>合同总价</title>", "x<!--合同总价",
]  # fmt: skip


@pytest.mark.parametrize("source", HIDDEN)
def test_hidden_text_is_kept_apart(source: str) -> None:
    page = read(source)
    assert "合同总价" not in page.visible
    assert "合同总价" in page.hidden


@pytest.mark.parametrize(
    "piece",
    [
        "<div>",
        "<a b='",
        "<a ='",
        "&#0",
        "<!--",
        "</",
        "<",
        "<style>",
        "<script>",
        "<a href=",
        "<bdo>",
        "<bdo dir=rtl>",
        "<!---->",
        "<style</style",
        "<a href=x>a</b>",
        "<td hidden>",
        " \n",
    ],
)
def test_linear(piece: str) -> None:
    def cost(count: int) -> float:
        return least_s(lambda: (read(piece * count), links(piece * count)), 2.5)

    cost(100)
    assert cost(40_000) < 2.5


@given(
    st.lists(
        st.sampled_from(
            [
                "<",
                ">",
                "a",
                "/",
                "!",
                "--",
                "=",
                '"',
                "'",
                " ",
                "p",
                "style",
                "hidden",
                "&",
                "#",
                "1",
                ";",
                "合",
                "script",
                "?",
            ]
        )
    ).map("".join)
)
def test_never_raises(source: str) -> None:
    read(source)
    links(source)


def test_links() -> None:
    found, more = links(
        '<p><A class=x HREF="http://a.test/?a=1&amp;b=2">http://<b>b.test</b></A><article href=no><a href=u>k</a>'
    )
    assert [(one.href, one.shown) for one in found] == [("http://a.test/?a=1&b=2", "http://b.test"), ("u", "k")]
    assert not more
    assert links("<a href=x>y</a>" * 300)[1]
