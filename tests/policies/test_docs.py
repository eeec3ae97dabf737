"""The rules printed in the documentation load, and their examples come out through the real scanners."""

from pathlib import Path

import pytest

from gateway.judging import examples
from gateway.judging.loading import load_dictionaries, policy_files
from policies.examples import run
from policies.load import load
from scanners.registry import CATALOGUE
from tests.policies.real import CONFIG, real_judge

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("page", ["policies.md", "policies.zh.md"])
async def test_what_the_page_shows_works(page: str) -> None:
    blocks = (DOCS / page).read_text(encoding="utf-8").split("```toml\n")[1:]
    shown = [(f"{page}-{number}", block.partition("```")[0]) for number, block in enumerate(blocks)]
    assert len(shown) == 3
    ruleset = load([*policy_files(CONFIG), *shown], CATALOGUE, load_dictionaries(CONFIG).versions)
    assert ruleset.find("mismatched-link") is None
    async with real_judge() as made:
        outcome = await run(ruleset, examples.scan_with(made))
    assert outcome.problems == ()
    assert outcome.ran > 2
