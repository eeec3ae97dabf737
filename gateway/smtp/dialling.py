"""New connections to a next hop: its addresses, best first, TLS as its route asks, and the greeting, each within a bounded wait."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Generator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol

from gateway.smtp.dialogue import Lost, Phase, greet
from gateway.smtp.nexthop import ADDRESSES, LookupFailed, NextHop, Scheme, TlsPolicy, addresses, mail_hosts
from gateway.smtp.wire import Budget, TlsClient, Wire, tls_reason
from scanners.resolver import Resolver

CONNECT_S = 10.0
"""For one address."""


class TlsContexts(Protocol):
    """Where TLS contexts come from."""

    def context(self, policy: TlsPolicy, ca_file: Path | None) -> ssl.SSLContext:
        """A client context; verifying for VERIFIED only. May raise OSError (ca_file can't be read)."""
        ...


class SystemContexts:
    """Contexts with the system's trust anchors or a ``ca_file``; made once each, TLS 1.2 and up."""

    def __init__(self) -> None:
        self._made: dict[tuple[bool, Path | None], ssl.SSLContext] = {}

    def context(self, policy: TlsPolicy, ca_file: Path | None) -> ssl.SSLContext:
        """See TlsContexts. A changed ca_file is seen by a new pool only."""
        key = (policy is TlsPolicy.VERIFIED, ca_file)
        if key not in self._made:
            made = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
            if not key[0]:
                made.check_hostname = False
                made.verify_mode = ssl.CERT_NONE
            self._made[key] = made
        return self._made[key]


@dataclass(frozen=True, slots=True)
class _Target:
    """One address to connect to; ``name`` is what its certificate must bear."""

    name: str
    address: str
    port: int


class Dialler:
    """Opens connections for a pool. ``resolver`` is needed for MX routes only."""

    def __init__(self, hostname: str, resolver: Resolver | None, contexts: TlsContexts) -> None:
        self._hostname, self._resolver, self._contexts = hostname, resolver, contexts

    async def open(self, hop: NextHop, budget: Budget) -> Wire:
        """A connection ready for mail, to the first host that gives one. Raises Lost or NoRoute."""
        last = Lost("the next hop has no address", "4.4.4")
        for target in await self._targets(hop, budget):
            for policy in _policies(hop):
                try:
                    wire = await self._connect(hop, target, policy, budget)
                except Lost as lost:
                    last = lost
                    if lost.phase is not Phase.TLS:
                        break
                else:
                    return wire
        raise last

    async def _connect(self, hop: NextHop, target: _Target, policy: TlsPolicy | None, budget: Budget) -> Wire:
        tls = self._tls_client(hop, target) if policy is not None or hop.scheme is Scheme.SMTPS else None
        wire = Wire(tls)
        wire.remote = hop.path or f"{target.name}[{target.address}]:{target.port}"
        wait_s = budget.until(CONNECT_S)
        if wait_s <= 0:
            raise Lost("no time left to connect", "4.4.1", ours=True)
        implicit = tls if hop.scheme is Scheme.SMTPS else None
        try:
            async with asyncio.timeout(wait_s):
                await _dial(wire, hop, target, implicit)
        except ssl.SSLError as error:
            raise Lost(f"TLS handshake failed: {tls_reason(error)}", "4.7.5", phase=Phase.TLS) from error
        except TimeoutError as error:
            raise Lost(f"no connection to {wire.remote} in {wait_s:.0f} s", "4.4.1", ours=wait_s < CONNECT_S) from error
        except OSError as error:
            why = errno.errorcode.get(error.errno or 0, type(error).__name__)
            raise Lost(f"no connection to {wire.remote}: {why}", "4.4.1") from error
        try:
            opened = await wire.run(greet(self._hostname, lmtp=hop.lmtp, tls=wire.tls, policy=policy), budget)
        except BaseException:
            wire.abort()
            raise
        wire.capabilities = opened.capabilities
        return wire

    def _tls_client(self, hop: NextHop, target: _Target) -> TlsClient:
        try:
            context = self._contexts.context(hop.tls, hop.ca_file)
        except OSError as error:  # ssl.SSLError included: no certificate in it
            raise Lost(
                f"ca_file {hop.ca_file} can not be read: {tls_reason(error)}", "4.7.5", phase=Phase.TLS, ours=True
            ) from error
        return TlsClient(context, target.name, hop.tls is TlsPolicy.VERIFIED)

    async def _targets(self, hop: NextHop, budget: Budget) -> list[_Target]:
        """Addresses to try, best first. Raises Lost or NoRoute."""
        if hop.path:
            return [_Target("localhost", hop.path, 0)]
        try:
            async with asyncio.timeout(max(0.0, budget.until(CONNECT_S))):
                if hop.scheme is not Scheme.MX:
                    return [
                        _Target(hop.host, address, hop.port) for address in await _system_addresses(hop.host, hop.port)
                    ]
                return await self._mx_targets(hop)
        except (TimeoutError, LookupFailed) as error:
            raise Lost(f"DNS does not answer for {hop.host}", "4.4.3", ours=True) from error

    async def _mx_targets(self, hop: NextHop) -> list[_Target]:
        """All addresses of all hosts, best first; a host whose addresses DNS doesn't tell now doesn't keep us from the others."""
        if self._resolver is None:
            raise Lost("this gateway has no resolver for MX routes", "4.3.5", ours=True)
        targets: list[_Target] = []
        silent: LookupFailed | None = None
        for host in await mail_hosts(hop.host, self._hostname, self._resolver):
            try:
                targets += [_Target(host, address, hop.port) for address in await addresses(host, self._resolver)]
            except LookupFailed as error:
                silent = error
        if not targets and silent:
            raise silent
        return targets


def _policies(hop: NextHop) -> Generator[TlsPolicy | None]:
    """What to ask of STARTTLS, in turn: after a failed handshake an opportunistic route tries the same host in the clear."""
    if hop.scheme is Scheme.SMTPS:
        yield None
        return
    yield hop.tls
    if hop.tls is TlsPolicy.OPPORTUNISTIC:
        yield None


async def _system_addresses(host: str, port: int) -> list[str]:
    """By the system's resolver, so that hosts files and container names work. Raises Lost."""
    try:
        return [str(ip_address(host))]
    except ValueError:
        pass
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Lost(f"next hop {host} can not be found in DNS", "4.4.3") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))[:ADDRESSES]


async def _dial(wire: Wire, hop: NextHop, target: _Target, implicit: TlsClient | None) -> None:
    loop = asyncio.get_running_loop()
    if hop.path:
        await loop.create_unix_connection(lambda: wire, hop.path)
    elif implicit is not None:
        await loop.create_connection(
            lambda: wire, target.address, target.port, ssl=implicit.context, server_hostname=implicit.name
        )
    else:
        await loop.create_connection(lambda: wire, target.address, target.port)
