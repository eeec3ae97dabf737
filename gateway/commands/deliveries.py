"""What `sealgate held` and `sealgate queue` have in common: options, the list, the page of one message, and errors in words."""

import argparse
import asyncio
import getpass
import json
import shutil
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from gateway.config import Config
from gateway.custody import listing
from gateway.custody.custody import Busy, CustodyUnavailable
from gateway.custody.delivery import Delivery, IllegalMove
from gateway.custody.people import Refused
from gateway.custody.release import Gone
from gateway.judging.loading import JudgeError
from gateway.recording.recorder import RecorderUnavailable
from gateway.recording.seen import findings
from gateway.store.errors import StoreDamaged, StoreUnavailable
from gateway.store.opening import open_store
from gateway.store.protocol import MAX_PAGE, Filter, Store

MAX_CODE_LINE = 64
MAX_IDS = 100
"""Messages that one code answers: what a person has looked at before."""
TROUBLE = (StoreUnavailable, StoreDamaged, RecorderUnavailable, CustodyUnavailable, JudgeError)


def add_proof(parser: argparse.ArgumentParser) -> None:
    """Who acts, and how the code comes."""
    parser.add_argument("--operator", "--as", required=True, metavar="NAME", help="who you are 操作员")
    parser.add_argument("--code", choices=["-"], help="- reads the TOTP code from standard input 从标准输入读取验证码")


def add_ids(parser: argparse.ArgumentParser) -> None:
    """Which messages; several are answered with one code."""
    parser.add_argument("id", nargs="+", metavar="ID", help="message or delivery ids 邮件或投递编号，可多个")


def add_page(parser: argparse.ArgumentParser) -> None:
    """How much of a list, and in which form."""
    parser.add_argument(
        "--limit", type=int, default=50, metavar="N", help=f"at most so many, up to {MAX_PAGE} 最多条数"
    )
    parser.add_argument("--after", default="", metavar="CURSOR", help="go on behind this cursor 从此处继续")
    add_json(parser)


def add_json(parser: argparse.ArgumentParser) -> None:
    """For scripts."""
    parser.add_argument("--json", action="store_true", help="a JSON object a line, for scripts 每行一个 JSON 对象")


def add_config(parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int]) -> None:
    """Where the configuration is, and what runs."""
    parser.add_argument("--config", type=Path, default=Path("sealgate.toml"), help="configuration file 配置文件")
    parser.set_defaults(run=run)


def guarded(work: Callable[[], Awaitable[int]]) -> int:
    """Run, and turn what may go wrong into a line that says what to do."""

    async def awaited() -> int:
        return await work()

    try:
        return asyncio.run(awaited())
    except Refused as refused:
        print(f"refused 已拒绝: {refused}", file=sys.stderr)
    except Busy:
        print("somebody else just changed it: look again 他人刚刚更改了它，请重新查看", file=sys.stderr)
    except Gone:
        print("it is no longer there 邮件已不在", file=sys.stderr)
    except IllegalMove as error:
        print(f"not possible in this state 当前状态不可执行: {error}", file=sys.stderr)
    except RecorderUnavailable as error:
        print(
            f"the log cannot be written, so nothing was changed: is the gateway running? "
            f"审计日志不可写，未作更改；网关是否在运行？ ({error})",
            file=sys.stderr,
        )
    except TROUBLE as error:
        print(f"not possible now 暂时无法完成: {error}", file=sys.stderr)
    return 1


def read_code(arguments: argparse.Namespace) -> str:
    """The TOTP code, from standard input or asked for without echo."""
    if arguments.code == "-":
        return sys.stdin.readline(MAX_CODE_LINE).strip()
    return getpass.getpass("TOTP code 验证码: ").strip()


def too_many(ids: Sequence[str]) -> bool:
    """Whether more are named than one code answers; said if so."""
    if len(ids) <= MAX_IDS:
        return False
    print(f"at most {MAX_IDS} at once 一次最多 {MAX_IDS} 封", file=sys.stderr)
    return True


async def find(store: Store, wanted: str) -> tuple[Delivery, ...]:
    """By delivery id, else all deliveries of a message, oldest first."""
    one = await store.delivery(wanted)
    if one is not None:
        return (one,)
    return tuple(reversed((await store.page(Filter(message_id=wanted), limit=MAX_PAGE)).deliveries))


async def find_all(store: Store, wanted: Sequence[str]) -> tuple[tuple[Delivery, ...], tuple[str, ...]]:
    """The deliveries of these ids, each once, and the ids that are nothing here. At most MAX_IDS (``too_many``)."""
    found: dict[str, Delivery] = {}
    missing: list[str] = []
    for each in dict.fromkeys(wanted):
        deliveries = await find(store, each)
        found.update({delivery.id: delivery for delivery in deliveries})
        missing += [] if deliveries else [each]
    return tuple(found.values()), tuple(missing)


def nothing(wanted: str) -> int:
    """Exit status for an id that is not there, which is said."""
    print(
        f"{listing.safe(wanted)}: not in custody; see sealgate trace 不在保管中，请用 sealgate trace 查询",
        file=sys.stderr,
    )
    return 2


async def listed(config: Config, arguments: argparse.Namespace, wanted: Filter, *, delivery_ids: bool) -> int:
    """Print one page. ``delivery_ids``: each line begins with the delivery's own id."""
    if not 1 <= arguments.limit <= MAX_PAGE:
        print(f"--limit is 1 to {MAX_PAGE} 须为 1 到 {MAX_PAGE}", file=sys.stderr)
        return 2
    store = await open_store(config)
    try:
        page = await store.page(wanted, arguments.after, arguments.limit)
        if arguments.json:
            for delivery in page.deliveries:
                print(json.dumps(listing.record(delivery, await store.held(delivery.message_id)), ensure_ascii=False))
            if page.next:
                print(f"--after {page.next}", file=sys.stderr)
            return 0
        width = terminal_width()
        narrow = bool(width) and width < listing.width(delivery_ids=delivery_ids)
        if page.deliveries and not narrow:
            print(listing.heading(delivery_ids=delivery_ids))
        for delivery in page.deliveries:
            held = await store.held(delivery.message_id)
            lines = (
                listing.stacked(delivery, held) if narrow else [listing.row(delivery, held, delivery_ids=delivery_ids)]
            )
            print("\n".join(lines))
        print(listing.counts(await store.counts()))
        if page.next:
            print(f"more 更多: --after {page.next}")
        elif page.deliveries:
            print(f"next 下一步: sealgate {arguments.command} show ID")
    finally:
        await store.close()
    return 0


def terminal_width() -> int:
    """Columns of the terminal; 0 into a pipe or a file, whatever the shell's COLUMNS says: scripts count on whole lines."""
    return shutil.get_terminal_size((0, 0)).columns if sys.stdout.isatty() else 0


async def shown(config: Config, arguments: argparse.Namespace) -> int:
    """Print all that may be shown of one message."""
    store = await open_store(config)
    try:
        found = await find(store, arguments.id)
        for delivery in found:
            held = await store.held(delivery.message_id)
            if held is None:
                continue
            if arguments.json:
                print(json.dumps(listing.record(delivery, held), ensure_ascii=False))
            else:
                page = listing.page(delivery, held, findings(config, delivery.message_id))
                print("\n".join(listing.wrapped(page, terminal_width())) + "\n")
    finally:
        await store.close()
    return 0 if found else nothing(arguments.id)
