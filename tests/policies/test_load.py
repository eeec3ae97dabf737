"""What is wrong with a rule is said with file, line, column and a suggestion, in both languages; all at once."""
# ruff: noqa: E501  (messages are compared whole, as they are printed)

from datetime import date

import pytest

from policies.load import load
from policies.problem import MAX_PROBLEMS, PolicyError, distance, nearest
from policies.rule import decide
from tests.policies.world import CODES, facts, found, mail, rule, rules

GOOD = rule('"malware.clamav"')


def errors(text: str, *more: tuple[str, str]) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        rules(text, *more)
    return [str(problem) for problem in caught.value.problems]


MESSAGES = [
    (
        GOOD.replace("malware.clamav", "malware.clamv"),
        'a.toml:5:8: 不认识的条件 “malware.clamv”；是不是 “malware.clamav”？ / unknown condition "malware.clamv"; did you mean "malware.clamav"?',
    ),
    (
        rule('{ finding = "dictionary.company" }'),
        "a.toml:5:20: 没有扫描器报告 “dictionary.company”；是不是 “content.dictionary.company”？ / "
        'no scanner reports "dictionary.company"; did you mean "content.dictionary.company"?',
    ),
    (
        rule('{ fact = "recipient.outsde", is = true }'),
        'a.toml:5:17: 不认识的事实 “recipient.outsde”；是不是 “recipient.outside”？ / unknown fact "recipient.outsde"; did you mean "recipient.outside"?',
    ),
    (
        rule('{ fact = "malware.clamav" }'),
        "a.toml:5:17: 不认识的事实 “malware.clamav”；它是扫描结果，写 finding = “malware.clamav” / "
        'unknown fact "malware.clamav"; it is a finding: write finding = "malware.clamav"',
    ),
    (
        rule('{ finding = "subject" }'),
        'a.toml:5:20: 没有扫描器报告 “subject”；它是事实，写 fact = “subject” / no scanner reports "subject"; it is a fact: write fact = "subject"',
    ),
    (
        rule('{ fact = "direction", is = "outbond" }'),
        'a.toml:5:35: “direction” 不会是 “outbond”；是不是 “outbound”？ / "direction" is never "outbond"; did you mean "outbound"?',
    ),
    (
        rule('{ fact = "size", min = "10 elephants" }'),
        'a.toml:5:31: “min” 应是整数，大小可写 “10MB” / "min" must be a whole number; a size may be written "10MB"',
    ),
    (
        rule('{ fact = "size", is = 1, max = 2 }'),
        'a.toml:5:10: “size” 须写一个比较：is, in, min, max, between / "size" needs exactly one comparison: is, in, min, max, between',
    ),
    (
        rule('{ fact = "time.hour", between = [25, 1] }'),
        'a.toml:5:40: “between” 应是 0 到 23 的整数 / "between" must be a whole number from 0 to 23',
    ),
    (
        rule('{ fact = "time.hour", is = "10MB" }'),
        'a.toml:5:35: “is” 应是 0 到 23 的整数 / "is" must be a whole number from 0 to 23',
    ),
    (
        rule('{ fact = "size", between = ["10MB", "1MB"] }'),
        "a.toml:5:35: between = [10000000, 1000000] 永不成立：先写小的 / between = [10000000, 1000000] is never met: the smaller one first",
    ),
    (
        rule('{ fact = "recipients", min = 9, max = 3 }'),
        "a.toml:5:37: 至少 9 又至多 3，永不成立 / at least 9 and at most 3 is never met",
    ),
    (
        rule('{ fact = "subject", matches = "(a" }'),
        "a.toml:5:38: 正则表达式有误：missing ): (a / bad pattern: missing ): (a",
    ),
    (
        rule('{ fact = "subject", matches = "(?=a)" }'),
        "a.toml:5:38: 正则表达式有误：invalid perl operator: (?= / bad pattern: invalid perl operator: (?=",
    ),
    (
        rule('"malware.clamav"', then='disposition = "aprove"'),
        'a.toml:6:24: “disposition” 不能是 “aprove”；是不是 “approve”？ / "disposition" can\'t be "aprove"; did you mean "approve"?',
    ),
    (
        rule('"malware.clamav"', then='disposition = "deliver", treatments = ["encript"]'),
        'a.toml:6:49: 没有处理 “encript”；是不是 “encrypt”？ / there is no treatment "encript"; did you mean "encrypt"?',
    ),
    (
        rule('"malware.clamav"', then='disposition = "deliver", treatments = ["tag:From=ceo"]'),
        "a.toml:6:49: tag 应写作 tag:X-名称=内容 / a tag is written tag:X-Name=text",
    ),
    (
        rule('"malware.clamav"', then='disposition = "deliver", treatments = ["tag:X-A=b\\r\\nBcc: x"]'),
        "a.toml:6:49: 值里不能有控制字符或换行 / a value can't hold control characters or line ends",
    ),
    (
        rule('"malware.clamav"', then='disposition = "delay"'),
        'a.toml:6:24: delay（等多久）与 disposition = “delay” 须同时写 / delay (how long) and disposition = "delay" belong together',
    ),
    (
        rule('"malware.clamav"', then='disposition = "approve", keep_content = false'),
        "a.toml:6:50: keep_content = false 只能与 disposition = “reject” 同用：不留存内容就无法扣留 / "
        'keep_content = false goes with disposition = "reject" only: what is not stored can\'t be held',
    ),
    (
        rule('"malware.clamav"', unless='"list.partnrs"'),
        'a.toml:6:10: 没有名单 “list.partnrs”；可用：list.r / there is no list "list.partnrs"; known: list.r',
    ),
    (
        GOOD.replace("when =", "whn ="),
        'a.toml:5:1: 不认识的键 “whn”；是不是 “when”？ / unknown key "whn"; did you mean "when"?',
    ),
    (
        GOOD.replace('en = "title"', 'en = ""'),
        'a.toml:4:26: “en” 是空的 / "en" is empty',
    ),
    (
        GOOD.replace('"r"', '"Big Rule"'),
        "a.toml:3:8: 名字只用小写字母、数字和连字符，至多 64 个 / a name has lower-case letters, digits and hyphens, at most 64",
    ),
    (GOOD + GOOD, 'a.toml:8:8: 规则名 “r” 用了两次，另一处在 a.toml:3 / the rule name "r" is used twice, first at a.toml:3'),
    (
        rule('{ all = [' * 10 + '"malware.clamav"' + "] }" * 10),
        "a.toml:5:88: 条件嵌套超过 8 层 / conditions are nested more than 8 deep",
    ),
    (rule("{ all = [] }"), 'a.toml:5:16: “all” 应是 1 到 200 个条件的列表 / "all" must be a list of 1 to 200 conditions'),
    (
        '[[allow]]\nlist = "r"\nsender = "a@b.example"\nauth = "dmarc"\nreason = "x"\n' + GOOD,
        "a.toml:3:8: 例外须有期限：expires = 2027-01-31 / an exception needs an end: expires = 2027-01-31",
    ),
    (
        '[[allow]]\nlist = "r"\nsender = "a@b.example"\nreason = "x"\nexpires = 2027-01-31\n' + GOOD,
        'a.toml:2:1: 缺少 “auth”；可用：dmarc, dkim, spf, arc, login, relay / "auth" is missing: one of dmarc, dkim, spf, arc, login, relay',
    ),
    (
        '[[watch]]\nlist = "rivals"\nrecipient = "b.example"\nreason = "x"\n' + rule('"malware.clamav"', unless='"list.rivals"'),
        "a.toml:10:10: “list.rivals” 是 [[watch]] 名单，其条目不经认证，不能用于 unless；例外请用 [[allow]] / "
        '"list.rivals" is a [[watch]] list: its entries prove nothing, so it can\'t stand in unless; use [[allow]] for exceptions',
    ),
    ('[[disable]]\nrule = "q"\nreason = "x"\n' + GOOD, 'a.toml:3:8: 没有规则 “q” 可停用；是不是 “r”？ / there is no rule "q" to disable; did you mean "r"?'),
    (
        GOOD + '[[rule.example]]\nmail = { from = "a@b.example", to = "c@corp.test", txt = "x" }\nexpect = "hold"\n',
        'a.toml:8:52: 不认识的键 “txt”；是不是 “text”？ / unknown key "txt"; did you mean "text"?',
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), MESSAGES)
def test_messages(text: str, message: str) -> None:
    assert message in errors(text)[:2]


def test_every_error_of_every_file_at_once() -> None:
    found = errors(
        GOOD.replace("when", "whn").replace("approve", "aprove"), ("b.toml", "schema = 2\nrule = 1"), ("c.toml", "x =")
    )
    assert [line.split(":")[0] for line in found] == ["a.toml"] * 3 + ["b.toml"] * 2 + ["c.toml"]


def test_errors_are_bounded() -> None:
    with pytest.raises(PolicyError) as caught:
        rules("\n".join(rule('"no.such"', name=f"r{number}") for number in range(200)))
    assert len(caught.value.problems) == MAX_PROBLEMS
    assert caught.value.more == 150
    assert "150" in str(caught.value).splitlines()[-1]


BUILTIN = ("builtin/x.toml", "schema = 1\n" + rule('"malware.clamav"', then='disposition = "reject"', name="malware"))


def test_a_builtin_rule_is_replaced_only_on_purpose() -> None:
    mine = rule('"malware.clamav"', name="malware")
    assert "replace = true" in errors(mine, BUILTIN)[0]
    replaced = rules(rule('"malware.clamav"', name="malware", extra="replace = true\n"), BUILTIN)
    assert [one.builtin for one in replaced.rules] == [False]
    assert "no built-in rule" in errors(rule('"malware.clamav"', name="malwar", extra="replace = true\n"), BUILTIN)[0]
    assert rules('[[disable]]\nrule = "malware"\nreason = "test"', BUILTIN).rules == ()


def test_a_version_changes_with_meaning_not_with_layout() -> None:
    first = rules(rule('{ finding = "content.dictionary.company" }')).rules[0]
    same = rules("# note\n" + rule('{   finding="content.dictionary.company" }')).rules[0]
    other = rules(rule('{ finding = "content.dictionary.bank" }')).rules[0]
    assert first.version == same.version == first.reason.version
    assert first.version != other.version


@pytest.mark.parametrize(
    ("when", "key", "changes"),
    [
        ('"content.dictionary.company"', "company", True),
        ('"content.dictionary.company"', "bank", False),
        ('{ finding = "content.dictionary.*" }', "bank", True),
        ('{ finding = "content.*" }', "bank", True),
        ('{ finding = "malware.yara.*" }', "malware.yara", True),
        ('"malware.clamav"', "malware.yara", False),
        ('"content.identifier.iban"', "content.identifier", True),
    ],
)
def test_a_version_follows_the_dictionaries_it_names(when: str, key: str, changes: bool) -> None:
    text = "schema = 1\n" + rule(when)
    one, two = (load([("a.toml", text)], CODES, {key: version}).rules[0].version for version in "12")
    assert (one != two) is changes


def test_needs_are_the_context_facts_that_are_named() -> None:
    assert rules(GOOD).needs == frozenset()
    assert rules(rule('{ any = ["first_contact", { fact = "time.hour", min = 9 }] }')).needs == {"first_contact", "now"}
    assert "now" in rules(rule('"malware.clamav"', unless='"list.r"')).needs


def test_watch_lists_match_in_when() -> None:
    text = '[[watch]]\nlist = "rivals"\nrecipient = "acme.example"\nreason = "x"\n' + rule('"list.rivals"')
    assert decide(rules(text), facts()).matched
    assert not decide(rules(text), facts(mail(to="a@other.example"))).matched
    changed = rules(text.replace('reason = "x"', 'reason = "x"\nexpires = 2030-01-01'))
    assert changed.rules[0].version != rules(text).rules[0].version
    assert changed.lists[0].expires == date(2030, 1, 1)


def test_an_allow_entry_changes_the_set_but_not_the_reason() -> None:
    base = rule('"malware.clamav"', unless='"list.r"')
    entry = '[[allow]]\nlist = "r"\nsender = "corp.test"\nauth = "relay"\nreason = "x"\nexpires = 2027-01-31\n'
    one, two = rules(base), rules(entry + base)
    assert one.rules[0].version == two.rules[0].version
    assert one.version != two.version
    assert not decide(two, facts(None, found("malware.clamav"))).matched


@pytest.mark.parametrize(("a", "b", "edits"), [("abc", "abc", 0), ("abc", "acb", 1), ("abc", "xyz", 3), ("", "ab", 2)])
def test_distance(a: str, b: str, edits: int) -> None:
    assert distance(a, b, 5) == edits


def test_nearest_keeps_quiet_about_strangers() -> None:
    assert nearest("zzzzzz", frozenset(("abc", "abd"))) == ""
    assert nearest("a" * 500, frozenset(("abc",))) == ""
