"""ClamAV by clamd's socket (clamd unpacks MIME and archives itself).

A mail goes as it came while its reading left any doubt: clamd's own parser is then one more reading. Where both readings agreed and
nothing was amiss, large base64 attachments are taken out of the mail and sent decoded, each as a stream of its own: clamd finds the
same in them for half of the CPU.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pybase64

from scanners.attachments.codes import CLAMAV
from scanners.base import Result, Stage
from scanners.finding import Code, Evidence, Finding
from scanners.message import Message
from scanners.transfer import transferred

CHUNK = 262_144
"""Bytes per INSTREAM chunk."""
MAX_REPLY = 4_096
"""Bytes of clamd's one-line answer."""
MAX_STREAM = 100_000_000
"""Bytes sent; clamd's own StreamMaxLength is 100 MB since 0.104."""

APART_ABOVE = 8_192
"""Bytes of an attachment that is worth a stream of its own."""
MAX_APART = 16
"""Streams beside the mail's; further attachments stay in the mail."""
_FIRST_LINE = 48
"""Bytes whose base64 (64 characters) fits into the first line, which is where an attachment is looked for in the raw mail."""


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
        found: list[Finding] = []
        try:
            async with asyncio.timeout(self.timeout_s):
                for path, content in streams(message):
                    found += _findings(await self._ask(content), path)
        except (OSError, TimeoutError) as error:
            raise ClamavError(type(error).__name__) from None
        return Result(tuple(found))

    async def version(self) -> str:
        """What clamd says of itself: ``ClamAV 1.0.7/27800/Fri Oct  2 08:33:11 2026``. Raises ClamavError when it doesn't answer."""
        try:
            async with asyncio.timeout(self.timeout_s), self._connected() as (reader, writer):
                writer.write(b"zVERSION\0")
                return (await reader.readuntil(b"\0"))[:-1].decode("ascii", "replace")
        except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise ClamavError(type(error).__name__) from None

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


def streams(message: Message) -> Iterator[tuple[str | None, bytes]]:
    """What is sent, with the path of the part: the mail, and beside it the attachments that were taken out of it.

    A block is taken out only if it decodes to that very attachment, so that every byte is sent in one of the two. The first attachment
    whose block isn't where it should be ends it, the rest stays in the mail: each search begins where the last one ended, all are linear.
    """
    raw = message.raw
    cuts: list[tuple[int, int, str, bytes]] = []
    at = message.header_length
    for part in message.parts if not message.defects else ():
        if len(part.content) <= APART_ABOVE or part.is_body:
            continue
        start = raw.find(pybase64.b64encode(part.content[:_FIRST_LINE]), at)
        end = raw.find(b"\r\n--", start) if start >= 0 else -1
        if len(cuts) == MAX_APART or end < 0 or transferred(raw[start:end], "base64").content != part.content:
            break
        cuts.append((start, end, part.path, part.content))
        at = end
    kept, last = [], 0
    for start, end, _, _ in cuts:
        kept.append(raw[last:start])
        last = end
    yield None, b"".join((*kept, raw[last:])) if cuts else raw
    for _, _, path, content in cuts:
        yield path, content


def _findings(reply: str, path: str | None) -> tuple[Finding, ...]:
    """``stream: OK`` or ``stream: NAME FOUND``; anything else is no verdict."""
    verdict = reply.rpartition("stream: ")[2]
    if verdict == "OK":
        return ()
    if verdict.endswith(" FOUND"):
        name = verdict[: -len(" FOUND")][:200]
        return (Finding(CLAMAV.code, CLAMAV.severity, f"ClamAV: {name}", path, Evidence(), name),)
    raise ClamavError("clamd did not scan: " + verdict[:80])
