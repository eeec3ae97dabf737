"""sealgate find: messages in the audit log, by what is public, or by sealed fields that somebody entitled opens."""

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from audit.log import LogDamaged
from audit.reader import LogView, Stored
from audit.spread import PART
from gateway import config as configuration
from gateway.config import Config
from gateway.progress import Progress
from gateway.recording.intents import DECIDED
from gateway.recording.keeper import paths
from gateway.recording.keeper_client import LINES_AT_ONCE, KeeperClient, KeeperUnavailable
from gateway.recording.unsealing import NotEntitled, add_options, authenticate
from gateway.terminal import safe

LIMIT = 50
MAX_LIMIT = 10_000
SLOTS = ["from", "to*", "subject"]
VERDICTS = ("relay", "deliver", "delay", "hold", "approve", "quarantine", "refuse", "reject", "custody")
"""Outcomes, dispositions and intents: any of them finds a message."""
UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for; sealed words are compared without case, anywhere in the field."""

    sender: str
    recipient: str
    subject: str
    since: datetime | None
    verdict: str

    @property
    def sealed(self) -> bool:
        """Whether fields must be opened."""
        return bool(self.sender or self.recipient or self.subject)


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "find",
        help="find messages in the log 在日志中查找邮件",
        description="Messages in the audit log, the newest first. There is no index: the log is read from its end until --limit is met,\n"
        "so --since makes it quick; on a long log progress is said. --from, --to and --subject open sealed fields: that takes an operator\n"
        "with the role auditor or admin, a purpose, and is itself an event.\n"
        "在审计日志中查找邮件，最新在前。没有索引，自末尾逐条扫描，用 --since 缩小范围可加快，日志很长时显示进度。按发件人、收件人或\n"
        "主题查找须打开密封字段：需审计员或管理员身份与目的，且查找本身会被记录。",
        epilog="examples 示例:\n  sealgate find --since 2h --verdict hold\n"
        "  sealgate find --from zhang@corp.test --as li --purpose 'complaint 17'",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, default=Path("sealgate.toml"), help="configuration file 配置文件")
    parser.add_argument("--from", dest="sender", default="", metavar="TEXT", help="in the sender's address 发件人")
    parser.add_argument("--to", dest="recipient", default="", metavar="TEXT", help="in a recipient's address 收件人")
    parser.add_argument("--subject", default="", metavar="TEXT", help="in the subject 主题")
    parser.add_argument("--since", default="", help="2026-11-22, 2026-11-22T10:00+08:00, 30m, 2h, 7d, 4w 起始时间")
    parser.add_argument(
        "--verdict", default="", metavar="WORD", choices=VERDICTS, help=f"one of 处置结果: {', '.join(VERDICTS)}"
    )
    parser.add_argument("--limit", type=int, default=LIMIT, help=f"at most so many, default {LIMIT} 条数上限")
    parser.add_argument("--purpose", default="", help="why sealed fields are opened 查看目的")
    parser.add_argument("--json", action="store_true", help="a JSON object a line, for scripts 每行一个 JSON 对象")
    add_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Exit 0: found; 1: nothing, or the log can't be read; 2: bad usage, or not entitled."""
    config = configuration.load(arguments.config)
    where = paths(config.gateway.state_dir)
    try:
        since = parse_since(arguments.since, datetime.now(UTC))
        wanted = Wanted(arguments.sender, arguments.recipient, arguments.subject, since, arguments.verdict)
        if not 0 < arguments.limit <= MAX_LIMIT:
            raise ValueError(f"--limit: 1 to {MAX_LIMIT}")
        view = LogView.open(where.audit)
        found = _public(view, wanted, Progress("events searched 已搜索", time.monotonic, sys.stderr))
        if wanted.sealed:
            return _run_sealed(config, arguments, view, wanted, found)
        return _print(((stored[0], {}) for stored in islice(found, arguments.limit)), arguments.json)
    except (NotEntitled, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    except FileNotFoundError:
        print(f"{where.audit}: there is no log yet 尚无日志", file=sys.stderr)
        return 1
    except (LogDamaged, KeeperUnavailable) as error:
        print(error, file=sys.stderr)
        return 1


def parse_since(text: str, now: datetime) -> datetime | None:
    """A time with zone, a date (local midnight), or an age. Raises ValueError."""
    if not text:
        return None
    age = re.fullmatch(r"([0-9]{1,5})([mhdw])", text)
    if age:
        return now - timedelta(**{UNITS[age[2]]: int(age[1])})
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"--since {text}: write 2026-11-22, 2026-11-22T10:00+08:00, 30m, 2h, 7d or 4w 时间格式不正确"
        ) from None
    return at.astimezone() if at.tzinfo is None else at


def _public(view: LogView, wanted: Wanted, progress: Callable[[int, int], None]) -> Iterator[list[Stored]]:
    """Decided messages, newest first, that fit as far as that is public; each with its continuations, which stand behind it.

    A scan from the log's end, 256 events in memory at a time; it ends at ``since``, or when enough was found.
    """
    parts: list[Stored] = []
    for stored in view.backwards():
        progress(view.size - stored.index, view.size)
        if wanted.since is not None and stored.at < wanted.since:
            return
        if stored.text("type") == PART:
            parts.insert(0, stored)
            continue
        mine = [part for part in parts if part.text("prev") == stored.text("id")]
        parts = []
        if stored.text("type") == DECIDED and (not wanted.verdict or wanted.verdict in _verdicts(stored)):
            yield [stored, *mine]


def _verdicts(stored: Stored) -> set[str]:
    policy = stored.record.get("policy")
    disposition = policy.get("disposition", "") if isinstance(policy, dict) else ""
    return {stored.text("outcome"), str(disposition), stored.text("intent")}


def _run_sealed(
    config: Config, arguments: argparse.Namespace, view: LogView, wanted: Wanted, found: Iterator[list[Stored]]
) -> int:
    if not arguments.purpose:
        raise NotEntitled("say why sealed fields are opened: --purpose TEXT 请用 --purpose 注明目的")
    person = authenticate(config, arguments.who, arguments.code)
    query = f"from={wanted.sender} to={wanted.recipient} subject={wanted.subject} verdict={wanted.verdict}"
    with KeeperClient(paths(config.gateway.state_dir).socket) as keeper:

        def matching() -> Iterator[tuple[Stored, dict[str, str | None]]]:
            while batch := list(islice(found, LINES_AT_ONCE)):
                lines = [stored.line for message in batch for stored in message]
                origin = view.identity.origin
                records = iter(keeper.opened(origin, lines, SLOTS, person.name, person.role, arguments.purpose, query))
                for message in batch:
                    record = {name: text for _ in message for name, text in next(records).items()}
                    if _fits(wanted, record):
                        yield message[0], record

        return _print(islice(matching(), arguments.limit), arguments.json)


def _fits(wanted: Wanted, record: dict[str, str | None]) -> bool:
    recipients = [text for name, text in record.items() if name.startswith("to")]
    return (
        _has(wanted.sender, [record.get("from")])
        and _has(wanted.recipient, recipients)
        and _has(wanted.subject, [record.get("subject")])
    )


def _has(word: str, texts: list[str | None]) -> bool:
    return not word or any(text is not None and word.casefold() in text.casefold() for text in texts)


def _print(found: Iterator[tuple[Stored, dict[str, str | None]]], as_json: bool) -> int:
    count = 0
    for stored, record in found:
        count += 1
        if as_json:
            names = ("msg", "dir", "outcome", "reason")
            line = {"time": stored.text("time"), **{name: stored.text(name) for name in names}}
            print(json.dumps({**line, **({"opened": record} if record else {})}, ensure_ascii=False))
            continue
        at = stored.at.astimezone().isoformat(sep=" ", timespec="seconds")
        print(
            f"{at}  {stored.text('msg')}  {stored.text('dir'):3}  {stored.text('outcome'):10}  {stored.text('reason')}"
        )
        if record:
            to = ", ".join(_shown(text) for name, text in record.items() if name.startswith("to"))
            print(f"    {_shown(record.get('from'))} -> {to}  {_shown(record.get('subject'))}")
    if not count:
        print("nothing found 没有符合条件的邮件", file=sys.stderr)
    return 0 if count else 1


def _shown(text: str | None) -> str:
    return "[erased 已删除]" if text is None else safe(text)
