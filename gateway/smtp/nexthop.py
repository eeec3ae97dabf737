"""Where mail goes on: routes parsed into a NextHop, and the hosts of a domain by MX (RFC 5321 5.1, RFC 7505). No sockets here."""

from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import idna

from scanners.resolver import Resolver, Status

MX_HOSTS = 5
"""Hosts of one domain that are tried; a sender's patience ends before a longer list does."""
ADDRESSES = 4
"""Addresses of one host that are tried."""
HOST_CHARS = 255
"""Longest name or address (RFC 1035 2.3.4)."""


class RouteError(ValueError):
    """A route can't be read. The text, Chinese and English, says what to write instead."""


class Scheme(StrEnum):
    """How we speak to the next hop."""

    SMTP = "smtp"
    SMTPS = "smtps"
    LMTP = "lmtp"
    MX = "mx"


class TlsPolicy(StrEnum):
    """What a route asks of TLS."""

    OPPORTUNISTIC = "opportunistic"
    """Used when offered; without it, or when the handshake fails, in the clear."""
    REQUIRED = "required"
    """No TLS, no mail (4.7.x); the certificate isn't looked at."""
    VERIFIED = "verified"
    """As required, and the certificate must be trusted and bear the host's name."""


DEFAULT_PORTS = {Scheme.SMTP: 25, Scheme.SMTPS: 465, Scheme.LMTP: 24, Scheme.MX: 25}


@dataclass(frozen=True, slots=True)
class NextHop:
    """One place mail is sent to. ``path`` is a unix socket (LMTP only) and then ``host`` is empty.

    For MX, ``host`` is the recipient domain (see ``toward``). ``connections`` is the most this pool opens to it at once.
    """

    scheme: Scheme
    host: str
    port: int
    path: str = ""
    tls: TlsPolicy = TlsPolicy.OPPORTUNISTIC
    ca_file: Path | None = None
    connections: int = 20

    @property
    def lmtp(self) -> bool:
        """LMTP (RFC 2033): a reply per recipient after the final dot."""
        return self.scheme is Scheme.LMTP

    def toward(self, domain: str) -> "NextHop":
        """For a route ``mx:`` without a domain: the same route toward the recipients' domain. Others come back as they are."""
        if self.scheme is not Scheme.MX or self.host:
            return self
        return replace(self, host=_host(domain.rstrip("."), domain))

    def __str__(self) -> str:
        if self.path:
            return f"{self.scheme}://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.scheme is Scheme.MX:
            return f"mx:{host}" + (f":{self.port}" if self.port != 25 else "")
        return f"{self.scheme}://{host}:{self.port}"


def parse(to: str, *, tls: str = "opportunistic", ca_file: Path | None = None, connections: int = 20) -> NextHop:
    """Read the ``to`` of a route: ``smtp://host[:port]``, ``smtps://``, ``lmtp://`` (also ``lmtp:///path``), ``mx:[domain][:port]``.

    Raises RouteError.
    """
    try:
        policy = TlsPolicy(tls)
    except ValueError:
        raise RouteError(f"tls = {tls!r} 无效，请用 / is not one of: opportunistic, required, verified") from None
    if connections < 1:
        raise RouteError(f"connections = {connections} 无效，至少为 1 / must be at least 1")
    if policy is not TlsPolicy.VERIFIED and ca_file is not None:
        raise RouteError('ca_file 只在 tls = "verified" 时有意义 / only has a meaning with tls = "verified"')
    scheme, host, port, path = _mx(to) if to.startswith("mx:") else _url(to)
    return NextHop(scheme, host, port, path, policy, ca_file, connections)


def _mx(to: str) -> tuple[Scheme, str, int, str]:
    domain, _, port = to.removeprefix("mx:").partition(":")
    return Scheme.MX, _host(domain, to) if domain else "", _port(port, to, DEFAULT_PORTS[Scheme.MX]), ""


def _url(to: str) -> tuple[Scheme, str, int, str]:
    kind, separator, _ = to.partition("://")
    if not separator or kind not in ("smtp", "smtps", "lmtp"):
        raise RouteError(
            f"路由 {to!r} 应写作 / route must look like smtp://host:25, smtps://host:465, lmtp://host:24 or mx:"
        )
    scheme = Scheme(kind)
    try:
        parts = urlsplit(to)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise RouteError(f"路由 {to!r} 无法解析 / route can't be read: {error}") from None
    if parts.query or parts.fragment or parts.username is not None:
        raise RouteError(f"路由 {to!r} 只含主机和端口 / route holds host and port only")
    if not host and scheme is Scheme.LMTP and parts.path.startswith("/") and len(parts.path) > 1:
        return scheme, "", 0, parts.path
    if parts.path not in ("", "/"):
        raise RouteError(f"路由 {to!r} 多出路径 {parts.path!r}，请删去 / route has a path, leave it out")
    return scheme, _host(host, to), port or DEFAULT_PORTS[scheme], ""


def _port(text: str, to: str, default: int) -> int:
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536):
        raise RouteError(f"路由 {to!r} 的端口 {text!r} 应为 1 到 65535 / port must be 1 to 65535")
    return int(text)


def _host(host: str, to: str) -> str:
    """A checked host name (as A-labels, lower case) or address."""
    try:
        return str(ip_address(host.strip("[]")))
    except ValueError:
        pass
    if not host.isascii():
        try:
            host = idna.encode(host[: HOST_CHARS + 1], uts46=True).decode("ascii")
        except idna.IDNAError:
            raise RouteError(f"主机名 {host!r} 不是有效域名 / is no valid host name ({to!r})") from None
    labels = host.lower().split(".")
    if not host or len(host) > HOST_CHARS or not all(_label(label) for label in labels):
        raise RouteError(f"路由 {to!r} 缺少主机名或主机名无效 / route has no host name, or one that isn't valid")
    return host.lower()


def _label(label: str) -> bool:
    plain = label.replace("-", "").replace("_", "")
    return 0 < len(label) <= 63 and plain.isalnum() and label[0] != "-" and label[-1] != "-"


class LookupFailed(Exception):
    """DNS could not answer now (time-out, SERVFAIL): try again later."""


class NoRoute(Exception):
    """DNS says that mail can't go there. ``enhanced`` is permanent (5.x.x)."""

    def __init__(self, enhanced: str, text: str) -> None:
        super().__init__(text)
        self.enhanced = enhanced
        self.text = text


async def mail_hosts(domain: str, ourselves: str, resolver: Resolver) -> tuple[str, ...]:
    """The hosts to try for a domain, best first, at most MX_HOSTS. Raises NoRoute or LookupFailed.

    Without MX the domain itself is the host (RFC 5321 5.1). When we are among the MX, only better ones are tried, so that mail can't
    circle between backups.
    """
    answer = await resolver.query(domain, "MX")
    if answer.status is Status.TEMPERROR:
        raise LookupFailed(domain)
    if answer.status is Status.NXDOMAIN:
        raise NoRoute("5.1.2", f"domain {domain} does not exist")
    named = sorted((record.preference, record.host.rstrip(".").lower()) for record in answer.exchanges)
    if not named:
        return (domain,)
    if all(host == "" for _, host in named):
        raise NoRoute("5.1.10", f"domain {domain} takes no mail (null MX)")
    ours = min((preference for preference, host in named if host == ourselves.lower()), default=None)
    hosts = [host for preference, host in named if host and (ours is None or preference < ours)]
    if not hosts:
        raise NoRoute("5.4.6", f"mail for {domain} loops back to {ourselves}")
    return tuple(dict.fromkeys(hosts))[:MX_HOSTS]


async def addresses(host: str, resolver: Resolver) -> tuple[str, ...]:
    """IPv4 first, then IPv6, at most ADDRESSES. Raises LookupFailed when none is known and DNS didn't answer."""
    found: list[str] = []
    failed = False
    for rdtype in ("A", "AAAA"):
        answer = await resolver.query(host, rdtype)
        found += answer.addresses
        failed = failed or answer.status is Status.TEMPERROR
    if not found and failed:
        raise LookupFailed(host)
    return tuple(found[:ADDRESSES])
