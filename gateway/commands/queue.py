"""sealgate queue: what is on its way, and pushing, pausing or ending it."""

import argparse
import sys
from datetime import timedelta

from gateway import config as configuration
from gateway.commands import deliveries
from gateway.commands.deliveries import guarded, nothing, read_code
from gateway.config import Config, Operator
from gateway.custody import people
from gateway.custody.custody import MAX_BATCH
from gateway.custody.delivery import HELD, TRANSITIONS, Action, Delivery, State, Verb
from gateway.custody.desk import Desk, open_desk
from gateway.store.protocol import Filter

FAR = timedelta(days=3650)
"""Until when a paused delivery is left alone: until somebody resumes it."""
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
        "  sealgate queue flush --next-hop smtp://mail.corp.test:25 --operator wang.fang\n"
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
    deliveries.add_page(listed)
    shown = verbs.add_parser("show", help="one message 查看一封")
    shown.add_argument("id", metavar="ID", help="message or delivery id 邮件或投递编号")
    deliveries.add_json(shown)
    for name, (_, words) in VERBS.items():
        verb = verbs.add_parser(name, help=words)
        deliveries.add_ids(verb)
        deliveries.add_proof(verb)
        verb.add_argument("--comment", default="", help="for the log, sealed 说明")
    flush = verbs.add_parser("flush", help="try all that is queued again now 立即重试全部排队邮件")
    flush.add_argument("--next-hop", default="", help="only for this one, as in the route 仅此下一跳")
    deliveries.add_proof(flush)
    flush.add_argument("--comment", default="", help="for the log, sealed 说明")
    for each in verbs.choices.values():
        deliveries.add_config(each, run)


def run(arguments: argparse.Namespace) -> int:
    """Exit 0: done; 1: not done, and why; 2: no such delivery, or wrong use."""
    config = configuration.load(arguments.config)
    work = {"list": _list, "show": deliveries.shown, "flush": _flush}.get(arguments.verb, _change)
    return guarded(lambda: work(config, arguments))


async def _list(config: Config, arguments: argparse.Namespace) -> int:
    states = frozenset({State(arguments.state)}) if arguments.state else frozenset()
    wanted = Filter(states=states, address=arguments.address, next_hop=arguments.next_hop)
    return await deliveries.listed(config, arguments, wanted, delivery_ids=True)


async def _proven(desk: Desk, arguments: argparse.Namespace, code: str) -> Operator:
    operator = await desk.people.prove(arguments.operator, code)
    if not ROLES & set(operator.roles):
        raise people.Refused("需要 approver 或 admin 角色", "this needs the role approver or admin")
    return operator


async def _change(config: Config, arguments: argparse.Namespace) -> int:
    verb, _ = VERBS[arguments.verb]
    if deliveries.too_many(arguments.id):
        return 2
    code = read_code(arguments)
    async with open_desk(config, "queue-command") as desk:
        operator = await _proven(desk, arguments, code)
        found, missing = await deliveries.find_all(desk.custody.store, arguments.id)
        fitting = [delivery for delivery in found if (delivery.state, verb) in TRANSITIONS]
        for delivery in fitting:
            now = desk.custody.now()
            due = now + FAR if verb is Verb.HOLD else now
            action = Action(verb, due=due, comment=arguments.comment)
            (after,) = await desk.custody.change(delivery, action, people.actor(operator))
            print(f"{delivery.id}  {delivery.state} -> {after.state}")
        for delivery in found:
            if delivery not in fitting:
                print(f"{delivery.id}  {delivery.state}: {_instead(delivery, verb)}", file=sys.stderr)
    for wanted in missing:
        nothing(wanted)
    return 2 if missing else 0 if fitting else 1


def _instead(delivery: Delivery, verb: Verb) -> str:
    """Why not, and what is possible."""
    possible = [name for name, (each, _) in VERBS.items() if (delivery.state, each) in TRANSITIONS]
    if delivery.state in HELD:
        possible = ["held release", "held reject", *(f"queue {name}" for name in possible)]
    words = ", ".join(possible) or "nothing 无"
    return f"{verb} is not possible now 当前状态不可执行; possible 可用: {words}"


async def _flush(config: Config, arguments: argparse.Namespace) -> int:
    """All that waits for its next attempt becomes due now, a batch at a time; each is an event."""
    code = read_code(arguments)
    tried, after = 0, ""
    async with open_desk(config, "queue-command") as desk:
        operator = await _proven(desk, arguments, code)
        wanted = Filter(states=frozenset({State.QUEUED}), next_hop=arguments.next_hop)
        while True:
            page = await desk.custody.store.page(wanted, after, MAX_BATCH)
            waiting = [delivery for delivery in page.deliveries if delivery.due > desk.custody.now()]
            action = Action(Verb.RETRY, due=desk.custody.now(), comment=arguments.comment)
            done = await desk.custody.change_all([(each, action) for each in waiting], people.actor(operator))
            tried += sum(each is not None for each in done)
            after = page.next
            if not after:
                break
    print(f"{tried} due now 现在重试 {tried} 封; sealgate queue list --state queued")
    return 0
