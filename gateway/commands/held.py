"""sealgate held: what waits for somebody's answer, and the answering."""

import argparse
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from audit.event import Event, Secret
from gateway import config as configuration
from gateway.commands import deliveries
from gateway.commands.deliveries import guarded, nothing, read_code
from gateway.config import Config, Operator
from gateway.custody import listing, people
from gateway.custody.custody import Busy
from gateway.custody.delivery import HELD, Delivery, State
from gateway.custody.desk import Desk, ids, now, open_desk, open_releaser
from gateway.custody.release import Gone, Released, Releaser, Waiting
from gateway.store.protocol import Filter

ORIGINAL_ROLES = frozenset({people.APPROVER, "auditor"})
SHOWN = frozenset({*HELD, State.UNDELIVERABLE, State.OUTCOME_UNKNOWN})


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "held",
        help="see and answer held mail 查看与审批被扣留的邮件",
        description="What waits for an answer. A release is judged again; new reasons ask anew.\n"
        "查看并审批被扣留的邮件。放行时重新扫描与裁决，出现新的原因须再次审批。",
        epilog="examples 示例:\n  sealgate held list --rule outbound-company-words\n"
        "  sealgate held list --json\n"
        "  sealgate held show 01KAMZ3W8Q0000000000000M01\n"
        "  sealgate held release 01KAMZ3W8Q0000000000000M01 --operator wang.fang\n"
        "  sealgate held release 01KAMZ3W8Q0000000000000M01 01KAMZ3W8Q0000000000000M02 --operator wang.fang\n"
        "  sealgate held reject 01KAMZ3W8Q0000000000000M01 --operator wang.fang --comment '价格有误'\n"
        "  sealgate held original 01KAMZ3W8Q0000000000000M01 --operator wang.fang --purpose 'complaint 17' --out mail.eml\n\n"
        "The code is asked for, or read from standard input with --code - ; never an argument: others see the process list.\n"
        "验证码由提示输入，或以 --code - 从标准输入读取；不可写在命令行，他人可见进程列表。",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    listed = verbs.add_parser("list", help="what is held, newest first 列出")
    listed.add_argument("--address", default="", help="of sender or recipient, whole 发件人或收件人完整地址")
    listed.add_argument("--rule", default="", help="held by this rule 规则名")
    deliveries.add_page(listed)
    shown = verbs.add_parser("show", help="one message 查看一封")
    shown.add_argument("id", metavar="ID", help="message or delivery id 邮件或投递编号")
    deliveries.add_json(shown)
    for name, words in (("release", "let it go 放行"), ("reject", "say no 拒绝")):
        answer = verbs.add_parser(name, help=words)
        deliveries.add_ids(answer)
        deliveries.add_proof(answer)
        answer.add_argument("--comment", default="", help="for the log, sealed 审批意见")
    verbs.choices["release"].add_argument(
        "--redirect",
        default="",
        metavar="ADDRESS",
        help="where rules redirect differently: this one 规则改投不一致时选定",
    )
    original = verbs.add_parser("original", help="the bytes as accepted, into a file; an event 导出原件，记入日志")
    original.add_argument("id", metavar="ID", help="message or delivery id 邮件或投递编号")
    original.add_argument("--out", type=Path, required=True, help="a file that is not there yet 输出文件")
    original.add_argument("--purpose", required=True, help="why; for the log, sealed 目的")
    deliveries.add_proof(original)
    for each in verbs.choices.values():
        deliveries.add_config(each, run)


def run(arguments: argparse.Namespace) -> int:
    """Exit 0: done; 1: not done, and why; 2: no such mail, or wrong use."""
    config = configuration.load(arguments.config)
    work = {"list": _list, "show": deliveries.shown, "release": _release, "reject": _reject, "original": _original}[
        arguments.verb
    ]
    return guarded(lambda: work(config, arguments))


async def _list(config: Config, arguments: argparse.Namespace) -> int:
    wanted = Filter(states=SHOWN, address=arguments.address, rule=arguments.rule)
    return await deliveries.listed(config, arguments, wanted, delivery_ids=False)


Answer = Callable[[Desk, Releaser, Operator, Delivery], Awaitable[int]]


async def _answered(config: Config, arguments: argparse.Namespace, answer: Answer) -> int:
    """Prove first: who is not proven learns nothing about what is there. One code answers for all that are named."""
    if deliveries.too_many(arguments.id):
        return 2
    code = read_code(arguments)
    status = 0
    async with open_desk(config, "held") as desk:
        operator = await desk.people.prove(arguments.operator, code)
        found, missing = await deliveries.find_all(desk.custody.store, arguments.id)
        for wanted in missing:
            status = max(status, nothing(wanted))
        async with open_releaser(desk) as releaser:
            for delivery in found:
                status = max(status, await _one(desk, releaser, operator, delivery, answer))
    return status


async def _one(desk: Desk, releaser: Releaser, operator: Operator, delivery: Delivery, answer: Answer) -> int:
    """One of several: what is refused or gone does not keep the others from being answered."""
    name = delivery.message_id
    if delivery.state not in HELD:
        zh, en = f"未被扣留，当前为 {delivery.state}", f"is not held, it is {delivery.state}"
        print(f"{name}: {en} {zh}; sealgate queue show {delivery.id}", file=sys.stderr)
        return 1
    try:
        return await answer(desk, releaser, operator, delivery)
    except people.Refused as refused:
        print(f"refused 已拒绝 {name}: {refused}", file=sys.stderr)
    except Busy:
        print(f"{name}: somebody else just changed it: look again 他人刚刚更改了它，请重新查看", file=sys.stderr)
    except Gone:
        print(f"{name}: it is no longer there 邮件已不在", file=sys.stderr)
    return 1


async def _release(config: Config, arguments: argparse.Namespace) -> int:
    async def answer(desk: Desk, releaser: Releaser, operator: Operator, delivery: Delivery) -> int:
        return _said(await releaser.release(delivery, operator, arguments.comment, arguments.redirect))

    return await _answered(config, arguments, answer)


def _said(result: Released | Waiting) -> int:
    name = result.delivery.message_id
    if isinstance(result, Released):
        print(f"released 已放行 {name}; judged again, the approval covers it 重新裁决，审批有效")
        print(f"  next 下一步: sealgate trace {name}")
        return 0
    why = (
        "judged again, and new reasons ask anew 重新裁决后出现新的原因"
        if result.anew
        else "this is still open 尚有未解决的原因"
    )
    print(f"still held 仍被扣留 {name}: {why}")
    for reason in result.reasons:
        print(f"  {reason.rule}  {listing.safe(reason.title.zh)} / {listing.safe(reason.title.en)}")
        print(f"    {listing.who_may(reason)}")
        print("".join(f"    {line}\n" for line in listing.remedy(reason, result.delivery)), end="")
    return 1


async def _reject(config: Config, arguments: argparse.Namespace) -> int:
    async def answer(desk: Desk, releaser: Releaser, operator: Operator, delivery: Delivery) -> int:
        held = await desk.custody.store.held(delivery.message_id)
        releaser.may_reject(delivery, held, operator)
        told = False
        if held is not None:
            # Told first: a crash in between leaves mail held that its sender thinks refused, not the reverse.
            told = await desk.notices.ended(held, delivery, expired=False, comment=arguments.comment)
        await releaser.reject(delivery, operator, arguments.comment)
        word = "its sender is told 已通知发件人" if told else "nobody is told 未通知任何人"
        print(f"rejected 已拒绝 {delivery.message_id}; {word}")
        return 0

    return await _answered(config, arguments, answer)


async def _original(config: Config, arguments: argparse.Namespace) -> int:
    """The event is durable before a byte is shown."""
    code = read_code(arguments)
    async with open_desk(config, "held") as desk:
        operator = await desk.people.prove(arguments.operator, code)
        if not ORIGINAL_ROLES & set(operator.roles):
            raise people.Refused("需要 approver 或 auditor 角色", "this needs the role approver or auditor")
        found = await deliveries.find(desk.custody.store, arguments.id)
        raw = await desk.custody.raw(found[0].message_id) if found else None
        if raw is None:
            return nothing(arguments.id)
        await _tell(desk, operator, found[0], arguments.purpose)
        try:
            with os.fdopen(os.open(arguments.out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(raw)
        except OSError as error:
            print(f"{arguments.out}: {error.strerror} 无法写入", file=sys.stderr)
            return 1
    print(f"{len(raw)} bytes -> {arguments.out}  sha256 {found[0].content}")
    return 0


async def _tell(desk: Desk, operator: Operator, delivery: Delivery, purpose: str) -> None:
    event = Event(
        ids(), "audit.view_sealed", now(), people.actor(operator), "exported", msg=delivery.message_id,
        public={"delivery": delivery.id, "what": "original"}, sealed={"purpose": Secret(purpose[:500])}, prev=delivery.decided,
    )  # fmt: skip
    await desk.recorder.record([event], await desk.recorder.message_key(delivery.addresses))
