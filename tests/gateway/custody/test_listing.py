"""What is shown on a terminal fits it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.custody.listing import NARROWEST, columns_of, wrapped

LINES = [
    " " * 200 + "end",
    "state 状态           held  等待审批 / waits for somebody entitled",
    "     to do 处理: 在路由中设 tls，然后重新加载再次放行",
    "x" * 200,
    "",
]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_long_lines_go_on_below_where_they_began(width: int) -> None:
    found = wrapped(LINES, width)
    assert max(map(columns_of, found)) <= width
    assert "".join("".join(found).split()) == "".join("".join(LINES).split()), "nothing is lost"
    assert wrapped(LINES, 300) == LINES
    assert wrapped(LINES, 0) == LINES


@given(st.lists(st.text(alphabet="a 审批，.\u3000", max_size=300), max_size=5), st.integers(NARROWEST, 120))
def test_nothing_is_lost_whatever_the_line(lines: list[str], width: int) -> None:
    found = wrapped(lines, width)
    assert "".join("".join(found).split()) == "".join("".join(lines).split())
    assert max(map(columns_of, found), default=0) <= width + max(
        (len(x) - len(x.lstrip()) + 2 for x in lines), default=0
    )
