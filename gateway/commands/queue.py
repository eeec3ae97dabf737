"""sealgate queue: what is on its way, and pushing, pausing or ending it."""

import argparse
import sys
from datetime import timedelta
from pathlib import Path

from gateway import config as configuration
from gateway.commands.held import add_proof, find, guarded, read_code
from gateway.config import Config
from gateway.custody import listing, people
from gateway.custody.delivery import TRANSITIONS, Action, State, Verb
from gateway.custody.desk import open_desk, open_store
from gateway.store.protocol import Filter

ROLES = frozenset({"approver", "admin"})
VERBS = {
    "retry": (Verb.RETRY, "try again now 立即重试"),
    "hold": (Verb.HOLD, "pause 暂停"),
    "resume": (Verb.RESUME, "go on after a hold 恢复"),
    "delete": (Verb.DELETE, "end it; it will not be sent 删除，不再投递"),
    "confirm": (Verb.CONFIRM, "outcome unknown: it did arrive 结果未知：确认已送达"),
}


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "queue",
        help="see and steer what is on its way 查看与管理投递队列",
        description="Deliveries in custody. Every change is an event that names its operator.\n"
        "保管中的投递。每次更改都记入审计日志并注明操作员。",
        epilog="examples 示例:\n  sealgate queue list --state queued\n  sealgate queue show 01KAMZ3W8Q0000000000000M01\n"
        "  sealgate queue retry 01KAMZ3W8Q0000000000000D01 --operator wang.fang\n"
        "  sealgate queue hold 01KAMZ3W8Q0000000000000D01 --operator wang.fang\n"
        "  sealgate queue resume 01KAMZ3W8Q0000000000000D01 --operator wang.fang\n"
        "  sealgate queue delete 01KAMZ3W8Q0000000000000D01 --operator wang.fang\n"
        "  sealgate queue confirm 01KAMZ3W8Q0000000000000D01 --operator wang.fang",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    listed = verbs.add_parser("list", help="all that is not finished, newest first 列出")
    states = [state.value for state in State]
    listed.add_argument("--state", choices=states, default="", help="only these 仅此状态")
    listed.add_argument("--address", default="", help="of sender or recipient, whole 完整地址")
    listed.add_argument("--next-hop", default="", help="as in the route 下一跳")
    listed.add_argument("--limit", type=int, default=50, help="at most so many 最多条数")
    listed.add_argument("--after", default="", help="go on behind this cursor 从此处继续")
    shown = verbs.add_parser("show", help="one message 查看一封")
    shown.add_argument("id", help="message or delivery id 邮件或投递编号")
    for name, (_, words) in VERBS.items():
        verb = verbs.add_parser(name, help=words)
        verb.add_argument("id", help="message or delivery id 邮件或投递编号")
        add_proof(verb)
        verb.add_argument("--comment", default="", help="for the log, sealed 说明")
    for each in verbs.choices.values():
        each.add_argument("--config", type=Path, default=Path("sealgate.toml"), help="configuration file 配置文件")
        each.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Exit 0: done; 1: not done, and why; 2: no such delivery, or wrong use."""
    config = configuration.load(arguments.config)
    if arguments.verb == "list":
        return guarded(lambda: _list(config, arguments))
    if arguments.verb == "show":
        return guarded(lambda: _show(config, arguments))
    return guarded(lambda: _change(config, arguments))


async def _list(config: Config, arguments: argparse.Namespace) -> int:
    store = await open_store(config)
    try:
        states = frozenset({State(arguments.state)}) if arguments.state else frozenset()
        wanted = Filter(states=states, address=arguments.address, next_hop=arguments.next_hop)
        page = await store.page(wanted, arguments.after, arguments.limit)
        if page.deliveries:
            print(f"{listing.padded('delivery 投递编号', 30)}  {listing.heading()}")
        for delivery in page.deliveries:
            print(f"{delivery.id:<30}  {listing.row(delivery, await store.held(delivery.message_id))}")
        print(listing.counts(await store.counts()))
        if page.next:
            print(f"more 更多: --after {page.next}")
    finally:
        await store.close()
    return 0


async def _show(config: Config, arguments: argparse.Namespace) -> int:
    store = await open_store(config)
    try:
        found = await find(store, arguments.id)
        for delivery in found:
            held = await store.held(delivery.message_id)
            if held is not None:
                print("\n".join(listing.page(delivery, held)) + "\n")
    finally:
        await store.close()
    return 0 if found else _nothing(arguments.id)


async def _change(config: Config, arguments: argparse.Namespace) -> int:
    verb, _ = VERBS[arguments.verb]
    code = read_code(arguments)
    async with open_desk(config, "queue-command") as desk:
        operator = await desk.people.prove(arguments.operator, code)
        if not ROLES & set(operator.roles):
            raise people.Refused("需要 approver 或 admin 角色", "this needs the role approver or admin")
        found = await find(desk.custody.store, arguments.id)
        fitting = [delivery for delivery in found if (delivery.state, verb) in TRANSITIONS]
        for delivery in fitting:
            now = desk.custody.now()
            due = now + timedelta(days=3650) if verb is Verb.HOLD else now
            action = Action(verb, due=due, comment=arguments.comment)
            (after,) = await desk.custody.change(delivery, action, people.actor(operator))
            print(f"{delivery.id}  {delivery.state} -> {after.state}")
        for delivery in found:
            if delivery not in fitting:
                print(f"{delivery.id}  {delivery.state}: {verb} is not possible now 当前状态不可执行", file=sys.stderr)
    if not found:
        return _nothing(arguments.id)
    return 0 if fitting else 1


def _nothing(wanted: str) -> int:
    print(f"{listing.safe(wanted)}: not in custody 不在保管中; see sealgate trace", file=sys.stderr)
    return 2
