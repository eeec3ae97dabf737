"""A scripted SMTP or LMTP server on loopback: real sockets, answers as told, waits that are events and never sleeps."""

import asyncio
import ssl
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

DROP = object()
"""As an answer: close the connection instead."""
RESET = object()
"""As an answer: reset the connection instead (RST)."""

DEFAULTS = {
    "GREETING": b"220 fake.test ESMTP\r\n",
    "HELO": b"250 fake.test\r\n",
    "STARTTLS": b"220 2.0.0 go ahead\r\n",
    "MAIL": b"250 2.1.0 Ok\r\n",
    "RCPT": b"250 2.1.5 Ok\r\n",
    "DATA": b"354 go on\r\n",
    "DOT": b"250 2.0.0 Ok: queued as F1\r\n",
    "RSET": b"250 2.0.0 Ok\r\n",
    "QUIT": b"221 2.0.0 Bye\r\n",
}
ALL = ("PIPELINING", "SIZE 10485760", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES")


@dataclass
class Hold:
    """As an answer: wait until ``go`` is set, then answer. ``reached`` is set when the server came here."""

    answer: object
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Received:
    """One message taken to its final dot; ``data`` as on the wire, without the final dot, not unstuffed."""

    mail: bytes
    rcpts: list[bytes]
    data: bytes
    tls: str


@dataclass
class ScriptedServer:
    """``say("RCPT", b"450 4.2.1 later\\r\\n")`` queues answers for a verb; without any the default stands."""

    offers: tuple[str, ...] = ALL
    lmtp: bool = False
    certificate: ssl.SSLContext | None = None
    implicit: bool = False
    host: str = "127.0.0.1"
    port: int = 0
    connections: int = 0
    open: int = 0
    most_open: int = 0
    commands: list[bytes] = field(default_factory=list)
    messages: list[Received] = field(default_factory=list)
    _script: dict[str, deque[object]] = field(default_factory=lambda: defaultdict(deque))
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def say(self, verb: str, *answers: object) -> None:
        """Queue answers for a verb: bytes, DROP, RESET or a Hold."""
        self._script[verb].extend(answers)

    def drop_all(self) -> None:
        """Close every connection now, as a server does that restarts."""
        for writer in list(self._writers):
            writer.close()

    async def push(self, data: bytes) -> None:
        """Say something unasked on every connection."""
        for writer in list(self._writers):
            writer.write(data)
            await writer.drain()

    async def until_open(self, count: int) -> None:
        """Wait until that many connections are open."""
        async with self.changed:
            await self.changed.wait_for(lambda: self.open == count)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.connections += 1
        await self._count(1)
        try:
            await self._session(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, _Dropped):
            pass
        except asyncio.CancelledError:
            pass
        finally:
            self._writers.discard(writer)
            self._tasks.discard(task)
            writer.close()
            await self._count(-1)

    async def _count(self, by: int) -> None:
        async with self.changed:
            self.open += by
            self.most_open = max(self.most_open, self.open)
            self.changed.notify_all()

    async def stop(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._answer(writer, "GREETING")
        mail, rcpts, taken = b"", [], 0
        while line := await reader.readline():
            self.commands.append(line.rstrip(b"\r\n"))
            verb = line.split(b" ")[0].strip().upper().decode()
            if verb in ("EHLO", "LHLO"):
                await self._answer(writer, verb, self._hello(writer))
            elif verb == "STARTTLS":
                said = await self._answer(writer, verb)
                if said.startswith(b"220"):
                    await writer.start_tls(self.certificate)
            elif verb == "RCPT":
                said = await self._answer(writer, verb)
                rcpts.append(line.strip())
                taken += said.startswith(b"2")
            elif verb == "DATA":
                said = await self._answer(writer, verb, None if taken else b"554 5.5.1 no valid recipients\r\n")
                if said.startswith(b"354"):
                    data = await self._content(reader)
                    shaken = writer.get_extra_info("ssl_object")
                    self.messages.append(Received(mail, rcpts, data, shaken.version() if shaken else ""))
                    for _ in range(taken if self.lmtp else 1):
                        await self._answer(writer, "DOT")
                    mail, rcpts, taken = b"", [], 0
            else:
                said = await self._answer(writer, verb)
                if verb in ("MAIL", "RSET"):
                    mail, rcpts, taken = line.strip(), [], 0
                if verb == "QUIT":
                    return

    async def _content(self, reader: asyncio.StreamReader) -> bytes:
        lines: list[bytes] = []
        while (line := await reader.readuntil(b"\r\n")) != b".\r\n":
            lines.append(line)
        return b"".join(lines)

    def _hello(self, writer: asyncio.StreamWriter) -> bytes:
        words = ["fake.test", *self.offers]
        if self.certificate and not self.implicit and writer.get_extra_info("ssl_object") is None:
            words.append("STARTTLS")
        lines = [f"250-{word}" for word in words[:-1]] + [f"250 {words[-1]}"]
        return "".join(line + "\r\n" for line in lines).encode()

    async def _answer(self, writer: asyncio.StreamWriter, verb: str, default: bytes | None = None) -> bytes:
        queued = self._script[verb]
        answer = queued.popleft() if queued else (default or DEFAULTS.get(verb, b"500 5.5.2 what?\r\n"))
        if isinstance(answer, Hold):
            answer.reached.set()
            await answer.go.wait()
            answer = answer.answer
        if answer is RESET:
            writer.transport.abort()
        if not isinstance(answer, bytes):
            raise _Dropped
        writer.write(answer)
        await writer.drain()
        return answer


class _Dropped(Exception):
    pass


@asynccontextmanager
async def scripted(unix: str = "", **settings: object) -> AsyncIterator[ScriptedServer]:
    """A ScriptedServer that listens while the block runs."""
    server = ScriptedServer(**settings)  # type: ignore[arg-type]
    tls = server.certificate if server.implicit else None
    if unix:
        listening = await asyncio.start_unix_server(server.serve, unix, limit=1 << 26)
    else:
        listening = await asyncio.start_server(server.serve, server.host, 0, ssl=tls, limit=1 << 26)
        server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        await server.stop()
        await listening.wait_closed()
