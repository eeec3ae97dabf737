"""Our resolver: asynchronous, caching, over dnspython's message codec. Everything that asks DNS asks through it.

A stub for recursive servers: UDP with a fresh source port and a random id for each question, TCP when the answer is truncated, the next
server when one fails. Nothing a server sends can raise through ``query``: it is a Status.
"""

import asyncio
import ipaddress
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from scanners.answers import Answer, Exchange, Resolver, Status

__all__ = ["Answer", "CachingResolver", "Exchange", "Resolver", "Server", "Status", "parse_server", "system_servers"]

MAX_CNAMES = 8
"""Aliases followed for one question; longer chains and loops are temperror."""
MAX_WIRE = 49_152
"""Octets of an answer that is decoded; decoding costs about a millisecond for 10 kB."""
MAX_RECORDS = 1_000
"""Records of an answer that is decoded, from its header."""
MAX_STRAYS = 64
"""Datagrams that don't fit the question, per attempt; more look like a forger at work, and the attempt ends."""
MAX_TTL_S = 86_400
"""No answer is kept longer than a day."""
MAX_NEGATIVE_TTL_S = 900
"""Nor an absence longer than a quarter of an hour (RFC 2308 5 asks for a bound)."""
MAX_CACHE = 20_000
"""Answers kept; under 1 kB each as a rule."""
MAX_ASKING = 256
"""Questions in flight at once: each holds a socket."""
ROUNDS = 2
"""Times each server is tried for one question."""
PAYLOAD = 1232
"""EDNS buffer that survives every path unfragmented (DNS flag day 2020)."""

TYPES = {name: getattr(dns.rdatatype, name) for name in ("A", "AAAA", "MX", "NS", "PTR", "TXT")}


@dataclass(frozen=True, slots=True)
class Server:
    """Where a recursive server listens."""

    host: str
    port: int = 53


class ServerFailure(Exception):
    """This server didn't give an answer that can be used; the next one may."""


class _Datagram(asyncio.DatagramProtocol):
    """Collects what comes back on one connected socket."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[bytes | Exception] = asyncio.Queue(MAX_STRAYS)

    def datagram_received(self, data: bytes, addr: object) -> None:
        with suppress(asyncio.QueueFull):
            self.received.put_nowait(data)

    def error_received(self, exc: Exception) -> None:
        with suppress(asyncio.QueueFull):
            self.received.put_nowait(exc)


class CachingResolver:
    """Implements Resolver over the network. One per event loop; ``close`` when done.

    ``servers`` are written as in the configuration, ``address:port``; none: the system's; ValueError for anything else.
    ``timeout_s`` bounds one attempt at one server. ``clock`` is monotonic seconds, ``randbits`` a source an attacker can't predict.
    """

    def __init__(
        self,
        servers: Sequence[str] = (),
        timeout_s: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
        randbits: Callable[[int], int] = secrets.randbits,
        max_cache: int = MAX_CACHE,
    ) -> None:
        self._servers = tuple(map(parse_server, servers)) if servers else system_servers()
        self._timeout_s, self._clock, self._randbits = timeout_s, clock, randbits
        self._max_cache = max_cache
        self._cache: OrderedDict[tuple[str, str], tuple[float, Answer]] = OrderedDict()
        self._asking: dict[tuple[str, str], asyncio.Task[Answer]] = {}
        self._slots = asyncio.Semaphore(MAX_ASKING)

    def peek(self, name: str, rdtype: str) -> Answer | None:
        """The cached answer, if its time isn't over."""
        key = (name.lower().removesuffix("."), rdtype)
        entry = self._cache.get(key)
        if entry is None:
            return None
        if entry[0] <= self._clock():
            del self._cache[key]
            return None
        self._cache.move_to_end(key)
        return entry[1]

    async def query(self, name: str, rdtype: str) -> Answer:
        """Ask once, however many want to know; keep the answer for its TTL, errors not at all."""
        answer = self.peek(name, rdtype)
        if answer is not None:
            return answer
        key = (name.lower().removesuffix("."), rdtype)
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self._fetch(key))
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(task)  # whoever gives up must not take the answer from the others

    async def close(self) -> None:
        """End what is in flight."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _fetch(self, key: tuple[str, str]) -> Answer:
        name, rdtype = key
        try:
            question = dns.name.Name([label.encode("ascii") for label in name.split(".")] + [b""])
        except (UnicodeEncodeError, dns.exception.DNSException):
            return Answer(Status.NXDOMAIN, detail="not a DNS name")
        async with self._slots:
            answer = await self._follow(question, TYPES[rdtype])
        if answer.ttl > 0 and answer.status is not Status.TEMPERROR:
            self._cache[key] = (self._clock() + answer.ttl, answer)
            if len(self._cache) > self._max_cache:
                self._cache.popitem(last=False)
        return answer

    async def _follow(self, name: dns.name.Name, rdtype: dns.rdatatype.RdataType) -> Answer:
        """Ask, and go after aliases, those in one answer as well as those that need another question."""
        ttl = MAX_TTL_S
        aliases = 0
        for _ in range(MAX_CNAMES):
            try:
                message = await self._ask_servers(name, rdtype)
            except ServerFailure as error:
                return Answer(Status.TEMPERROR, detail=str(error))
            while True:
                rrset = _find(message, name, rdtype)
                if rrset is not None:
                    return _answer(rrset, min(ttl, rrset.ttl))
                alias = _find(message, name, dns.rdatatype.CNAME)
                if alias is None:
                    break
                aliases += 1
                if aliases > MAX_CNAMES:
                    return Answer(Status.TEMPERROR, detail="alias loop")
                ttl, name = min(ttl, alias.ttl), alias[0].target
            if message.rcode() == dns.rcode.NXDOMAIN:
                return Answer(Status.NXDOMAIN, ttl=min(ttl, _negative_ttl(message)))
            if not aliases or _negative_ttl(message) or name == message.question[0].name:
                return Answer(Status.NODATA, ttl=min(ttl, _negative_ttl(message)))
        return Answer(Status.TEMPERROR, detail="alias loop")

    async def _ask_servers(self, name: dns.name.Name, rdtype: dns.rdatatype.RdataType) -> dns.message.Message:
        reason = "no server answered"
        for _ in range(ROUNDS):
            for server in self._servers:
                try:
                    return await self._ask(server, name, rdtype)
                except ServerFailure as error:
                    reason = str(error)
                except TimeoutError:
                    reason = "timeout"
                except OSError as error:
                    reason = f"network error ({type(error).__name__})"
        raise ServerFailure(reason)

    async def _ask(self, server: Server, name: dns.name.Name, rdtype: dns.rdatatype.RdataType) -> dns.message.Message:
        query = dns.message.make_query(name, rdtype, use_edns=0, payload=PAYLOAD, id=self._randbits(16))
        async with asyncio.timeout(self._timeout_s):
            message = await _over_udp(server, query)
            if message.rcode() in (dns.rcode.FORMERR, dns.rcode.NOTIMP):
                query.use_edns(False)  # a server from before EDNS
                message = await _over_udp(server, query)
        if message.flags & dns.flags.TC:
            async with asyncio.timeout(self._timeout_s):
                message = await _over_tcp(server, query)
        _check_usable(message)
        return message


async def _over_udp(server: Server, query: dns.message.Message) -> dns.message.Message:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(_Datagram, remote_addr=(server.host, server.port))
    try:
        transport.sendto(query.to_wire())
        for _ in range(MAX_STRAYS):
            data = await protocol.received.get()
            if isinstance(data, Exception):
                raise data
            if _belongs(data, query):
                return _decode(data, query)
        raise ServerFailure("too many datagrams that are no answer")
    finally:
        transport.close()


async def _over_tcp(server: Server, query: dns.message.Message) -> dns.message.Message:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        wire = query.to_wire()
        writer.write(len(wire).to_bytes(2, "big") + wire)
        await writer.drain()
        length = int.from_bytes(await reader.readexactly(2), "big")
        data = await reader.readexactly(length)
    except asyncio.IncompleteReadError:
        raise ServerFailure("answer cut short") from None
    finally:
        writer.close()
    if not _belongs(data, query):
        raise ServerFailure("answer to another question")
    return _decode(data, query)


def _belongs(data: bytes, query: dns.message.Message) -> bool:
    """Cheap test on the header: our id, and a response. All else is a stray and must not end the wait."""
    return len(data) >= 12 and data[:2] == query.id.to_bytes(2, "big") and bool(data[2] & 0x80)


def _decode(data: bytes, query: dns.message.Message) -> dns.message.Message:
    records = sum(int.from_bytes(data[at : at + 2], "big") for at in (6, 8, 10))
    if len(data) > MAX_WIRE or records > MAX_RECORDS:
        raise ServerFailure("answer too large")
    try:
        message = dns.message.from_wire(data, ignore_trailing=True, raise_on_truncation=False)
    except (dns.exception.DNSException, ValueError, IndexError, KeyError) as error:
        if data[2] & 0x02:  # truncated in the middle of a record: TCP has all of it
            message = dns.message.Message(query.id)
            message.flags |= dns.flags.QR | dns.flags.TC
            return message
        raise ServerFailure(f"malformed answer ({type(error).__name__})") from None
    asked, answered = query.question[0], message.question
    if message.rcode() in (dns.rcode.FORMERR, dns.rcode.NOTIMP) and not answered:
        return message
    if len(answered) != 1 or answered[0].name != asked.name or answered[0].rdtype != asked.rdtype:
        raise ServerFailure("answer to another question")  # names compare without case
    return message


def _check_usable(message: dns.message.Message) -> None:
    if message.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        raise ServerFailure(dns.rcode.to_text(message.rcode()))
    if message.rcode() == dns.rcode.NOERROR and not message.answer:
        kinds = {rrset.rdtype for rrset in message.authority}
        if dns.rdatatype.NS in kinds and dns.rdatatype.SOA not in kinds and not message.flags & dns.flags.AA:
            raise ServerFailure("lame server (a referral)")


def _find(message: dns.message.Message, name: dns.name.Name, rdtype: dns.rdatatype.RdataType) -> dns.rrset.RRset | None:
    for rrset in message.answer:
        if rrset.rdtype == rdtype and rrset.rdclass == dns.rdataclass.IN and rrset.name == name and len(rrset):
            return rrset
    return None


def _answer(rrset: dns.rrset.RRset, ttl: int) -> Answer:
    kind = rrset.rdtype
    if kind == dns.rdatatype.TXT:
        return Answer(Status.FOUND, strings=tuple(b"".join(rdata.strings) for rdata in rrset), ttl=ttl)
    if kind == dns.rdatatype.MX:
        exchanges = tuple(Exchange(rdata.preference, _text(rdata.exchange)) for rdata in rrset)
        return Answer(Status.FOUND, exchanges=exchanges, ttl=ttl)
    if kind in (dns.rdatatype.A, dns.rdatatype.AAAA):
        return Answer(Status.FOUND, addresses=tuple(rdata.address for rdata in rrset), ttl=ttl)
    return Answer(Status.FOUND, names=tuple(_text(rdata.target) for rdata in rrset), ttl=ttl)


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


def _negative_ttl(message: dns.message.Message) -> int:
    """How long an absence may be kept: the SOA's TTL or minimum, whichever is less; without SOA not at all (RFC 2308 5)."""
    for rrset in message.authority:
        if rrset.rdtype == dns.rdatatype.SOA and len(rrset):
            return min(int(rrset.ttl), int(rrset[0].minimum), MAX_NEGATIVE_TTL_S)
    return 0


def parse_server(text: str) -> Server:
    """``address``, ``address:port`` or ``[v6]:port``. Raises ValueError naming the text."""
    host, port = text.strip(), 53
    if host.startswith("["):
        host, _, rest = host[1:].partition("]")
        port = int(rest.removeprefix(":") or 53)
    elif host.count(":") == 1:
        host, _, rest = host.partition(":")
        port = int(rest)
    if not 0 < port < 65536:
        raise ValueError(f"port {port} of DNS server {text!r} is out of range")
    return Server(str(ipaddress.ip_address(host)), port)


def system_servers(resolv_conf: Path = Path("/etc/resolv.conf")) -> tuple[Server, ...]:
    """The servers the system uses; 127.0.0.1 if it names none, as resolv.conf(5) says."""
    servers: list[Server] = []
    with suppress(OSError):
        for line in resolv_conf.read_text(encoding="utf-8", errors="replace").splitlines():
            words = line.split()
            if len(words) >= 2 and words[0] == "nameserver":
                with suppress(ValueError):
                    servers.append(parse_server(f"[{words[1]}]" if ":" in words[1] else words[1]))
    return tuple(servers[:3]) or (Server("127.0.0.1"),)
