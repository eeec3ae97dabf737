"""The reference pages are as the code says, and no documented thing is missing."""

import pytest

from tools import reference


@pytest.mark.parametrize("name", sorted(reference.PAGES_OF))
def test_the_page_is_current(name: str) -> None:
    path = reference.PAGES / f"{name}.md"
    assert path.read_text(encoding="utf-8") == reference.NOTE + reference.PAGES_OF[name](), "run: make reference"


def test_every_setting_has_a_meaning() -> None:
    rows = [line for line in reference.settings().splitlines() if line.startswith("| `")]
    assert len(rows) > 50
    assert [row for row in rows if not row.strip("| ").rpartition(" | ")[2].strip() or row.endswith("|  |")] == []
