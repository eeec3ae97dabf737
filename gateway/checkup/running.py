"""What runs, and what it writes: the keeper, the decoders, the store, the queue, the log."""

import asyncio
from datetime import UTC, datetime, timedelta

from audit import verify
from gateway.checkup.check import PROBE_S, Check, Health
from gateway.config import Config
from gateway.custody.delivery import State
from gateway.recording.keeper_client import KeeperClient, KeeperUnavailable
from gateway.recording.keeper_protocol import Head, HeadRequest
from gateway.store import opening
from gateway.store.errors import StoreDamaged, StoreUnavailable
from gateway.store.whereabouts import LeftBehind

LATE = timedelta(minutes=15)
"""A delivery that has been due for so long: the queue doesn't do its work."""
SMALL_LOG = 64 << 20
"""Bytes of tiles that are verified by the way; a larger log takes a command of its own."""
GO_BACK = "sealgate serve says what to do; docs/store.md 详见 docs/store.md"


def check_keeper(config: Config) -> Check:
    """The log's writer answers and has room."""
    try:
        with KeeperClient(config.gateway.state_dir / "run" / "keeper.sock") as keeper:
            head = keeper.ask(HeadRequest(1), Head)
    except KeeperUnavailable as error:
        return Check(
            "keeper 审计进程",
            Health.WRONG,
            "无应答",
            str(error),
            "see the gateway's log, then: sealgate audit verify 查看网关日志并校验审计日志",
        )
    if not head.room:
        return Check(
            "keeper 审计进程", Health.WRONG, "磁盘保留空间已用尽", "no room for new mail", "free disk space 请清理磁盘"
        )
    return Check(
        "keeper 审计进程", Health.GOOD, "正常", f"{head.size} events, {head.size - head.published} to be published"
    )


async def check_decoders(config: Config) -> Check:
    """Decoders take jobs."""
    path = config.gateway.state_dir / "run" / "decoder.sock"
    try:
        async with asyncio.timeout(PROBE_S):
            _, writer = await asyncio.open_unix_connection(path)
            writer.transport.abort()
    except (OSError, TimeoutError) as error:
        return Check(
            "decoders 解码进程", Health.WRONG, "无应答", type(error).__name__, "see the gateway's log 查看网关日志"
        )
    return Check("decoders 解码进程", Health.GOOD, "正常", "take jobs")


async def check_store(config: Config) -> Check:
    """The database answers, is ours, and nothing was left in the one before it."""
    subject = "store 存储"
    try:
        await opening.compare(config)
    except LeftBehind as error:
        return Check(subject, Health.WRONG, "可能有投递留在另一数据库中", str(error).partition("\n")[0], GO_BACK)
    except (StoreUnavailable, StoreDamaged) as error:
        return Check(subject, Health.WRONG, "数据库不可用", str(error), "see [store] 检查 [store] 与数据库服务")
    if opening.in_the_clear(config):
        advice = "add ?sslmode=verify-full to [store] url 在 url 后加此参数"
        return Check(subject, Health.REMARK, "数据库连接可能未加密", "the connection may not be encrypted", advice)
    name = "PostgreSQL" if config.store.url else "SQLite"
    return Check(subject, Health.GOOD, f"{name} 正常", f"{name} answers, and is the one in use")


async def check_queue(config: Config) -> Check:
    """Nothing has been due for long: that is how a queue shows that it works."""
    try:
        store = await opening.open_store(config)
        try:
            due, counts = await store.next_due({State.QUEUED}), await store.counts()
        finally:
            await store.close()
    except (StoreUnavailable, StoreDamaged) as error:
        return Check(
            "queue 队列",
            Health.WRONG,
            "存储不可用",
            str(error),
            "is the disk full, the folder ours? 检查磁盘与目录权限",
        )
    waiting = sum(count for state, count in counts.items() if state is State.QUEUED)
    if due is not None and datetime.now(UTC) - due > LATE:
        return Check(
            "queue 队列",
            Health.WRONG,
            "到期邮件未被处理",
            f"mail is due since {due:%Y-%m-%d %H:%M}Z",
            "see the gateway's log for role queue 查看网关日志中的 queue",
        )
    return Check("queue 队列", Health.GOOD, f"排队 {waiting} 封", f"{waiting} waiting, none late")


def check_trouble(config: Config) -> list[Check]:
    """Processes that keep dying, as the supervisor says."""
    folder = config.gateway.state_dir / "run" / "trouble"
    return [
        Check(
            path.name, Health.WRONG, "反复退出", path.read_text("utf-8").strip(), "see the gateway's log 查看网关日志"
        )
        for path in sorted(folder.glob("*"))
    ]


def check_log(config: Config) -> Check:
    """The audit log is whole; verified here and now unless it is too large for that."""
    folder, subject = config.gateway.state_dir / "audit", "audit log 审计日志"
    if not (folder / "checkpoint").exists():
        return Check(subject, Health.REMARK, "尚无日志", "no log yet", "it begins with the first start 首次启动后产生")
    size = sum(path.stat().st_size for path in (folder / "tile").rglob("*") if path.is_file())
    if size > SMALL_LOG:
        return Check(
            subject,
            Health.REMARK,
            "日志较大，未在此校验",
            "too large to verify by the way",
            "run: sealgate audit verify 请运行该命令",
        )
    found = verify.verify(folder)
    if found.mismatches:  # a live writer may have moved on during the pass
        found = verify.verify(folder)
    if found.mismatches:
        return Check(
            subject,
            Health.WRONG,
            "日志不完整",
            found.mismatches[0],
            "sealgate audit verify lists all; keep a copy, then: sealgate audit new-shard 查看全部不符之处，留存副本后启用新日志",
        )
    when = datetime.now(UTC)
    return Check(subject, Health.GOOD, "日志完整，刚刚校验", f"{found.size} events verified at {when:%Y-%m-%d %H:%M}Z")
