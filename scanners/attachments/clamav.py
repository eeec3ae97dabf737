"""ClamAV by clamd's socket: the whole message as one stream (clamd unpacks MIME and archives itself)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from scanners.attachments.codes import CLAMAV
from scanners.base import Result, Stage
from scanners.finding import Code, Evidence, Finding
from scanners.message import Message

CHUNK = 262_144
"""Bytes per INSTREAM chunk."""
MAX_REPLY = 4_096
"""Bytes of clamd's one-line answer."""
MAX_STREAM = 100_000_000
"""Bytes sent; clamd's own StreamMaxLength is 100 MB since 0.104."""


class ClamavError(Exception):
    """clamd is not there, or did not scan; ``scan()`` turns it into ``scanner.failed``."""


@dataclass(frozen=True, slots=True)
class ClamavScanner:
    """``address`` is ``unix:/path`` or ``host:port``; ``timeout_s`` bounds one message, connection included."""

    address: str
    timeout_s: float = 20.0

    @property
    def name(self) -> str:
        """``clamav``."""
        return "clamav"

    @property
    def codes(self) -> tuple[Code, ...]:
        """``malware.clamav``."""
        return (CLAMAV,)

    @property
    def stage(self) -> Stage:
        """It needs the bytes only, and runs while attachments are opened."""
        return Stage.BYTES

    async def scan(self, message: Message) -> Result:
        """Raises ClamavError: not reachable, too large, timed out, or an answer that is no verdict."""
        if len(message.raw) > MAX_STREAM:
            raise ClamavError("message longer than clamd takes")
        try:
            async with asyncio.timeout(self.timeout_s):
                reply = await self._ask(message.raw)
        except (OSError, TimeoutError) as error:
            raise ClamavError(type(error).__name__) from None
        return Result(_findings(reply))

    async def ping(self) -> bool:
        """True when clamd answers; for the doctor."""
        try:
            async with asyncio.timeout(self.timeout_s), self._connected() as (reader, writer):
                writer.write(b"zPING\0")
                return await reader.readuntil(b"\0") == b"PONG\0"
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return False

    async def _ask(self, raw: bytes) -> str:
        async with self._connected() as (reader, writer):
            writer.write(b"zINSTREAM\0")
            try:
                for start in range(0, len(raw), CHUNK):
                    chunk = raw[start : start + CHUNK]
                    writer.write(len(chunk).to_bytes(4, "big") + chunk)
                    await writer.drain()
                writer.write(bytes(4))
                await writer.drain()
            except ConnectionError:
                pass  # clamd closes early when it refuses the size: its answer, still to be read, says so
            try:
                answer = await reader.readuntil(b"\0")
            except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                raise ClamavError("no answer") from None
        return answer[:-1].decode("utf-8", "replace").strip()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        if self.address.startswith("unix:"):
            reader, writer = await asyncio.open_unix_connection(self.address[5:], limit=MAX_REPLY)
        else:
            host, _, port = self.address.rpartition(":")
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port), limit=MAX_REPLY)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


def _findings(reply: str) -> tuple[Finding, ...]:
    """``stream: OK`` or ``stream: NAME FOUND``; anything else is no verdict."""
    verdict = reply.rpartition("stream: ")[2]
    if verdict == "OK":
        return ()
    if verdict.endswith(" FOUND"):
        name = verdict[: -len(" FOUND")][:200]
        return (Finding(CLAMAV.code, CLAMAV.severity, f"ClamAV: {name}", evidence=Evidence(), about=name),)
    raise ClamavError("clamd did not scan: " + verdict[:80])
