"""sealgate explain FILE.eml: every rule, which of its questions the mail met, and what would happen to it."""

import argparse
import asyncio
import json
import sys
from datetime import datetime
from pathlib import Path

from gateway import config as configuration
from gateway.config import Config
from gateway.judging.loading import JudgeError
from gateway.judging.oneshot import judge_here
from gateway.judging.trial import MAX_BYTES, Tried, Wanted, judge_bytes
from gateway.terminal import safe
from gateway.usage import trouble
from policies.condition import possible_directions
from policies.decision import Decision
from policies.problem import nearest
from policies.rule import Judgement, Line, Ruleset, Trace, explain
from policies.sample_text import AUTH_KEYS
from scanners.message import Direction, Recipient

WAYS = [direction.value for direction in Direction]
DISPOSITION_ZH = {"deliver": "投递", "delay": "延迟", "approve": "待审批", "quarantine": "隔离", "reject": "拒收"}


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "explain",
        help="judge a saved mail and say why 解释一封邮件的裁决",
        description="Judge a saved mail with the configured rules and scanners, and show every rule with what it met or missed.\n"
        "用当前规则与扫描器审一封存盘邮件，逐条列出规则满足或未满足的条件。不发送任何东西。",
        epilog="examples 示例:\n  sealgate explain mail.eml\n"
        "  sealgate explain mail.eml --from a@x.example --to li@corp.test --auth dmarc=fail --auth policy=reject\n"
        "  sealgate explain mail.eml --rule outbound-company-words",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, metavar="FILE.eml", help="mail as bytes; - reads standard input 邮件文件")
    parser.add_argument("--rule", default="", help="this rule only, in full 只看这一条")
    parser.add_argument("--json", action="store_true", help="a JSON object for each recipient 每位收件人一个 JSON 对象")
    add_mail_options(parser)
    parser.set_defaults(run=run)


def add_mail_options(parser: argparse.ArgumentParser) -> None:
    """What a person may say of a mail that its file doesn't."""
    parser.add_argument("--from", dest="sender", metavar="ADDRESS", help="envelope sender; default: From 信封发件人")
    parser.add_argument("--to", action="append", default=[], metavar="ADDRESS", help="recipient; default: To 收件人")
    parser.add_argument("--direction", choices=WAYS, default="", help="default: by the sender's domain 方向")
    parser.add_argument("--login", default="", help="SMTP AUTH login 登录名")
    parser.add_argument(
        "--auth",
        action="append",
        default=[],
        metavar="KEY=RESULT",
        help="authentication to assume: dmarc=fail policy=reject dkim=DOMAIN spf=pass 假定的认证结果",
    )
    parser.add_argument("--known", action="store_true", help="we wrote to the other party before 往来过")
    parser.add_argument("--stranger", action="store_true", help="we never did 初次往来")
    parser.add_argument("--config", type=Path, default=Path("sealgate.toml"), help="configuration file 配置文件")


def wanted(arguments: argparse.Namespace) -> Wanted:
    """The options as data. Raises ValueError with what to write instead."""
    pairs: list[tuple[str, str]] = []
    for word in arguments.auth:
        key, equals, value = word.partition("=")
        if not equals or key not in AUTH_KEYS:
            raise ValueError(f"--auth {word}: KEY=RESULT, KEY 为 one of {', '.join(AUTH_KEYS)}")
        pairs.append((key, value))
    known = True if arguments.stranger else False if arguments.known else None
    return Wanted(
        arguments.sender, tuple(arguments.to), arguments.direction, arguments.login, tuple(pairs), first_contact=known
    )


def read_mail(path: Path) -> bytes:
    """The file's bytes, line ends as SMTP has them. Raises OSError, ValueError."""
    raw = sys.stdin.buffer.read(MAX_BYTES + 1) if str(path) == "-" else _bounded(path)
    if len(raw) > MAX_BYTES:
        raise ValueError(f"{path}: 文件过大 larger than {MAX_BYTES} bytes")
    return raw if b"\r\n" in raw else raw.replace(b"\n", b"\r\n")


def _bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def run(arguments: argparse.Namespace) -> int:
    """Exit status 0: judged; 2: the file, the options or the configuration can't be used."""
    config = configuration.load(arguments.config)
    try:
        mail, said = read_mail(arguments.file), wanted(arguments)
        text = asyncio.run(_explained(config, mail, said, arguments.rule, arguments.json))
    except OSError as error:
        print(trouble(error), file=sys.stderr)
        return 2
    except (ValueError, JudgeError) as error:
        print(error, file=sys.stderr)
        return 2
    print(text)
    return 0


async def _explained(config: Config, raw: bytes, said: Wanted, only: str, as_json: bool) -> str:
    async with judge_here(config, None) as made:
        if only and made.ruleset.find(only) is None:
            raise ValueError(no_rule(only, made.ruleset))
        tried = await judge_bytes(made, config, raw, said, datetime.now().astimezone())
        return "\n".join((records if as_json else page)(tried, made.ruleset, only))


def no_rule(name: str, ruleset: Ruleset) -> str:
    """What to say of a rule that is not there: the one that was probably meant, else where they are listed."""
    near = nearest(name, frozenset(rule.name for rule in ruleset.rules))
    zh, en = (
        (f"是不是 “{near}”？", f'did you mean "{near}"?')
        if near
        else ("", "all of them 全部规则: sealgate policy explain")
    )
    return f"没有规则 no rule “{name}”; {zh}{' / ' if zh else ''}{en}"


def page(tried: Tried, ruleset: Ruleset, only: str = "") -> list[str]:
    """The whole answer, line by line."""
    envelope = tried.envelope
    lines = [
        f"方向 direction {envelope.direction.value}   发件人 from {envelope.sender or '<>'}   "
        f"{len(tried.scanned.message.parts)} 部分 parts   规则 rules {len(ruleset.rules)}   {ruleset.version}"
    ]
    if tried.guessed:
        lines.append(f"取自信头，可用选项指明 taken from the header, options say otherwise: {' '.join(tried.guessed)}")
    lines.append("扫描所得 findings:")
    findings = tried.judged[0][1].common.by_code if tried.judged else {}
    for code, several in findings.items():
        for finding in several[:3]:
            where = f"  {finding.part}" if finding.part else ""
            masked = f"  “{finding.evidence.masked}”" if finding.evidence and finding.evidence.masked else ""
            score = f"  score {finding.score}" if finding.score else ""
            lines.append(f"  {code}  ×{finding.count}{score}{where}{masked}")
    if not findings:
        lines.append("  无 none")
    for recipient, known, judgement in tried.judged:
        lines += ["", verdict(recipient, judgement.decision)]
        for trace in explain(ruleset, known):
            if not only or trace.rule.name == only:
                lines += _trace(trace, envelope.direction.value, whole=bool(only))
    return [safe(line) for line in lines]


def records(tried: Tried, ruleset: Ruleset, only: str = "") -> list[str]:
    """The same for scripts: a line for each recipient, with every rule and its questions."""
    lines = []
    for recipient, known, judgement in tried.judged:
        rules = [
            {
                "rule": trace.rule.name,
                "mode": trace.rule.mode.value,
                "matched": trace.matched,
                "excepted": trace.excepted,
                "when": [_record(line) for line in trace.when],
                "unless": [_record(line) for line in trace.unless],
            }
            for trace in explain(ruleset, known)
            if not only or trace.rule.name == only
        ]
        lines.append(json.dumps({**record(recipient, judgement), "rules": rules}, ensure_ascii=False))
    return lines


def _record(line: Line) -> dict[str, object]:
    return {
        "depth": line.depth,
        "state": line.state.value,
        "zh": line.words.zh,
        "en": line.words.en,
        "found": line.seen,
    }


def record(recipient: Recipient, judgement: Judgement) -> dict[str, object]:
    """What happens to the mail for this recipient, for scripts."""
    decision = judgement.decision
    return {
        "to": recipient.address,
        "disposition": decision.disposition.name.lower(),
        "treatments": sorted(one.kind + (f":{one.value}" if one.value else "") for one in decision.treatments),
        "reasons": [reason.rule for reason in decision.reasons],
        "matched": sorted(match.rule for match in judgement.matched if not match.monitor),
        "monitored": sorted(match.rule for match in judgement.matched if match.monitor),
    }


def verdict(recipient: Recipient, decision: Decision) -> str:
    """One line: what happens to the mail for this recipient."""
    name = decision.disposition.name.lower()
    treatments = ", ".join(sorted(one.kind + (f":{one.value}" if one.value else "") for one in decision.treatments))
    why = ", ".join(reason.rule for reason in decision.reasons)
    return (
        f"收件人 to {recipient.address}: {name.upper()} {DISPOSITION_ZH[name]}"
        + (f"   处理 treatments: {treatments}" if treatments else "")
        + (f"   因 because: {why}" if why else "")
    )


def _trace(trace: Trace, direction: str, whole: bool) -> list[str]:
    rule = trace.rule
    mode = "" if rule.mode.value == "enforce" else "  [monitor 只记录]"
    if not trace.matched and not trace.excepted and not whole:
        if direction not in possible_directions(rule.when):
            return [f"  - {rule.name}{mode}  不管这个方向 not for this direction"]
        missed = [line for line in trace.when if line.state.value == "-" and line.seen]
        why = "；".join(f"{line.words.zh} / {line.words.en}" for line in missed[:2])
        return [f"  - {rule.name}{mode}  未满足 missed: {why}"]
    sign = "+" if trace.matched else "~" if trace.excepted else "-"
    word = "匹配 matched" if trace.matched else "被 unless 排除 excepted" if trace.excepted else "未匹配 not matched"
    lines = [f"  {sign} {rule.name}{mode}  {word}: {rule.title.zh} / {rule.title.en}"]
    lines += [_line(line) for line in trace.when]
    if trace.unless:
        lines.append("    除非 unless")
        lines += ["  " + _line(line) for line in trace.unless]
    return lines


def _line(line: Line) -> str:
    seen = f"   实为 found: {line.seen}" if line.seen else ""
    return f"    {'  ' * line.depth}{line.state.value} {line.words.zh} / {line.words.en}{seen}"
