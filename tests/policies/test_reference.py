"""The reference names everything that a rule may name."""

from policies.condition import OPERATORS
from policies.decision import TREATMENTS, Disposition
from policies.reference import COMPARISONS, page
from policies.vocabulary import FACTS
from tests.policies.world import CODES, rule, rules


def test_everything_is_on_the_page_in_both_languages() -> None:
    text = page(CODES, rules(rule('"malware.clamav"')))
    names = [*FACTS, *(code.code for code in CODES), *(one.name.lower() for one in Disposition)]
    for name in names:
        assert f"`{name}`" in text
    for kind in TREATMENTS:
        assert f"`{kind.name}" in text
    for line in text.splitlines():
        if line.startswith("| `"):
            assert any("\u4e00" <= letter <= "\u9fff" for letter in line), line
    assert "| `r` |" in text


def test_every_comparison_is_explained() -> None:
    assert {operator for operators in OPERATORS.values() for operator in operators} == set(COMPARISONS)
