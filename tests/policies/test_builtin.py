"""The rules that ship: each with its exception list and two examples that come out, and cheap for clean mail."""

import time

from gateway.judging import examples
from policies.condition import leaves
from policies.examples import check
from policies.facts import Context, build
from policies.rule import decide
from scanners.finding import Finding, Severity
from tests.policies.real import CONFIG, real_judge
from tests.policies.world import FRIDAY, LOCAL, mail


async def test_every_example_comes_out_through_the_real_scanners() -> None:
    assert await examples.failures(CONFIG) == ()


async def test_every_rule_has_two_examples_one_match_one_harmless_and_its_list() -> None:
    async with real_judge() as made:
        for rule in made.ruleset.rules:
            expected = [example.expect for example in rule.examples]
            assert len(expected) >= 2, rule.name
            assert "no-match" in expected, rule.name
            assert set(expected) != {"no-match"}, rule.name
            assert rule.unless is not None, rule.name
            assert f"list.{rule.name}" in {leaf.fact for leaf in leaves(rule.unless)}, rule.name


async def test_an_example_that_does_not_come_out_is_said() -> None:
    async with real_judge() as made:
        rule = made.ruleset.find("outbound-company-words")
        assert rule is not None
        good = rule.examples[0]
        wrong = type(good)(good.title, good.mail, "no-match", good.line)
        problem = await check(rule, wrong, examples.scan_with(made))
        assert problem is not None
        assert "should give no-match but gave match" in problem.en
        assert problem.line == good.line


async def test_malware_and_state_secrets_are_beyond_any_person() -> None:
    async with real_judge() as made:
        for name in ("malware", "state-secret-mark"):
            rule = made.ruleset.find(name)
            assert rule is not None
            assert not rule.reason.waivable
        secret = made.ruleset.find("state-secret-mark")
        assert secret is not None
        assert not secret.reason.keep_content


async def test_clean_mail_costs_little() -> None:
    """60 us is the goal on a quiet machine; ten times that is what this test forgives a busy one."""
    async with real_judge() as made:
        findings = [
            Finding(code, Severity.INFO, "", about="corp.test")
            for code in ("auth.spf.pass", "auth.dkim.pass", "auth.dmarc.pass", "auth.arc.none", "content.amount")
        ]
        message = mail()
        context = Context(LOCAL, frozenset(), frozenset(), False, None, FRIDAY)
        best = 1.0
        for _ in range(20):
            began = time.process_time()
            for _ in range(50):
                decide(made.ruleset, build(message, findings, context, message.envelope.recipients[0]))
            best = min(best, (time.process_time() - began) / 50)
        assert best < 600e-6
