"""sealgate trace: one message's way through the gateway, as the audit log has it."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from audit.log import LogDamaged
from audit.reader import LogView, Stored, collect
from audit.spread import joined
from gateway import config as configuration
from gateway.commands.deliveries import terminal_width
from gateway.config import Config
from gateway.custody.delivery import HELD, State
from gateway.custody.listing import wrapped
from gateway.custody.picture import MEANINGS
from gateway.recording.intents import DECIDED
from gateway.recording.keeper import paths
from gateway.recording.keeper_client import KeeperClient, KeeperUnavailable
from gateway.recording.unsealing import NotEntitled, add_options, authenticate
from gateway.terminal import safe

DIRECTIONS = {"in": "inbound", "out": "outbound", "internal": "internal"}
VERDICTS = {
    "relay": "RELAYED 已转发",
    "deliver": "DELIVERED to the queue 已排队投递",
    "hold": "HELD for approval 待审批",
    "quarantine": "QUARANTINED 已隔离",
    "refuse": "REFUSED 已拒收",
    "delay": "DELAYED 延迟投递",
}
NEXT = {"hold": "held show", "quarantine": "held show"}
Slots = dict[str, str | None]


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "trace",
        help="one message's way, from the log 追踪一封邮件",
        description="Every step of one message, with times, findings, rules and the proof that it stands in the log. Addresses are\n"
        "masked; --reveal opens a field for an auditor or admin, and that is an event.\n"
        "一封邮件的全过程：时间、发现、规则与日志证明。地址默认打码；--reveal 打开字段须审计员或管理员身份，且会被记录。",
        epilog="examples 示例:\n  sealgate trace 01KAMZ3W8Q0000000000000M01\n"
        "  sealgate trace 01KAMZ3W8Q0000000000000M01 --reveal from --as li --purpose 'complaint 17'",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("id", metavar="ID", help="message id from the 250 reply, or an event id 邮件或事件编号")
    parser.add_argument("--config", type=Path, default=Path("sealgate.toml"), help="configuration file 配置文件")
    parser.add_argument(
        "--reveal", action="append", default=[], metavar="FIELD", help="from, to, subject, ip ... 打开字段"
    )
    parser.add_argument("--purpose", default="", help="why it is opened 查看目的")
    parser.add_argument("--json", action="store_true", help="a JSON object for each event 每个事件一个 JSON 对象")
    add_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Exit 0: shown and proven; 1: not found, or not proven; 2: not entitled."""
    config = configuration.load(arguments.config)
    where = paths(config.gateway.state_dir)
    try:
        view = LogView.open(where.audit)
        events = collect(view, arguments.id)
        if not events:
            print(f"{arguments.id}: no event names this message 日志中没有此邮件", file=sys.stderr)
            return 1
        shown = _slots(config, view, events, arguments)
        lines = (
            records(view, events, shown) if arguments.json else wrapped(render(view, events, shown), terminal_width())
        )
        print("\n".join(lines))
    except NotEntitled as error:
        print(error, file=sys.stderr)
        return 2
    except FileNotFoundError:
        print(f"{where.audit}: there is no log yet 尚无日志", file=sys.stderr)
        return 1
    except LogDamaged as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _slots(config: Config, view: LogView, events: Sequence[Stored], arguments: argparse.Namespace) -> list[Slots]:
    """Per event what may be shown: masked, or opened where that was asked for; nothing without a keeper."""
    lines = [stored.line for stored in events]
    origin = view.identity.origin
    person = None
    if arguments.reveal:
        if not arguments.purpose:
            raise NotEntitled("say why a field is opened: --purpose TEXT 请用 --purpose 注明目的")
        person = authenticate(config, arguments.who, arguments.code)
    try:
        with KeeperClient(paths(config.gateway.state_dir).socket) as keeper:
            shown = keeper.masked(origin, lines, [])
            if person is not None:
                wanted = [*arguments.reveal, *(f"{name}*" for name in arguments.reveal)]
                query = f"trace {arguments.id}"
                opened = keeper.opened(origin, lines, wanted, person.name, person.role, arguments.purpose, query)
                shown = [{**one, **two} for one, two in zip(shown, opened, strict=True)]
            return shown
    except KeeperUnavailable as error:
        print(error, file=sys.stderr)
        return [{} for _ in events]


def render(view: LogView, events: Sequence[Stored], shown: Sequence[Slots]) -> list[str]:
    """The trace as lines. Raises LogDamaged if an event can't be proven."""
    decided = next((number for number, stored in enumerate(events) if stored.text("type") == DECIDED), 0)
    head = events[decided]
    parts = [
        stored for stored in events if stored.text("type") == "message.part" and stored.text("prev") == head.text("id")
    ]
    record = joined(head.record, [part.record for part in parts])
    slots: Slots = {}
    for stored, one in zip(events, shown, strict=True):
        if stored is head or stored in parts:
            slots.update(one)
    lines = _heading(head, record, slots)
    lines += _steps(head, record, slots)
    base = max((step[1] + step[2] for step in _rows(record, "steps", 3)), default=0.0)
    for stored, one in zip(events, shown, strict=True):
        at_ms = base + (stored.at - head.at).total_seconds() * 1000
        lines.append(_event(stored, one, at_ms))
        lines += _reply(stored, record, at_ms)
    return lines + _ending(view, events, head)


def records(view: LogView, events: Sequence[Stored], shown: Sequence[Slots]) -> list[str]:
    """The same for scripts: each event as stored but for its ciphertexts, what may be shown of them, and the checkpoint that proves it.

    Raises LogDamaged if an event can't be proven.
    """
    lines = []
    for stored, slots in zip(events, shown, strict=True):
        head = view.prove(stored.index)
        event = {name: value for name, value in stored.record.items() if name != "sealed"}
        proof = {"checkpoint": head.size, "origin": head.origin}
        lines.append(
            json.dumps({"index": stored.index, "event": event, "shown": slots, "proof": proof}, ensure_ascii=False)
        )
    return lines


def _heading(head: Stored, record: dict[str, Any], slots: Slots) -> list[str]:
    at = head.at.astimezone()
    verdict = VERDICTS.get(head.text("outcome"), head.text("outcome"))
    direction = DIRECTIONS.get(head.text("dir"), head.text("dir"))
    people = ", ".join(_field(slots, name) for name in _sealed_names(head, slots) if name.rstrip("0123456789") == "to")
    read = record.get("read") if isinstance(record.get("read"), dict) else {}
    size = f"{read.get('size', 0):,}".replace(",", " ") if isinstance(read, dict) else "0"
    pieces = read.get("parts", 0) if isinstance(read, dict) else 0
    return [
        f"{head.text('msg')}  {direction}  {at.strftime('%Y-%m-%d %H:%M:%S')} {at.strftime('%z')[:3]}:{at.strftime('%z')[3:]}   {verdict}",
        f"from {_field(slots, 'from')}  to {people or '[sealed]'}  {size} bytes, {pieces} parts"
        '     (--reveal from --purpose "..." opens a field; that is an event)',
    ]


def _sealed_names(head: Stored, slots: Slots) -> list[str]:
    return sorted(set(head.sealed) | set(slots), key=lambda name: (name.rstrip("0123456789"), len(name), name))


def _steps(head: Stored, record: dict[str, Any], slots: Slots) -> list[str]:
    lines = ["    at ms  took  step               result", *_connect(head, slots)]
    for name, began, took, *note in _rows(record, "steps", 3):
        lines.append(_row(began, took, str(name), str(note[0]) if note else ""))
    evidence = _evidence(slots.get("excerpt") or "")
    for item in record.get("findings") or ():
        if isinstance(item, dict):
            code, count = str(item.get("code", "")), item.get("count", 1)
            where = f", part {item['part']}" if item.get("part") else ""
            about = f"  {item['about']}" if item.get("about") else ""
            lines.append(_row(None, None, "  finding", safe(f"{code}  {count}x{where}{about}{evidence.get(code, '')}")))
    policy = record.get("policy")
    if isinstance(policy, dict):
        matched = policy.get("matched") or ()
        version = str(policy.get("version", "")).removeprefix("sha256:")[:12]
        text = f"policy {version}, {policy.get('rules', 0)} rules, {len(matched)} matched -> {policy.get('disposition', '')}"
        lines.append(_row(None, None, "  policy", text))
        lines += [f"{'':24}+ {_rule(rule)}" for rule in matched]
        lines += [f"{'':24}- {_rule(rule)}" for rule in policy.get("missed") or ()]
    return lines


def _connect(head: Stored, slots: Slots) -> list[str]:
    """Who brought it, as far as that may be shown: a client, or a hop that named one; nothing for mail that we wrote ourselves."""
    if not head.text("listener"):
        return []
    client, hop = _field(slots, "ip"), _field(slots, "hop")
    by = f" by {hop}" if hop not in (client, "[sealed]", "<>") else ""
    return [
        _row(
            0.0,
            None,
            "connect",
            f"{client}{by}, listener {safe(head.text('listener'))}, {head.text('tls') or 'no TLS'}",
        )
    ]


def _reply(stored: Stored, record: dict[str, Any], at_ms: float) -> list[str]:
    """What the client was told once this event was durable, where that follows from it (law 1); nothing where it doesn't."""
    kind, code = stored.text("type"), stored.record.get("code")
    if kind == DECIDED and stored.text("listener") and record.get("intent") == "custody":
        reason = stored.text("reason")
        said = f"{stored.text('outcome')} by {safe(reason)}" if reason else "accepted for delivery"
        text = f"250 2.0.0 {said}, id {stored.text('msg')}"
    elif kind == DECIDED and record.get("intent") == "refuse" and code:
        text = f"{code} {stored.text('enhanced')} [{stored.text('msg')}]"
    elif kind in ("message.relayed", "message.refused") and code and record.get("intent") == "relay":
        said = f"{code} {stored.text('enhanced')}".rstrip()
        text = f"{said}, the next hop's own answer [{stored.text('msg')}]"
    else:
        return []
    return [_row(at_ms, None, "reply", text)]


def _rule(rule: object) -> str:
    if isinstance(rule, list | tuple):
        return safe("   ".join(str(word) for word in rule))
    if isinstance(rule, dict):
        return safe("   ".join(str(word) for word in rule.values()))
    return safe(str(rule))


def _evidence(excerpt: str) -> dict[str, str]:
    """Masked evidence by code, from the sealed excerpt: one finding a line, its code first."""
    found: dict[str, str] = {}
    for line in excerpt.split("\n"):
        code, _, rest = line.partition(" ")
        if rest:
            found.setdefault(code, f": {rest.partition(' ')[2].strip()}")
    return found


def _event(stored: Stored, slots: Slots, at_ms: float) -> str:
    text = f"#{stored.index} {stored.text('type')} durable ({stored.text('outcome')})"
    if stored.record.get("code"):
        text += f"  {stored.record['code']} {stored.text('enhanced')}".rstrip()
    if stored.text("hop"):
        text += f" by {safe(stored.text('hop'))}"
    treated = stored.record.get("treated")
    if isinstance(treated, list) and treated:
        text += f"  treated 已处理: {safe(', '.join(map(str, treated)))}"
    if slots.get("reply") not in (None, "***"):
        text += f': "{safe(slots["reply"] or "")}"'
    return _row(at_ms, None, "log", text)


def _ending(view: LogView, events: Sequence[Stored], head: Stored) -> list[str]:
    for stored in events:
        checkpoint = view.prove(stored.index)
    outcome = next((stored for stored in reversed(events) if stored is not head and _hop(stored)), None)
    hop = f"next hop: {safe(_hop(outcome))}, {safe(outcome.text('outcome'))}." if outcome else "next hop: none."
    numbers = ", ".join(f"#{stored.index}" for stored in events)
    states = _states(events)
    lines = [f"now 现状: {state}  {' / '.join(MEANINGS[state])}" for state in sorted(states)]
    lines += [f"{hop}   proof: {numbers} in checkpoint {checkpoint.size} of {checkpoint.origin}, verified 已验证"]
    if head.text("outcome") in NEXT and (not states or HELD & states):
        lines.append(f"next 下一步: sealgate {NEXT[head.text('outcome')]} {head.text('msg')}")
    return lines


def _hop(stored: Stored) -> str:
    """Who was spoken to: not every step of a delivery is an attempt."""
    tried = stored.text("type").startswith("message.") and stored.text("type") != "message.released"
    return stored.text("hop") or (stored.text("next_hop") if tried else "")


def _states(events: Sequence[Stored]) -> set[State]:
    """What has become of the message's deliveries, as far as the log says; empty if nothing has happened to them yet."""
    last = {stored.text("delivery"): stored.text("outcome") for stored in events if stored.text("delivery")}
    return {state for state in State if state.value in last.values()}


def _rows(record: dict[str, Any], key: str, width: int) -> list[list[Any]]:
    rows = record.get(key)
    return [row for row in rows if isinstance(row, list) and len(row) >= width] if isinstance(rows, list) else []


def _row(at_ms: float | None, took_ms: float | None, step: str, result: str) -> str:
    at = "" if at_ms is None else f"{at_ms:.1f}"
    took = "" if took_ms is None else f"{took_ms:.1f}"
    return f"{at:>9} {took:>5}  {step:<18} {result}".rstrip()


def _field(slots: Slots, name: str) -> str:
    if name not in slots:
        return "[sealed]"
    text = slots[name]
    return "[erased 已删除]" if text is None else safe(text) or "<>"
