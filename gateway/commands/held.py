"""sealgate held: what waits for somebody's answer, and the answering."""

import argparse
import asyncio
import getpass
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from audit.event import Event, Secret
from gateway import config as configuration
from gateway.config import Config, Operator
from gateway.custody import listing, people
from gateway.custody.custody import Busy, CustodyUnavailable
from gateway.custody.delivery import HELD, Delivery, State
from gateway.custody.desk import Desk, ids, now, open_desk, open_releaser, open_store
from gateway.custody.release import Gone, Released, Waiting
from gateway.judging.loading import JudgeError
from gateway.recording.recorder import RecorderUnavailable
from gateway.recording.seen import findings
from gateway.store.errors import StoreDamaged, StoreUnavailable
from gateway.store.protocol import MAX_PAGE, Filter, Store

MAX_CODE_LINE = 64
ORIGINAL_ROLES = frozenset({people.APPROVER, "auditor"})
SHOWN = frozenset({*HELD, State.UNDELIVERABLE, State.OUTCOME_UNKNOWN})
TROUBLE = (StoreUnavailable, StoreDamaged, RecorderUnavailable, CustodyUnavailable, JudgeError)


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "held",
        help="see and answer held mail 查看与审批被扣留的邮件",
        description="What waits for an answer. A release is judged again; new reasons ask anew.\n"
        "查看并审批被扣留的邮件。放行时重新扫描与裁决，出现新的原因须再次审批。",
        epilog="examples 示例:\n  sealgate held list --rule outbound-contract-price\n"
        "  sealgate held show 01KAMZ3W8Q0000000000000M01\n"
        "  sealgate held release 01KAMZ3W8Q0000000000000M01 --operator wang.fang\n"
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
    listed.add_argument("--limit", type=int, default=50, help="at most so many 最多条数")
    listed.add_argument("--after", default="", help="go on behind this cursor 从此处继续")
    shown = verbs.add_parser("show", help="one message 查看一封")
    shown.add_argument("id", help="message or delivery id 邮件或投递编号")
    for name, words in (("release", "let it go 放行"), ("reject", "say no 拒绝")):
        answer = verbs.add_parser(name, help=words)
        answer.add_argument("id", help="message or delivery id 邮件或投递编号")
        add_proof(answer)
        answer.add_argument("--comment", default="", help="for the log, sealed 审批意见")
    verbs.choices["release"].add_argument(
        "--redirect",
        default="",
        metavar="ADDRESS",
        help="where rules redirect differently: this one 规则改投不一致时选定",
    )
    original = verbs.add_parser("original", help="the bytes as accepted, into a file; an event 导出原件，记入日志")
    original.add_argument("id", help="message or delivery id 邮件或投递编号")
    original.add_argument("--out", type=Path, required=True, help="a file that is not there yet 输出文件")
    original.add_argument("--purpose", required=True, help="why; for the log, sealed 目的")
    add_proof(original)
    for each in verbs.choices.values():
        each.add_argument("--config", type=Path, default=Path("sealgate.toml"), help="configuration file 配置文件")
        each.set_defaults(run=run)


def add_proof(parser: argparse.ArgumentParser) -> None:
    """Who acts, and how the code comes."""
    parser.add_argument("--operator", required=True, help="who you are 操作员")
    parser.add_argument("--code", choices=["-"], help="- reads the TOTP code from standard input 从标准输入读取验证码")


def run(arguments: argparse.Namespace) -> int:
    """Exit 0: done; 1: not done, and why; 2: no such mail, or wrong use."""
    config = configuration.load(arguments.config)
    work = {"list": _list, "show": _show, "release": _release, "reject": _reject, "original": _original}[arguments.verb]
    return guarded(lambda: work(config, arguments))


def guarded(work: Callable[[], Awaitable[int]]) -> int:
    """Run, and turn what may go wrong into a line that says what to do."""

    async def awaited() -> int:
        return await work()

    try:
        return asyncio.run(awaited())
    except people.Refused as refused:
        print(f"refused 已拒绝: {refused}", file=sys.stderr)
    except Busy:
        print("somebody else just changed it: look again 他人刚刚更改了它，请重新查看", file=sys.stderr)
    except Gone:
        print("it is no longer there 邮件已不在", file=sys.stderr)
    except RecorderUnavailable as error:
        print(f"the log cannot be written, so nothing was changed 审计日志不可写，未作更改: {error}", file=sys.stderr)
    except TROUBLE as error:
        print(f"not possible now 暂时无法完成: {error}", file=sys.stderr)
    return 1


def read_code(arguments: argparse.Namespace) -> str:
    """The TOTP code, from standard input or asked for without echo."""
    if arguments.code == "-":
        return sys.stdin.readline(MAX_CODE_LINE).strip()
    return getpass.getpass("TOTP code 验证码: ").strip()


async def find(store: Store, wanted: str) -> tuple[Delivery, ...]:
    """By delivery id, else all deliveries of a message, oldest first."""
    one = await store.delivery(wanted)
    if one is not None:
        return (one,)
    return tuple(reversed((await store.page(Filter(message_id=wanted), limit=MAX_PAGE)).deliveries))


async def _list(config: Config, arguments: argparse.Namespace) -> int:
    store = await open_store(config)
    try:
        wanted = Filter(states=SHOWN, address=arguments.address, rule=arguments.rule)
        page = await store.page(wanted, arguments.after, arguments.limit)
        if page.deliveries:
            print(listing.heading())
        for delivery in page.deliveries:
            print(listing.row(delivery, await store.held(delivery.message_id)))
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
                seen = findings(config, delivery.message_id)
                print("\n".join(listing.page(delivery, held, seen)) + "\n")
    finally:
        await store.close()
    return 0 if found else _nothing(arguments.id)


def _nothing(wanted: str) -> int:
    print(
        f"{listing.safe(wanted)}: not in custody; see sealgate trace 不在保管中，请用 sealgate trace 查询",
        file=sys.stderr,
    )
    return 2


async def _answered(config: Config, arguments: argparse.Namespace, answer: "Answer") -> int:
    """Prove first: who is not proven learns nothing about what is there."""
    code = read_code(arguments)
    async with open_desk(config, "held") as desk:
        operator = await desk.people.prove(arguments.operator, code)
        found = [delivery for delivery in await find(desk.custody.store, arguments.id) if delivery.state in HELD]
        if not found:
            return _nothing(arguments.id)
        return max([await answer(desk, operator, delivery, arguments.comment) for delivery in found])


Answer = Callable[[Desk, Operator, Delivery, str], Awaitable[int]]


async def _release(config: Config, arguments: argparse.Namespace) -> int:
    async def answer(desk: Desk, operator: Operator, delivery: Delivery, comment: str) -> int:
        async with open_releaser(desk) as (releaser, _):
            result = await releaser.release(delivery, operator, comment, arguments.redirect)
        return _said(result)

    return await _answered(config, arguments, answer)


def _said(result: Released | Waiting) -> int:
    if isinstance(result, Released):
        print(f"released 已放行 {result.delivery.message_id}; judged again, the approval covers it 重新裁决，审批有效")
        return 0
    why = (
        "judged again, and new reasons ask anew 重新裁决后出现新的原因"
        if result.anew
        else "others must answer too 尚需他人审批"
    )
    print(f"still held 仍被扣留 {result.delivery.message_id}: {why}")
    for reason in result.reasons:
        who = ", ".join(reason.approvers) or "approver"
        may = f"may answer 可审批: {who}" if reason.waivable else "nobody may release 不可放行"
        print(f"  {reason.rule}  {listing.safe(reason.title.zh)} / {listing.safe(reason.title.en)}; {may}")
    return 1


async def _reject(config: Config, arguments: argparse.Namespace) -> int:
    async def answer(desk: Desk, operator: Operator, delivery: Delivery, comment: str) -> int:
        async with open_releaser(desk) as (releaser, _):
            held = await desk.custody.store.held(delivery.message_id)
            releaser.may_reject(delivery, held, operator)
            if (
                held is not None
            ):  # told first: a crash in between leaves mail held that its sender thinks refused, not the reverse
                await desk.notices.ended(held, delivery, expired=False, comment=comment)
            await releaser.reject(delivery, operator, comment)
        print(f"rejected 已拒绝 {delivery.message_id}")
        return 0

    return await _answered(config, arguments, answer)


async def _original(config: Config, arguments: argparse.Namespace) -> int:
    """The event is durable before a byte is shown."""
    code = read_code(arguments)
    async with open_desk(config, "held") as desk:
        operator = await desk.people.prove(arguments.operator, code)
        if not ORIGINAL_ROLES & set(operator.roles):
            raise people.Refused("需要 approver 或 auditor 角色", "this needs the role approver or auditor")
        found = await find(desk.custody.store, arguments.id)
        raw = await desk.custody.raw(found[0].message_id) if found else None
        if raw is None:
            return _nothing(arguments.id)
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
