"""A DNS server on loopback, UDP and TCP on one port, that answers by a function: for tests of the real resolver."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.rrset

Wire = bytes | None
Respond = Callable[[dns.message.Message, str], Wire | list[bytes] | dns.message.Message]
"""(query, "udp" | "tcp") -> message, octets, several datagrams, or None for silence."""


@dataclass
class Nameserver(asyncio.DatagramProtocol):
    respond: Respond
    port: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)
    sources: set[int] = field(default_factory=set)
    ids: list[int] = field(default_factory=list)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # a DatagramTransport, whichever loop

    def answers(self, data: bytes, how: str) -> list[bytes]:
        query = dns.message.from_wire(data)
        self.asked.append((query.question[0].name.to_text(True), how))
        self.ids.append(query.id)
        response = self.respond(query, how)
        if response is None:
            return []
        if isinstance(response, dns.message.Message):
            return [response.to_wire(max_size=65535)]
        return response if isinstance(response, list) else [response]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.sources.add(addr[1])
        for wire in self.answers(data, "udp"):
            self.transport.sendto(wire, addr)

    async def on_stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            length = int.from_bytes(await reader.readexactly(2), "big")
            for wire in self.answers(await reader.readexactly(length), "tcp"):
                writer.write(len(wire).to_bytes(2, "big"))
                await writer.drain()
                for start in range(0, len(wire), 700):
                    writer.write(wire[start : start + 700])
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def nameserver(respond: Respond, port: int = 0) -> AsyncIterator[Nameserver]:
    loop = asyncio.get_running_loop()
    server = Nameserver(respond)
    for _ in range(20):  # the TCP port of the same number may be taken
        transport, _protocol = await loop.create_datagram_endpoint(lambda: server, local_addr=("127.0.0.1", port))
        server.port = transport.get_extra_info("sockname")[1]
        try:
            stream = await asyncio.start_server(server.on_stream, "127.0.0.1", server.port)
            break
        except OSError:
            transport.close()
    else:
        raise RuntimeError("no free port")
    try:
        yield server
    finally:
        transport.close()
        stream.close()
        await stream.wait_closed()


def reply(
    query: dns.message.Message, *answer: str, rcode: int = 0, authority: tuple[str, ...] = (), flags: int = 0
) -> dns.message.Message:
    """A response with these records (``name ttl IN type data``)."""
    message = dns.message.make_response(query, recursion_available=True)
    message.set_rcode(rcode)
    message.flags |= flags
    for section, records in ((message.answer, answer), (message.authority, authority)):
        for record in records:
            name, ttl, _, rdtype, data = record.split(" ", 4)
            section.append(dns.rrset.from_text(name, int(ttl), "IN", rdtype, data))
    return message
