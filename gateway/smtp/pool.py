"""Connections to next hops, kept and shared: caps, bounded waits, a breaker each, and one message at a time over each connection.

``Pool.send`` never raises for what a network does: it comes back as a Sent that says how far the message came.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gateway.smtp.answers import Capabilities
from gateway.smtp.breaker import Breaker
from gateway.smtp.carrier import Sent
from gateway.smtp.commands import Outgoing
from gateway.smtp.dialling import Dialler, SystemContexts, TlsContexts
from gateway.smtp.dialogue import BeforeDot, Lost, Phase, RecipientReply, Transaction
from gateway.smtp.nexthop import NextHop, NoRoute, Scheme
from gateway.smtp.reply import Reply
from gateway.smtp.wire import Budget, Wire
from scanners.resolver import Resolver

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
        self._clock = clock
        self._dialler = Dialler(hostname, resolver, ssl_contexts or SystemContexts())
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
                wire = wire or await self._opened(site, budget)
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

    async def _opened(self, site: _Site, budget: Budget) -> Wire:
        """A connection ready for mail. Raises Lost or NoRoute."""
        wire = await self._dialler.open(site.hop, budget)
        site.seen = wire.capabilities
        return wire

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


def _stale(carried: Transaction, lost: Lost | None) -> bool:
    """Whether a kept connection had died, or the server was just closing it (421), before anything was handed over."""
    if not carried.repeatable:
        return False
    closing = carried.refusal is not None and carried.refusal.code == 421
    return closing or (lost is not None and not lost.ours and not carried.decided)


def _nowhere(mail: Outgoing, reply: Reply, phase: Phase) -> Sent:
    return Sent(tuple(RecipientReply(recipient.address, reply) for recipient in mail.recipients), None, "", "", phase)
