"""sealgate policy replay: what a draft of the rules would have done with the mail of the last days."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from audit.log import LogDamaged
from audit.reader import LogView, Stored
from gateway import config as configuration
from gateway.config import Config
from gateway.events import OUTCOMES
from gateway.judging.loading import JudgeError, load_dictionaries, load_ruleset
from gateway.recording.keeper import paths
from gateway.recording.keeper_client import KeeperClient, KeeperUnavailable
from policies.decision import Disposition
from policies.replay import Difference, Kept, compare_kept, summary
from policies.rule import Ruleset
from scanners.finding import Evidence, Finding, Severity

UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
MAX_SHOWN = 50
"""Mails listed one by one; the counts are of all."""
MAX_PEOPLE = 2_000
"""Mails whose senders are looked up (masked) to count people."""
DISPOSITIONS = {one.name.lower(): one for one in Disposition}
WOULD = {word: disposition for disposition, word in OUTCOMES.items()}
"""In monitor mode everything was delivered; the rules are compared by what they would have done."""


def add_replay(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to ``sealgate policy``."""
    parser = verbs.add_parser(
        "replay",
        help="what a draft would have done with past mail 用草稿规则回放往日邮件",
        description="Judges what the log kept of past mail (findings, not content) by a draft of the rules.\n"
        "以草稿规则重判日志留存的往日扫描结果；日志里没有的事实，会说明只有重新扫描才知道。",
        epilog="example 示例:  sealgate policy replay --draft draft.d --since 7d",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--draft", type=Path, required=True, help="folder with the draft rules 草稿规则目录")
    parser.add_argument("--since", default="7d", help="how far back: 30m, 12h, 7d, 4w 回看多久")
    parser.add_argument(
        "--json", action="store_true", help="JSON objects: the totals, then a mail a line 每行一个 JSON 对象"
    )
    parser.add_argument("--config", type=Path, default=Path("sealgate.toml"), help="configuration file 配置文件")
    parser.set_defaults(run=run)


class NoFolder(JudgeError):
    """A folder of rules that somebody named is not there."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A past mail that would fare otherwise, with its event."""

    event: Stored
    difference: Difference


def run(arguments: argparse.Namespace) -> int:
    """Exit status 0: nothing would change; 1: changes were printed; 2: rules, log or options can't be used."""
    config = configuration.load(arguments.config)
    try:
        since = datetime.now(UTC) - timedelta(seconds=span_s(arguments.since))
        current = load_ruleset(config, load_dictionaries(config))
        other = with_dir(config, arguments.draft)
        draft = load_ruleset(other, load_dictionaries(other))
        view = LogView.open(paths(config.gateway.state_dir).audit)
        seen, held, changed = replayed(view, since, current, draft)
    except FileNotFoundError:
        print("还没有日志，无可回放 there is no log yet, nothing to replay", file=sys.stderr)
        return 2
    except (ValueError, JudgeError, LogDamaged) as error:
        print(error, file=sys.stderr)
        return 2
    say = as_json if arguments.json else report
    for line in say(seen, held, changed, _senders(config, view, changed)):
        print(line)
    return int(any(one.difference.certain for one in changed))


def with_dir(config: Config, folder: Path | None) -> Config:
    """The configuration with another folder of rules. Raises NoFolder."""
    if folder is None:
        return config
    if not folder.is_dir():
        raise NoFolder(f"{folder}: 没有此目录或文件 / no such folder or file")
    return replace(config, policies=replace(config.policies, dir=folder.absolute()))


def span_s(text: str) -> int:
    """Seconds of ``7d``. Raises ValueError."""
    digits, unit = text[:-1], text[-1:]
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 5 and unit in UNITS):
        raise ValueError(f"--since {text}: 写如 write such as 30m, 12h, 7d, 4w")
    return int(digits) * UNITS[unit]


def replayed(view: LogView, since: datetime, current: Ruleset, draft: Ruleset) -> tuple[int, int, list[Changed]]:
    """How many mails were looked at, how many of them were held or refused, and those that would change. Raises LogDamaged."""
    seen = held = 0
    changed: list[Changed] = []
    for event in _decided(view, since):
        kept = kept_of(event.record, event.at)
        seen += 1
        held += kept.disposition > Disposition.DELIVER
        difference = compare_kept(current, draft, kept)
        if difference is not None:
            changed.append(Changed(event, difference))
    return seen, held, changed


def _decided(view: LogView, since: datetime) -> Iterator[Stored]:
    for event in view.entries(view.first_since(since)):
        ours = "notice" in event.record  # what the gateway writes itself is judged by no rule
        if event.text("type") == "message.decided" and event.at >= since and not ours:
            yield event


def kept_of(record: Mapping[str, Any], at: datetime | None = None) -> Kept:
    """A ``message.decided`` line as Kept; what isn't there (an older format) is empty."""
    policy, read = record.get("policy") or {}, record.get("read") or {}
    return Kept(
        id=str(record.get("msg", "")),
        direction="inbound" if record.get("dir") == "in" else "outbound",
        listener=str(record.get("listener", "")),
        tls=str(record.get("tls", "")),
        size=int(read.get("size", 0)),
        recipients=int(read.get("recipients", 1)),
        findings=tuple(_finding(one) for one in record.get("findings") or ()),
        more=bool(record.get("findings_more")),
        matched=frozenset(policy.get("matched") or ()),
        policy_version=str(policy.get("version", "")),
        disposition=WOULD.get(
            str(record.get("would")), DISPOSITIONS.get(str(policy.get("disposition")), Disposition.DELIVER)
        ),
        treatments=frozenset(policy.get("treatments") or ()),
        at=at.astimezone() if at is not None else None,
        bodies=read.get("bodies"),
        people=tuple(record.get("facts") or ({},)),
    )


def _finding(line: Mapping[str, Any]) -> Finding:
    return Finding(
        str(line.get("code", "")),
        Severity.INFO,
        "kept by the log",
        line.get("part"),
        Evidence(count=int(line.get("count", 1))),
        str(line.get("about", "")),
        int(line.get("score", 0)),
    )


def _senders(config: Config, view: LogView, changed: Sequence[Changed]) -> Mapping[str, str]:
    """Masked senders by message id; empty when the keeper isn't running, since only it can unseal."""
    some = [one for one in changed if one.difference.certain][:MAX_PEOPLE]
    if not some:
        return {}
    try:
        with KeeperClient(paths(config.gateway.state_dir).socket) as keeper:
            records = keeper.masked(view.identity.origin, [one.event.line for one in some], ["from"])
    except (KeeperUnavailable, OSError):
        return {}
    return {one.difference.id: record.get("from") or "" for one, record in zip(some, records, strict=True)}


def report(seen: int, held: int, changed: Sequence[Changed], senders: Mapping[str, str]) -> list[str]:
    """The answer, line by line: totals, rules, people, mails."""
    found = summary(seen, held, [one.difference for one in changed])
    lines = [
        f"{found.seen} 封邮件，{found.changed} 封会改变，{found.unsure} 封须重新扫描才知道 / "
        f"{found.seen} mails, {found.changed} would change, {found.unsure} only a rescan could tell",
        f"扣下或拒收 held or refused: {found.held_before} -> {found.held_after}",
    ]
    lines += [f"+ {name}  {count}" for name, count in found.gained]
    lines += [f"- {name}  {count}" for name, count in found.lost]
    asked = Counter(fact for one in changed for _, facts in one.difference.unsure for fact in facts)
    if asked:
        names = ", ".join(f"{name} ×{count}" for name, count in asked.most_common(12))
        lines.append(f"? 日志未留存的事实 facts the log doesn't keep: {names}")
    people = Counter(sender for sender in senders.values() if sender)
    if people:
        shown = ", ".join(f"{who} ×{count}" for who, count in people.most_common(12))
        lines.append(f"涉及的人 people: {shown}")
    certain = [one for one in changed if one.difference.certain]
    for one in certain[:MAX_SHOWN]:
        difference = one.difference
        signs = " ".join([f"+{name}" for name in difference.gained] + [f"-{name}" for name in difference.lost])
        who = senders.get(difference.id, "")
        way = f"{difference.before.name.lower()} -> {difference.after.name.lower()}"
        if difference.treated_before != difference.treated_after:
            before, after = (", ".join(each) or "-" for each in (difference.treated_before, difference.treated_after))
            signs = f"{signs}  treatments 处理: {before} -> {after}".strip()
        lines.append(f"  {one.event.text('time')}  {difference.id}  {way}  {signs}  {who}".rstrip())
    if len(certain) > MAX_SHOWN:
        lines.append(f"  … 另有 {len(certain) - MAX_SHOWN} 封 and {len(certain) - MAX_SHOWN} more")
    return lines


def as_json(seen: int, held: int, changed: Sequence[Changed], senders: Mapping[str, str]) -> list[str]:
    """The same for scripts: one object with the totals, then one for each mail that fares otherwise, or may."""
    found = summary(seen, held, [one.difference for one in changed])
    lines: list[object] = [
        {
            "seen": found.seen,
            "changed": found.changed,
            "unsure": found.unsure,
            "held_before": found.held_before,
            "held_after": found.held_after,
            "gained": dict(found.gained),
            "lost": dict(found.lost),
        }
    ]
    for one in changed:
        difference = one.difference
        lines.append(
            {
                "message": difference.id,
                "time": one.event.text("time"),
                "certain": difference.certain,
                "before": difference.before.name.lower(),
                "after": difference.after.name.lower(),
                "gained": list(difference.gained),
                "lost": list(difference.lost),
                "treatments_before": list(difference.treated_before),
                "treatments_after": list(difference.treated_after),
                "unsure": {rule: list(facts) for rule, facts in difference.unsure},
                "from": senders.get(difference.id, ""),
            }
        )
    return [json.dumps(line, ensure_ascii=False) for line in lines]
