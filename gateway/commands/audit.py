"""sealgate audit: verify the log, show an event, start a new log after damage."""

import argparse
import json
import os
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from audit import verify as verifier
from audit.log import LogDamaged, LogLocked
from audit.reader import LogView, Stored
from audit.shard import new_shard
from gateway import config as configuration
from gateway.config import Config
from gateway.progress import Progress
from gateway.recording.keeper import paths
from gateway.recording.keeper_client import KeeperClient, KeeperUnavailable
from gateway.recording.unsealing import NotEntitled, add_options, authenticate

LIVE_ATTEMPTS = 3
"""Times a log is verified again when its writer moved on during the pass."""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "audit",
        help="verify and read the audit log 校验与查看审计日志",
        description="The tamper-evident log: verify it, show one event, start a new one after damage.\n"
        "防篡改审计日志：校验、查看事件、损坏后启用新日志。",
        epilog="examples 示例:\n  sealgate audit verify\n  sealgate audit verify --dir /mnt/export/audit\n"
        "  sealgate audit show 1041\n  sealgate audit new-shard --reason 'disk replaced'",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    check = verbs.add_parser("verify", help="check every event, tile and root 校验全部事件")
    check.add_argument("--dir", type=Path, help="a log's folder, or an exported copy 日志目录或导出副本")
    check.add_argument("--vkey", default="", help="the log's key as you know it from elsewhere 可信公钥")
    check.add_argument("--json", action="store_true", help="a JSON object, for scripts 输出 JSON 对象")
    show = verbs.add_parser("show", help="print one event as stored 查看一个事件")
    show.add_argument("event", metavar="ID|INDEX", help="event id or number 事件编号或序号")
    shard = verbs.add_parser("new-shard", help="set a damaged log aside, start a new one 封存损坏日志并启用新日志")
    shard.add_argument("--reason", required=True, help="why; stands in the new log, name nobody 原因，将写入新日志")
    add_options(shard)
    for verb, action in ((check, run_verify), (show, run_show), (shard, run_new_shard)):
        verb.add_argument("--config", type=Path, default=Path("sealgate.toml"), help="configuration file 配置文件")
        verb.set_defaults(run=action)


def run_verify(arguments: argparse.Namespace) -> int:
    """Exit 0: whole; 1: something does not match."""
    folder: Path = arguments.dir or paths(configuration.load(arguments.config).gateway.state_dir).audit
    if not folder.is_dir():
        print(
            f"{folder}: there is no log here; give its folder with --dir 此处没有日志，请用 --dir 指定", file=sys.stderr
        )
        return 2
    for _ in range(LIVE_ATTEMPTS):
        before = _mark(folder)
        found = verifier.verify(folder, arguments.vkey, Progress("events verified 已校验", time.monotonic, sys.stderr))
        if not found.mismatches or _mark(folder) == before:
            break
    print(json.dumps(asdict(found), ensure_ascii=False, default=str) if arguments.json else verifier.report(found))
    return 1 if found.mismatches else 0


def _mark(folder: Path) -> tuple[int, ...]:
    """Changes whenever a live writer has written."""
    names = [folder / "checkpoint", *sorted((folder / "journal").glob("*.aj"))]
    return tuple(name.stat().st_mtime_ns for name in names if name.exists())


def run_show(arguments: argparse.Namespace) -> int:
    """Exit 0: shown, and proven to stand in the log; 1: not there, or not proven."""
    config = configuration.load(arguments.config)
    where = paths(config.gateway.state_dir)
    try:
        view = LogView.open(where.audit)
        event = _find(view, arguments.event)
        if event is None:
            print(f"{arguments.event}: no such event 没有此事件", file=sys.stderr)
            return 1
        print(event.line.decode("utf-8", "replace"))
        for name in _erased(where.socket, view, event):
            print(f"{name}: {_by_whom(view, event)}")
        head = view.prove(event.index)
    except FileNotFoundError:
        print(f"{where.audit}: there is no log yet 尚无日志", file=sys.stderr)
        return 1
    except LogDamaged as error:
        print(error, file=sys.stderr)
        return 1
    print(f"proof 证明: #{event.index} in checkpoint {head.size} of {head.origin}, verified", file=sys.stderr)
    return 0


def _find(view: LogView, wanted: str) -> Stored | None:
    if wanted.isascii() and wanted.isdigit() and len(wanted) < 20:
        return view.entry(int(wanted)) if int(wanted) < view.size else None
    mark = wanted.encode()
    for stored in view.backwards() if mark else ():
        if stored.text("id") == wanted:
            return stored
    return None


def _erased(socket: Path, view: LogView, event: Stored) -> list[str]:
    """Names of slots whose keys are gone."""
    if not event.sealed:
        return []
    try:
        with KeeperClient(socket) as keeper:
            record = keeper.masked(view.identity.origin, [event.line], [])[0]
    except KeeperUnavailable as error:
        print(error, file=sys.stderr)
        return []
    return [name for name, text in record.items() if text is None]


def _by_whom(view: LogView, event: Stored) -> str:
    """When this message's keys were destroyed; an erased person can't be tied to an event, by design."""
    k = event.record.get("k")
    for later in view.entries(event.index + 1):
        if later.text("type") == "privacy.erase" and later.record.get("leaf") == k:
            return f"[erased {later.text('time')[:10]}, event {later.text('id')}] 已删除"
    return "[erased 已删除]"


def run_new_shard(arguments: argparse.Namespace) -> int:
    """Exit 0: a new log is ready; 1: refused; 2: not entitled."""
    config = configuration.load(arguments.config)
    now = datetime.now(UTC)
    try:
        who = _responsible(config, arguments)
        done = new_shard(config.gateway.state_dir, config.gateway.hostname, arguments.reason, who, now, os.urandom)
    except NotEntitled as error:
        print(error, file=sys.stderr)
        return 2
    except (LogLocked, LogDamaged, OSError, ValueError) as error:
        print(f"{error}\nstop the gateway first 请先停止网关", file=sys.stderr)
        return 1
    print(f"new log {done.origin}; the old one is kept in {done.aside} 新日志已启用，旧日志保存在上述目录")
    print("next 下一步: sealgate audit verify --dir " + str(done.aside))
    return 0


def _responsible(config: Config, arguments: argparse.Namespace) -> str:
    """An operator where there are any; else whoever may write the state directory."""
    if config.operators:
        return authenticate(config, arguments.who, arguments.code, ("admin",), without_log=True).name
    return f"uid {os.getuid()}"
