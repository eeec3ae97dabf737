"""TLS put under a connection that is there already."""

import asyncio
import ssl
from typing import cast

HANDSHAKE_S = 30.0
"""For a TLS handshake."""


async def upgraded(
    loop: asyncio.AbstractEventLoop,
    transport: asyncio.Transport,
    protocol: asyncio.Protocol,
    context: ssl.SSLContext,
    early: bytes,
) -> asyncio.Transport | None:
    """The transport with TLS, None if the connection closed meanwhile. ``early`` are octets of the handshake that were read before it.

    Raises OSError, TimeoutError when it fails.
    """
    handshake = loop.create_task(
        loop.start_tls(transport, protocol, context, server_side=True, ssl_handshake_timeout=HANDSHAKE_S)
    )
    if early:
        await _feed(transport, early)
    return await handshake


async def _feed(transport: asyncio.Transport, data: bytes) -> None:
    """Give a starting handshake the octets that were read before it. Two turns of the loop and the TLS protocol is in its place,
    with reading resumed and nothing read yet."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    protocol = cast("asyncio.BufferedProtocol", transport.get_protocol())
    while data:
        buffer = memoryview(protocol.get_buffer(len(data)))
        size = min(len(buffer), len(data))
        buffer[:size] = data[:size]
        protocol.buffer_updated(size)
        data = data[size:]
