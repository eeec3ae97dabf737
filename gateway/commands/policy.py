"""sealgate policy: try rules on saved mail, check them, read them in plain words, compare and replay them."""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from gateway import config as configuration
from gateway.commands.explain import add_mail_options, no_rule, read_mail, record, verdict, wanted
from gateway.commands.replay import NoFolder, add_replay, with_dir
from gateway.config import Config
from gateway.judging import examples
from gateway.judging.loading import JudgeError, ignored_files, load_dictionaries, load_ruleset, policy_files, read_text
from gateway.judging.oneshot import judge_here
from gateway.judging.remarks import remarks
from gateway.judging.trial import Wanted, judge_bytes
from gateway.usage import trouble
from policies import load
from policies.compare import compare, words
from policies.problem import PolicyError
from policies.rule import Ruleset
from scanners import registry


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "policy",
        help="try, check, read and compare rules 试用、检查、阅读与比较规则",
        description="Rules are TOML files in policies.dir; nothing here sends or changes mail.\n"
        "规则是 policies.dir 下的 TOML 文件；这些命令不发送也不改动任何邮件。",
        epilog="examples 示例:\n  sealgate policy check\n  sealgate policy test mail.eml --to buyer@acme.example\n"
        "  sealgate policy explain outbound-company-words\n  sealgate policy diff policies.d draft.d\n"
        "  sealgate policy replay --draft draft.d --since 7d",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    test = verbs.add_parser("test", help="what would happen to saved mail 试判存盘邮件")
    test.add_argument(
        "files", nargs="+", type=Path, metavar="FILE.eml", help="mail as bytes; - reads standard input 邮件文件"
    )
    test.add_argument(
        "--expect", default="", help="exit 1 unless this disposition comes out 期望的处置，不符则退出码 1"
    )
    add_mail_options(test)
    test.set_defaults(run=run_test)
    check = verbs.add_parser("check", help="load all rules and run their examples 检查规则并运行示例")
    check.set_defaults(run=run_check)
    explain = verbs.add_parser("explain", help="a rule in plain words 用白话读一条规则")
    explain.add_argument(
        "rule", nargs="?", default="", help="its name; without one all are listed 规则名，缺省则全部列出"
    )
    explain.set_defaults(run=run_explain)
    diff = verbs.add_parser("diff", help="what differs between two sets of rules 比较两套规则")
    diff.add_argument("old", type=Path, help="folder with rules, or one file 旧规则目录或文件")
    diff.add_argument("new", type=Path, help="the other 新规则目录或文件")
    diff.set_defaults(run=run_diff)
    for verb in (test, diff):
        verb.add_argument("--json", action="store_true", help="a JSON object a line, for scripts 每行一个 JSON 对象")
    for verb in (check, explain):
        verb.add_argument("--dir", type=Path, help="this folder of rules instead of the configured one 改用此规则目录")
    for verb in (check, explain, diff):
        verb.add_argument("--config", type=Path, default=Path("sealgate.toml"), help="configuration file 配置文件")
    add_replay(verbs)


def run_test(arguments: argparse.Namespace) -> int:
    """Exit status 0: judged (and as expected); 1: not as expected; 2: something can't be used."""
    config = configuration.load(arguments.config)
    try:
        outcomes = asyncio.run(_tested(config, arguments.files, wanted(arguments)))
    except OSError as error:
        print(trouble(error), file=sys.stderr)
        return 2
    except (ValueError, JudgeError) as error:
        print(error, file=sys.stderr)
        return 2
    unexpected = False
    for path, lines, records in outcomes:
        if arguments.json:
            for record in records:
                print(json.dumps({"file": str(path), **record}, ensure_ascii=False))
        else:
            print("\n  ".join([str(path), *lines]))
        found = {record["disposition"] for record in records}
        unexpected |= bool(arguments.expect) and found != {arguments.expect.lower()}
    if unexpected:
        print(f"结果与期望 “{arguments.expect}” 不符 not as expected; see: sealgate explain FILE", file=sys.stderr)
    return int(unexpected)


Tested = list[tuple[Path, list[str], list[dict[str, object]]]]
"""For each file its lines for people and its records for scripts."""


async def _tested(config: Config, paths: Sequence[Path], said: Wanted) -> Tested:
    found: Tested = []
    async with judge_here(config, None) as made:
        for path in paths:
            tried = await judge_bytes(made, config, read_mail(path), said, datetime.now().astimezone())
            lines = [verdict(recipient, judgement.decision) for recipient, _, judgement in tried.judged]
            monitored = sorted(
                {match.rule for _, _, judged in tried.judged for match in judged.matched if match.monitor}
            )
            if monitored:
                lines.append(f"只记录 monitor: {', '.join(monitored)}")
            found.append((path, lines, [record(recipient, judged) for recipient, _, judged in tried.judged]))
    return found


def run_check(arguments: argparse.Namespace) -> int:
    """Exit status 0: every rule loads and does what its examples say; 1: each problem on a line of its own."""
    config = configuration.load(arguments.config)
    try:
        config = with_dir(config, arguments.dir)
        ruleset = load_ruleset(config, load_dictionaries(config))
        problems = asyncio.run(examples.failures(config))
    except NoFolder as error:
        print(error, file=sys.stderr)
        return 2
    except JudgeError as error:
        print(error, file=sys.stderr)
        return 1
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        return 1
    for remark in [*ignored_files(config), *remarks(config, ruleset, datetime.now().astimezone())]:
        print(f"! {remark}", file=sys.stderr)
    ran = sum(len(rule.examples) for rule in ruleset.rules)
    own = sum(not rule.builtin for rule in ruleset.rules)
    print(
        f"{len(ruleset.rules)} 条规则（自有 {own}），{ran} 个例子，全部相符 / "
        f"{len(ruleset.rules)} rules ({own} of your own), {ran} examples, all as written   {ruleset.version}"
    )
    return 0


def run_explain(arguments: argparse.Namespace) -> int:
    """Exit status 0: shown; 1: no such rule; 2: the rules don't load."""
    config = configuration.load(arguments.config)
    try:
        config = with_dir(config, arguments.dir)
        ruleset = load_ruleset(config, load_dictionaries(config))
    except JudgeError as error:
        print(error, file=sys.stderr)
        return 2
    if not arguments.rule:
        for one in ruleset.rules:
            mode = "monitor" if one.mode.value == "monitor" else one.then.disposition.name.lower()
            print(f"{one.name:28} {mode:10} {one.title.zh} / {one.title.en}")
        return 0
    rule = ruleset.find(arguments.rule)
    if rule is None:
        print(no_rule(arguments.rule, ruleset), file=sys.stderr)
        return 1
    print(f"{rule.name}   {rule.file}:{rule.line}   {rule.version}")
    for line in words(rule):
        print(f"  {line.zh.rstrip()} / {line.en.strip()}")
    for example in rule.examples:
        print(f"  例 example: {example.title or '-'} -> {example.expect}")
    return 0


def run_diff(arguments: argparse.Namespace) -> int:
    """Exit status 0: no difference; 1: differences were printed; 2: one side doesn't load."""
    config = configuration.load(arguments.config)
    try:
        old, new = (_ruleset_of(config, path) for path in (arguments.old, arguments.new))
    except JudgeError as error:
        print(error, file=sys.stderr)
        return 2
    changes = compare(old, new)
    for change in changes:
        if arguments.json:
            lines = [{"zh": line.zh.strip(), "en": line.en.strip()} for line in change.lines]
            print(json.dumps({"sign": change.sign, "name": change.name, "lines": lines}, ensure_ascii=False))
            continue
        print(f"{change.sign} {change.name}")
        for line in change.lines:
            print(f"    {line.zh}" + (f" / {line.en.strip()}" if line.en else ""))
    if not changes and not arguments.json:
        print("没有区别 no difference")
    return int(bool(changes))


def _ruleset_of(config: Config, path: Path) -> Ruleset:
    """The rules of a folder or of one file, with the built-in ones as configured. Raises JudgeError."""
    if not path.is_file():
        config = with_dir(config, path)
        return load_ruleset(config, load_dictionaries(config))
    alone = replace(config, policies=replace(config.policies, dir=None))
    files = [*policy_files(alone), (str(path), read_text(path))]
    try:
        return load.load(files, registry.CATALOGUE, load_dictionaries(config).versions)
    except PolicyError as error:
        raise JudgeError(str(error)) from None
