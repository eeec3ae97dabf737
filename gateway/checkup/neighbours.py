"""Those we need: clamd, and the next hops of the routes."""

import asyncio
import contextlib
import ssl
from datetime import UTC, datetime

from gateway.checkup.check import PROBE_S, Check, Health
from gateway.config import Config, Route
from gateway.smtp import nexthop
from gateway.smtp.nexthop import NextHop, Scheme
from scanners.attachments.clamav import ClamavError, ClamavScanner

SIGNATURE_DAYS = 3
"""ClamAV publishes daily."""
MAX_LINES = 100
"""Lines of an EHLO answer."""
NO_TLS = 'turn STARTTLS on there, or set tls = "opportunistic" 请在下一跳启用 STARTTLS，或放宽 tls'


async def check_clamd(address: str, now: datetime) -> Check:
    """clamd answers, and its signatures are fresh."""
    subject = "clamd"
    try:
        said = await ClamavScanner(address, PROBE_S).version()
    except ClamavError as error:
        return Check(
            subject,
            Health.WRONG,
            "无应答",
            f"{address}: {error}",
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
