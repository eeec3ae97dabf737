"""The machine around the gateway: its state folder, its disk, its descriptors, its clock."""

import asyncio
import ctypes
import os
import resource
import shutil
import stat
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from audit.log import RESERVE_BYTES
from gateway.checkup.check import Check, Health
from gateway.config import Config

SAMPLE_S = 0.25
DRIFT = 0.05
"""Share by which wall clock and monotonic clock may differ over a sample; a clock that is being stepped differs by far more."""
_TIMEX_BYTES = 512
_TIME_ERROR = 5
SPARE_DESCRIPTORS = 256
"""Of a worker beside its clients' connections: next hops, DNS, spooled messages, databases, sockets of its own."""
FUTURE = timedelta(minutes=5)
"""A file of ours that is newer than now by more: the clock was set back since."""


def check_state(config: Config, effective: int) -> Check:
    """The state folder can be written by us (user id ``effective``), and nobody else looks into it."""
    return looking("state 状态目录", lambda: _check_state(config, effective))


def looking(subject: str, check: Callable[[], Check]) -> Check:
    """A check of files, or that we may not look at them: then somebody else's rights are needed."""
    try:
        return check()
    except PermissionError as error:
        advice = "run it as the gateway's user: sudo -u sealgate sealgate doctor 请以网关用户身份运行"
        return Check(subject, Health.WRONG, "无权查看", f"{error.filename}: not for us to look at", advice)


def _check_state(config: Config, effective: int) -> Check:
    subject, state = "state 状态目录", config.gateway.state_dir
    if not state.exists():
        above = next(path for path in state.parents if path.exists())
        if not os.access(above, os.W_OK | os.X_OK):
            advice = f"create it for the gateway's user: install -d -m 0700 -o USER {state} 请为网关用户创建该目录"
            return Check(subject, Health.WRONG, "目录不存在且无法创建", f"{state} is missing, {above} not ours", advice)
        return Check(subject, Health.GOOD, "首次启动时创建", f"{state} is made at the first start")
    if not state.is_dir():
        advice = "move that file away, or set another gateway.state_dir 请移走该文件或另设 state_dir"
        return Check(subject, Health.WRONG, "不是目录", f"{state} is not a folder", advice)
    for folder in (state, *(state / name for name in ("audit", "custody", "keys", "run", "spool"))):
        if folder.exists() and not os.access(folder, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
            advice = f"give it to the gateway's user: chown -R USER {state} 请将其属主改为网关用户"
            return Check(subject, Health.WRONG, "无写权限", f"{folder} can't be written by uid {effective}", advice)
    if stat.S_IMODE(state.stat().st_mode) & 0o077:
        advice = f"chmod 0700 {state}: sealed mail and keys lie in it 其中存有加密邮件与密钥"
        return Check(subject, Health.REMARK, "其他用户可访问", "others may look into it", advice)
    return Check(subject, Health.GOOD, "可写且仅属本用户", f"{state} is ours alone")


def check_descriptors(config: Config, limits: tuple[int, int] | None = None) -> Check:
    """A worker may open as many descriptors as it may have connections, and some more."""
    subject = "descriptors 文件描述符"
    soft, hard = limits or resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = config.limits.connections + SPARE_DESCRIPTORS
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return Check(subject, Health.GOOD, "上限足够", f"{soft} allowed, {wanted} may be needed")
    words = f"{soft} allowed, {wanted} may be needed by a worker"
    room = "" if hard == resource.RLIM_INFINITY or hard >= wanted else f" (the hard limit is {hard} 硬上限)"
    advice = f"LimitNOFILE={wanted} in the unit, or ulimit -n {wanted}{room}; or lower limits.connections 请提高上限或减小 connections"
    return Check(subject, Health.REMARK, "上限偏低", words, advice)


def check_times(config: Config, now: datetime) -> Check:
    """Nothing of ours was written in the future: a clock that was set back makes the log's times run twice."""
    subject, audit = "clock 时钟", config.gateway.state_dir / "audit"
    newest = max(
        (_modified(path) for path in (audit / "checkpoint", *sorted(audit.glob("journal/*.aj"))[-1:])), default=0.0
    )
    ahead = newest - now.timestamp()
    if ahead > FUTURE.total_seconds():
        advice = "compare with `date -u` elsewhere, set it right, keep NTP on 请校准系统时间并启用 NTP"
        words = f"the log was written {timedelta(seconds=int(ahead))} in the future"
        return Check(subject, Health.WRONG, "系统时间被回拨", words, advice)
    return Check(subject, Health.GOOD, "与日志时间一致", "not behind the log")


def _modified(path: Path, look: Callable[[Path], os.stat_result] = os.stat) -> float:
    try:
        return look(path).st_mtime
    except OSError:
        return 0.0


async def check_clock() -> Check:
    """The wall clock goes as fast as the monotonic one; whether it is right is known from NTP only, if at all."""
    wall, steady = time.time(), time.monotonic()
    await asyncio.sleep(SAMPLE_S)
    moved = (time.time() - wall) / (time.monotonic() - steady)
    if abs(moved - 1) > DRIFT:
        return Check(
            "clock 时钟",
            Health.WRONG,
            "系统时间正在跳变",
            f"runs at {moved:.2f} times its speed",
            "look at NTP (chronyc tracking) and the hypervisor 检查 NTP 与虚拟化时钟",
        )
    synchronised = ntp_synchronised()
    if synchronised is None:
        return Check(
            "clock 时钟",
            Health.REMARK,
            "走时正常，是否校准未知",
            "steady; whether NTP keeps it is unknown here",
            "check: chronyc tracking 请自行确认 NTP",
        )
    if not synchronised:
        advice = "turn on NTP (chrony, systemd-timesyncd): the log's times rest on it 请启用时间同步"
        return Check("clock 时钟", Health.REMARK, "未与 NTP 同步", "steady, but not synchronised by NTP", advice)
    return Check("clock 时钟", Health.GOOD, "已与 NTP 同步", "steady and synchronised")


def ntp_synchronised() -> bool | None:
    """What the kernel knows (adjtimex, reading only); None: it does not say."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR


def check_disk(config: Config, usage: Callable[[Path], "shutil._ntuple_diskusage"]) -> Check:
    """Room for the log and for custody; below the log's reserve no new mail is taken."""
    state = config.gateway.state_dir
    folder = next(path for path in (state, *state.parents) if path.exists())
    free = usage(folder).free
    words = f"{free / 1e9:.1f} GB free at {folder}"
    if free < RESERVE_BYTES:
        advice = "free space: MAIL gets 452 meanwhile 请清理磁盘，期间新邮件会被暂时拒收"
        return Check("disk 磁盘", Health.WRONG, "磁盘空间不足", words, advice)
    if free < 5 * RESERVE_BYTES:
        return Check("disk 磁盘", Health.REMARK, "磁盘空间偏少", words, "plan for more 请规划扩容")
    return Check("disk 磁盘", Health.GOOD, "空间充足", words)
