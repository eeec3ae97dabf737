"""The demo's surroundings: a DNS server and a corporate mail server on loopback ports picked free."""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from aiosmtpd.smtp import SMTP

Zone = Mapping[tuple[str, str], Sequence[str]]
"""(name without the last dot in lower case, type) -> rdata in zone-file form."""
TTL_S = 60


class StubDns(asyncio.DatagramProtocol):
    """Answers from a zone over UDP; whatever is not in it does not exist."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.names = {name for name, _ in zone}
        self.transport: asyncio.DatagramTransport | None = None

    async def start(self) -> str:
        """Listen; gives address:port."""
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, ("127.0.0.1", 0))
        host, port = transport.get_extra_info("sockname")
        return f"{host}:{port}"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket."""
        self.transport = cast(asyncio.DatagramTransport, transport)  # 3.11's own does not say that it is one

    def datagram_received(self, data: bytes, address: Any) -> None:
        """One question, one answer."""
        if self.transport is not None:
            self.transport.sendto(self.answer(data), address)

    def answer(self, data: bytes) -> bytes:
        """The wire answer to a wire question."""
        query = dns.message.from_wire(data)
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA | dns.flags.RA
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        values = self.zone.get((name, kind))
        if values:
            response.answer.append(
                dns.rrset.from_text(question.name, TTL_S, dns.rdataclass.IN, question.rdtype, *values)
            )
        elif name not in self.names:
            response.set_rcode(dns.rcode.NXDOMAIN)
        wire: bytes = response.to_wire()
        return wire

    def stop(self) -> None:
        """Close the socket."""
        if self.transport is not None:
            self.transport.close()


@dataclass(frozen=True, slots=True)
class Delivered:
    """One message that reached the corporate server."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes


@dataclass
class StubServer:
    """A corporate mail server that takes everything and remembers it."""

    delivered: list[Delivered] = field(default_factory=list)
    server: asyncio.Server | None = None

    async def start(self) -> str:
        """Listen; gives host:port."""
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(
            lambda: SMTP(self, hostname="corp.test", loop=loop, enable_SMTPUTF8=True, data_size_limit=100_000_000),
            "127.0.0.1",
            0,
            family=socket.AF_INET,
        )
        host, port = self.server.sockets[0].getsockname()
        return f"{host}:{port}"

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:
        """Remember, and say yes."""
        self.delivered.append(Delivered(envelope.mail_from or "", tuple(envelope.rcpt_tos), envelope.original_content))
        return f"250 2.0.0 Ok: queued as STUB{len(self.delivered)}"

    async def stop(self) -> None:
        """Close the port."""
        if self.server is not None:
            self.server.close()
