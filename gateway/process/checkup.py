"""What sealgate doctor looks at on this machine: one check a function, each a line for people. Nothing is changed."""

import asyncio
import contextlib
import ctypes
import os
import shutil
import socket
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from audit import verify
from audit.log import RESERVE_BYTES
from gateway.config import Config, Listener, Route
from gateway.custody.delivery import State
from gateway.judging import examples, loading
from gateway.process import lifeline, surroundings
from gateway.process.check import Check, Health
from gateway.process.decoders import DecoderError
from gateway.process.surroundings import looking
from gateway.recording.keeper_client import KeeperClient, KeeperUnavailable
from gateway.recording.keeper_protocol import Head, HeadRequest
from gateway.smtp import nexthop
from gateway.smtp.nexthop import NextHop, Scheme
from gateway.smtp.server import server_context
from gateway.store import opening
from gateway.store.errors import StoreDamaged, StoreUnavailable
from gateway.store.whereabouts import NOTE, LeftBehind

PROBE_S = 5.0
"""For one answer of a port or a socket."""
EXPIRY_DAYS = 21
"""A certificate that ends sooner wants attention: renewals usually come at thirty days."""
SIGNATURE_DAYS = 3
"""ClamAV publishes daily."""
LATE = timedelta(minutes=15)
"""A delivery that has been due for so long: the queue doesn't do its work."""
SMALL_LOG = 64 << 20
"""Bytes of tiles that are verified by the way; a larger log takes a command of its own."""
SAMPLE_S = 0.25
DRIFT = 0.05
"""Share by which wall clock and monotonic clock may differ over a sample; a clock that is being stepped differs by far more."""
MAX_LINES = 100
"""Lines of an EHLO answer."""
NAMES = "get one for that name, or set gateway.hostname to a name it has 换用含该名称的证书，或修改 hostname"
NO_TLS = 'turn STARTTLS on there, or set tls = "opportunistic" 请在下一跳启用 STARTTLS，或放宽 tls'
GO_BACK = "sealgate serve says what to do; docs/store.md 详见 docs/store.md"
_TIMEX_BYTES = 512
_TIME_ERROR = 5


async def examine(config: Config) -> list[Check]:
    """Every check of this machine, in the order people would look."""
    serving = lifeline.holder(config.gateway.state_dir)
    checks = [await check_rules(config)]
    for listener in config.listeners:
        checks.append(await check_listener(config, listener, serving=bool(serving)))
        if listener.tls.cert_file:
            checks.append(check_certificate(config, listener, datetime.now(UTC)))
    checks += [
        await check_clock(),
        looking("clock 时钟", lambda: surroundings.check_times(config, datetime.now(UTC))),
        surroundings.check_state(config, os.geteuid()),
        looking("disk 磁盘", lambda: check_disk(config, shutil.disk_usage)),
        surroundings.check_descriptors(config),
    ]
    if config.store.url or (config.gateway.state_dir / NOTE).exists():
        checks.append(await check_store(config))
    if serving:
        checks += [check_keeper(config), await check_decoders(config), await check_queue(config)]
        checks += check_trouble(config)
    else:
        checks.append(
            Check(
                "processes 进程",
                Health.REMARK,
                "网关未运行",
                "the gateway is not running",
                "start it 启动: sealgate serve",
            )
        )
    checks.append(await asyncio.to_thread(looking, "audit log 审计日志", lambda: check_log(config)))
    if config.clamav.address:
        checks.append(await check_clamd(config.clamav.address, datetime.now(UTC)))
    checks += await asyncio.gather(*(check_route(config, route) for route in config.routes))
    return checks


async def check_rules(config: Config) -> Check:
    """The rules load, and do what their examples say."""
    subject = "rules 策略"
    try:
        version = await examples.check(config)
    except loading.JudgeError as error:
        return Check(
            subject,
            Health.WRONG,
            "规则有误",
            str(error).splitlines()[0],
            "sealgate check lists them all 用 sealgate check 查看全部问题",
        )
    except (DecoderError, OSError) as error:
        return Check(
            subject,
            Health.WRONG,
            "解码进程无法启动",
            str(error),
            "reinstall from requirements.lock 请按 requirements.lock 重装",
        )
    return Check(subject, Health.GOOD, "规则与示例一致", f"every example comes out, judge {version}")


async def check_listener(config: Config, listener: Listener, *, serving: bool) -> Check:
    """The port is ours: it answers, or it is free to be bound."""
    subject = f"listener {listener.name}"
    host, _, number = listener.bind.rpartition(":")
    host, port = host.strip("[]"), int(number)
    if port == 0:
        return Check(
            subject,
            Health.REMARK,
            "端口由系统选择",
            "the system picks the port",
            "set a port in bind 请在 bind 中写明端口",
        )
    if serving:
        try:
            said = await _greeting(host, port, silent=listener.proxy_protocol or listener.tls.mode == "implicit")
        except (OSError, TimeoutError) as error:
            why = f"{listener.bind} does not answer ({type(error).__name__})"
            return Check(subject, Health.WRONG, "端口无应答", why, "see the log of the gateway 查看网关日志")
        if said and not said.startswith("220"):
            return Check(
                subject,
                Health.WRONG,
                "应答不是 220",
                f"{listener.bind}: {said}",
                "is it another server? ss -ltnp says which 是否被其他程序占用",
            )
        return Check(subject, Health.GOOD, "端口正常应答", f"{listener.bind} answers")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            advice = (
                "start as root and set gateway.user 以 root 启动并设置 user"
                if port < 1024
                else "who has it: ss -ltnp; end that or change bind 查看占用者，停止它或修改 bind"
            )
            return Check(subject, Health.WRONG, "端口不可用", f"{listener.bind}: {error.strerror}", advice)
    return Check(subject, Health.GOOD, "端口可用", f"{listener.bind} is free")


async def _greeting(host: str, port: int, *, silent: bool) -> str:
    async with asyncio.timeout(PROBE_S):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            return "" if silent else (await reader.readline()).decode("ascii", "replace").strip()
        finally:
            writer.transport.abort()


def check_certificate(config: Config, listener: Listener, now: datetime) -> Check:
    """The certificate fits its key, bears our name and is valid for some time yet."""
    subject = f"TLS {listener.name}"
    assert listener.tls.cert_file is not None
    try:
        server_context(listener.tls)
        found = x509.load_pem_x509_certificates(listener.tls.cert_file.read_bytes())[0]
    except (OSError, ValueError, ssl.SSLError) as error:
        return Check(
            subject, Health.WRONG, "证书或私钥不可用", f"{listener.tls.cert_file}: {error}", _key_advice(error)
        )
    left = found.not_valid_after_utc - now
    if left < timedelta(0) or found.not_valid_before_utc > now:
        until = found.not_valid_after_utc.date()
        return Check(
            subject,
            Health.WRONG,
            "证书不在有效期内",
            f"not valid now (until {until})",
            "renew it, then SIGHUP 请更新证书并重新加载",
        )
    if left < timedelta(days=EXPIRY_DAYS):
        return Check(
            subject,
            Health.REMARK,
            f"证书 {left.days} 天后到期",
            f"expires in {left.days} days",
            "renew it now, then SIGHUP 请更新证书并重新加载",
        )
    if not _bears(found, config.gateway.hostname):
        return Check(subject, Health.REMARK, "证书不含本机名", f"does not name {config.gateway.hostname}", NAMES)
    return Check(subject, Health.GOOD, f"证书有效，剩余 {left.days} 天", f"valid, {left.days} days left")


def _key_advice(error: Exception) -> str:
    """What to do about a certificate that can't be used."""
    if isinstance(error, PermissionError):
        return "let the gateway's user read certificate and key: chgrp sealgate, chmod 0640 请授予网关用户读权限"
    if isinstance(error, FileNotFoundError):
        return "correct cert_file and key_file in the listener's tls 请检查 tls 中的文件路径"
    return "both in PEM, the key of this certificate, without a passphrase? 须为 PEM，私钥与证书配对且无口令"


def _bears(found: x509.Certificate, hostname: str) -> bool:
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    given = [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    return hostname.lower() in given or "*." + hostname.lower().partition(".")[2] in given


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
    except StoreUnavailable as error:
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


async def check_clamd(address: str, now: datetime) -> Check:
    """clamd answers, and its signatures are fresh."""
    subject = "clamd"
    try:
        async with asyncio.timeout(PROBE_S):
            if address.startswith("unix:"):
                reader, writer = await asyncio.open_unix_connection(address[5:])
            else:
                host, _, port = address.rpartition(":")
                reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            try:
                writer.write(b"zVERSION\0")
                said = (await reader.readuntil(b"\0"))[:-1].decode("ascii", "replace")
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        return Check(
            subject,
            Health.WRONG,
            "无应答",
            f"{address}: {type(error).__name__}",
            "systemctl status clamav-daemon; is clamav.address right? 检查 clamd 服务与地址",
        )
    pieces = said.split("/")
    try:
        made = datetime.strptime(pieces[2].strip(), "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC)
    except (IndexError, ValueError):
        return Check(
            subject,
            Health.REMARK,
            "病毒库日期未知",
            f"{pieces[0]}: signature age unknown",
            "run freshclam 请更新病毒库",
        )
    days = (now - made).days
    if days > SIGNATURE_DAYS:
        return Check(
            subject,
            Health.REMARK,
            f"病毒库已 {days} 天未更新",
            f"signatures are {days} days old",
            "run freshclam 请更新病毒库",
        )
    return Check(subject, Health.GOOD, "正常", f"{pieces[0]}, signatures of {made:%Y-%m-%d}")


async def check_route(config: Config, route: Route) -> Check:
    """The next hop answers EHLO; says what it can do."""
    subject = f"route {route.recipients}"
    try:
        hop = nexthop.parse(route.to, tls=route.tls, ca_file=route.ca_file, connections=route.connections)
    except nexthop.RouteError as error:
        return Check(subject, Health.WRONG, "路由有误", str(error), "see docs/reference for [[route]] 请修正 [[route]]")
    if hop.scheme is Scheme.MX:
        return Check(subject, Health.GOOD, "按收件域 MX 投递", f"{route.to}: by each domain's MX")
    try:
        async with asyncio.timeout(PROBE_S):
            words = await _ehlo(hop, config.gateway.hostname)
    except (OSError, TimeoutError, ValueError) as error:
        why = f"{route.to}: {str(error) or type(error).__name__}"
        return Check(
            subject, Health.WRONG, "下一跳不可达", why, "is it running, is a firewall between? 检查服务与防火墙"
        )
    if route.tls != "opportunistic" and hop.scheme is not Scheme.SMTPS and "STARTTLS" not in words:
        return Check(
            subject, Health.WRONG, "下一跳不支持 STARTTLS", f"{route.to}: no STARTTLS, tls = {route.tls}", NO_TLS
        )
    return Check(subject, Health.GOOD, "可达", f"{route.to}: {' '.join(words) or 'no extensions'}")


async def _ehlo(hop: NextHop, hostname: str) -> list[str]:
    """The extensions offered. Raises OSError, TimeoutError, ValueError."""
    if hop.path:
        reader, writer = await asyncio.open_unix_connection(hop.path)
    else:
        context = ssl.create_default_context() if hop.scheme is Scheme.SMTPS else None
        if context is not None:
            context.check_hostname, context.verify_mode = (
                False,
                ssl.CERT_NONE,
            )  # reachability; trust is judged when mail goes
        reader, writer = await asyncio.open_connection(hop.host, hop.port, ssl=context)
    try:
        await _answer(reader, "220")
        writer.write(f"{'LHLO' if hop.lmtp else 'EHLO'} {hostname}\r\n".encode())
        lines = await _answer(reader, "250")
        with contextlib.suppress(OSError):
            writer.write(b"QUIT\r\n")
            await writer.drain()
        return [line[4:].split(" ")[0].upper() for line in lines[1:]]
    finally:
        writer.transport.abort()


async def _answer(reader: asyncio.StreamReader, code: str) -> list[str]:
    lines: list[str] = []
    while len(lines) < MAX_LINES:
        line = (await reader.readline()).decode("ascii", "replace").rstrip()
        if not line.startswith(code):
            raise ValueError(f"answered {line[:80]!r}")
        lines.append(line)
        if line[3:4] != "-":
            return lines
    raise ValueError("an answer without end")
