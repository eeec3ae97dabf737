"""Connections to next hops, kept and shared: caps, bounded waits, a breaker each, and one message at a time over each connection.

``Pool.send`` never raises for what a network does: it comes back as a Sent that says how far the message came.
"""

import asyncio
import errno
import socket
import ssl
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol

from gateway.smtp.answers import Capabilities
from gateway.smtp.breaker import Breaker
from gateway.smtp.commands import Outgoing
from gateway.smtp.dialogue import BeforeDot, Lost, Phase, RecipientReply, Transaction, greet
from gateway.smtp.nexthop import ADDRESSES, LookupFailed, NextHop, NoRoute, Scheme, TlsPolicy, addresses, mail_hosts
from gateway.smtp.reply import Reply
from gateway.smtp.wire import Budget, TlsClient, Wire, tls_reason
from scanners.resolver import Resolver

CONNECT_S = 10.0
"""For one address."""
WAIT_S = 10.0
"""Longest wait for a free connection; then the message is deferred by us."""
WAITING = 256
"""Messages that may wait for one next hop; each holds its memory."""
IDLE_S = 30.0
"""An unused connection is closed after this: servers drop theirs after a minute or five."""
MESSAGES_PER_CONNECTION = 100
"""Then a fresh one, so that load spreads again behind balancers."""
SITES = 1000
"""Next hops remembered (MX routes have one per domain); quiet ones are forgotten beyond this."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a message. Each recipient has the reply that decides about it.

    ``final`` is the answer to the end of data (LMTP: the last), ``None`` when there was none. ``phase`` says how far it came; the
    outcome is unknown if the dot was sent and not answered. ``tls`` is ``"TLSv1.3 CIPHER [verified]"`` or ``""``. ``dsn``: the next hop
    took the sender's wishes about notices (RFC 3461), so a success notice is its business.
    """

    recipients: tuple[RecipientReply, ...]
    final: Reply | None
    tls: str
    remote: str
    phase: Phase
    dsn: bool = False

    @property
    def unknown(self) -> bool:
        """At least one recipient may or may not have got it. Never send those again by yourself."""
        return any(recipient.unknown for recipient in self.recipients)

    @property
    def deferred_by_us(self) -> bool:
        """The next hop was not asked: no free connection in time, or its breaker is open."""
        return self.phase is Phase.WAIT


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


@dataclass(slots=True)
class _Site:
    """All we have with one next hop."""

    hop: NextHop
    slots: asyncio.Semaphore
    breaker: Breaker = field(default_factory=Breaker)
    idle: deque[Wire] = field(default_factory=deque)
    """Longest unused at the left."""
    busy: int = 0
    waiting: int = 0
    seen: Capabilities | None = None

    @property
    def quiet(self) -> bool:
        return not (self.idle or self.busy or self.waiting or self.breaker.failures)


@dataclass(frozen=True, slots=True)
class _Target:
    """One address to connect to; ``name`` is what its certificate must bear."""

    name: str
    address: str
    port: int


class Pool:
    """See the module. Belongs to one event loop. ``clock`` is monotonic seconds; ``resolver`` is needed for MX routes only."""

    def __init__(
        self,
        *,
        hostname: str,
        clock: Callable[[], float],
        resolver: Resolver | None = None,
        ssl_contexts: TlsContexts | None = None,
        idle_s: float = IDLE_S,
        wait_s: float = WAIT_S,
    ) -> None:
        self._hostname = hostname
        self._clock = clock
        self._resolver = resolver
        self._contexts = ssl_contexts or SystemContexts()
        self._idle_s = idle_s
        self._wait_s = wait_s
        self._sites: dict[NextHop, _Site] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    async def send(
        self,
        hop: NextHop,
        mail: Outgoing,
        data: Sequence[bytes],
        *,
        deadline: float,
        before_dot: BeforeDot | None = None,
    ) -> Sent:
        """Carry one message to the next hop; ``data`` goes out byte for byte, dot-stuffed and ended by CRLF.

        ``deadline`` (on the clock) bounds everything up to the final dot; its answer is then waited for in full. ``before_dot`` is
        called once with the RCPT replies before the final dot is sent; if it returns False nothing is delivered. Raises only what the
        hook raises, ValueError for a hop without a domain, and CancelledError; the connection is then dropped.
        """
        if hop.scheme is Scheme.MX and not hop.host:
            raise ValueError("mx: route without a domain: use hop.toward(domain)")
        if self._closed:
            return _nowhere(mail, Reply(421, "4.3.2", "shutting down"), Phase.WAIT)
        site = self._site(hop)
        budget = Budget(self._clock, self._clock(), deadline)
        if not await self._slot(site, budget):
            return _nowhere(mail, Reply(451, "4.4.5", "too many messages wait for the next hop"), Phase.WAIT)
        try:
            if not site.breaker.allows(self._clock()):
                return _nowhere(
                    mail, Reply(451, "4.4.1", "the next hop does not answer; waiting before trying again"), Phase.WAIT
                )
            return await self._guarded(site, mail, data, budget, before_dot)
        finally:
            site.busy -= 1
            site.slots.release()

    def capabilities(self, hop: NextHop) -> Capabilities | None:
        """What the hop's EHLO last offered us, ``None`` before the first connection."""
        site = self._sites.get(hop)
        return site.seen if site else None

    async def close(self) -> None:
        """Part from all idle connections. Messages under way finish; their connections are then closed too."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for site in self._sites.values():
            while site.idle:
                site.idle.pop().quit()
        await asyncio.sleep(0)  # lets the transports write their QUIT

    # --- slots and connections

    def _site(self, hop: NextHop) -> _Site:
        site = self._sites.get(hop)
        if site is None:
            if len(self._sites) >= SITES:
                self._sites = {other: kept for other, kept in self._sites.items() if not kept.quiet}
            site = self._sites[hop] = _Site(hop, asyncio.Semaphore(hop.connections))
        return site

    async def _slot(self, site: _Site, budget: Budget) -> bool:
        """Take the right to one connection; False when none came free in time."""
        if site.slots.locked():
            if site.waiting >= WAITING:
                return False
            site.waiting += 1
            try:
                async with asyncio.timeout(max(0.0, budget.until(self._wait_s))):
                    await site.slots.acquire()
            except TimeoutError:
                return False
            finally:
                site.waiting -= 1
        else:
            await site.slots.acquire()
        site.busy += 1
        return True

    async def _guarded(
        self, site: _Site, mail: Outgoing, data: Sequence[bytes], budget: Budget, before_dot: BeforeDot | None
    ) -> Sent:
        """Deliver, and tell the breaker how it went, also when it was broken off."""
        told = False
        try:
            sent, blame = await self._deliver(site, mail, data, budget, before_dot)
            told = True
            if blame is None:
                site.breaker.succeeded()
            elif blame.ours:
                site.breaker.gave_up()
            else:
                site.breaker.failed(self._clock())
            return sent
        finally:
            if not told:
                site.breaker.gave_up()

    async def _deliver(
        self, site: _Site, mail: Outgoing, data: Sequence[bytes], budget: Budget, before_dot: BeforeDot | None
    ) -> tuple[Sent, Lost | None]:
        """Over an idle connection, and once more over a fresh one if that turns out dead before anything was handed over."""
        wire = self._idle_wire(site)
        reused = wire is not None
        while True:
            try:
                wire = wire or await self._open(site, budget)
            except NoRoute as refused:
                return _nowhere(mail, Reply(550, refused.enhanced, refused.text), Phase.CONNECT), None
            except Lost as lost:
                return _nowhere(mail, lost.reply(), lost.phase), lost
            carried = Transaction(mail, data, wire.capabilities, site.hop.lmtp, wire.reset_first)
            lost_on_way: Lost | None = None
            try:
                await wire.run(carried.steps(), budget, before_dot)
            except Lost as lost:
                lost_on_way = lost
            except BaseException:  # the hook's, or we are cancelled: what the server has is then unfinished
                wire.abort()
                raise
            if not (reused and _stale(carried, lost_on_way)):
                break
            wire.abort()
            wire, reused = None, False
        self._keep(site, wire, clean=carried.clean and lost_on_way is None, reset=carried.reset)
        blame = None if carried.decided else lost_on_way
        otherwise = lost_on_way.reply() if lost_on_way else Reply(451, "4.3.0", "not tried")
        tls = str(wire.tls) if wire.tls else ""
        sent = Sent(carried.settle(otherwise), carried.final, tls, wire.remote, carried.phase, wire.capabilities.dsn)
        return sent, blame

    def _idle_wire(self, site: _Site) -> Wire | None:
        """The connection used last, if it still lives."""
        oldest = self._clock() - self._idle_s
        while site.idle:
            wire = site.idle.pop()
            if wire.usable and wire.idle_since > oldest:
                return wire
            wire.quit()
        return None

    def _keep(self, site: _Site, wire: Wire, *, clean: bool, reset: bool) -> None:
        wire.messages += 1
        if not clean:
            wire.abort()
        elif self._closed or not wire.usable or wire.messages >= MESSAGES_PER_CONNECTION:
            wire.quit()
        else:
            wire.reset_first = reset
            wire.idle_since = self._clock()
            site.idle.append(wire)
            if self._sweeper is None:
                self._sweeper = asyncio.get_running_loop().call_later(self._idle_s, self._sweep)

    def _sweep(self) -> None:
        """Close what was idle for too long, or was closed by the server; runs while anything is idle."""
        oldest = self._clock() - self._idle_s
        for site in self._sites.values():
            for wire in [wire for wire in site.idle if wire.idle_since <= oldest or not wire.usable]:
                site.idle.remove(wire)
                wire.quit()
        busy = any(site.idle for site in self._sites.values())
        self._sweeper = asyncio.get_running_loop().call_later(self._idle_s, self._sweep) if busy else None

    # --- opening

    async def _open(self, site: _Site, budget: Budget) -> Wire:
        """A connection ready for mail, to the first host that gives one. Raises Lost or NoRoute."""
        last = Lost("the next hop has no address", "4.4.4")
        for target in await self._targets(site.hop, budget):
            for policy in _policies(site.hop):
                try:
                    wire = await self._connect(site.hop, target, policy, budget)
                except Lost as lost:
                    last = lost
                    if lost.phase is not Phase.TLS:
                        break
                else:
                    site.seen = wire.capabilities
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


def _stale(carried: Transaction, lost: Lost | None) -> bool:
    """Whether a kept connection had died, or the server was just closing it (421), before anything was handed over."""
    if not carried.repeatable:
        return False
    closing = carried.refusal is not None and carried.refusal.code == 421
    return closing or (lost is not None and not lost.ours and not carried.decided)


def _nowhere(mail: Outgoing, reply: Reply, phase: Phase) -> Sent:
    return Sent(tuple(RecipientReply(recipient.address, reply) for recipient in mail.recipients), None, "", "", phase)


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
