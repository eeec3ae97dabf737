"""The ports of the listeners: who answers there, and the certificate that is shown."""

import asyncio
import socket
import ssl
from datetime import datetime, timedelta

from cryptography import x509

from gateway.checkup.check import PROBE_S, Check, Health
from gateway.config import Config, Listener
from gateway.smtp.server import server_context

EXPIRY_DAYS = 21
"""A certificate that ends sooner wants attention: renewals usually come at thirty days."""
NAMES = "get one for that name, or set gateway.hostname to a name it has 换用含该名称的证书，或修改 hostname"


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
