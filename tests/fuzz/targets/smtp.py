"""Octets of a client into the receiving side; octets of a next hop into the reader of answers."""

import asyncio
import contextlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gateway.smtp import answers, proxy
from gateway.smtp.parameters import Capabilities
from gateway.smtp.reading import Bad, DataReader
from gateway.smtp.reply import Reply
from scanners.message import Envelope
from tests.fakes import receiving
from tests.fuzz.target import Target
from tests.gateway.smtp import test_reading, test_transcripts

FLAGS = ("proxy", "xclient", "users", "", "people")
"""By bits of the settings; the fourth stands for nothing, so that the corpus keeps its meaning."""
CHUNKS = (0, 1, 3, 64)
PAUSE = b"\x1e"
"""Where a client waits for the answers before it goes on; speaking early is an error of its own."""
LONG = 2_000
"""Octets above which an input is not fed one by one: that tests the fake, not the reader."""
MOST_PIECES = 200
"""Waits of one client."""
MODEL = 4_096
"""Octets up to which the slow model reads along."""


class Complaints(logging.Handler):
    """What the receiving side logs about itself when an exception reached its outermost handler."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line."""
        self.heard.append(record.getMessage())


class Dialogue:
    """A server per input, on one loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._folder = tempfile.TemporaryDirectory(prefix="sealgate-")
        self._state = Path(self._folder.name)
        self._complaints = Complaints()
        self._log = logging.getLogger("tests.receiving")
        self._log.propagate = False
        self._log.addHandler(self._complaints)

    def close(self) -> None:
        """Let go of the loop, the folder and the log."""
        self._log.removeHandler(self._complaints)
        self._log.propagate = True
        self._loop.close()
        self._folder.cleanup()

    def run(self, data: bytes) -> None:
        """One octet of settings, then what is sent."""
        if not data:
            return
        settings, sent = data[0], data[1:]
        self._complaints.heard.clear()
        self._loop.run_until_complete(self._talk(settings, sent))
        assert not self._complaints.heard, f"internal error: {self._complaints.heard[0]}"
        self._answers(sent)
        self._data(sent)
        with contextlib.suppress(proxy.ProxyError):
            proxy.parse_proxy(sent)

    async def _talk(self, settings: int, sent: bytes) -> None:
        flags = {flag for bit, flag in enumerate(FLAGS) if settings >> bit & 1}
        words = {"trusted": "127.0.0.1", "peer": "127.0.0.1"} if flags & {"proxy", "xclient"} else {}
        if "people" in flags:
            words["people"] = ""
        if "users" in flags:
            words["listener"] = "submission"
        script = test_transcripts.Script(words, flags, [])
        config, listener = test_transcripts.configuration(script, self._state)
        rig = await receiving.rig(
            config,
            listener,
            words.get("peer", "198.18.0.7"),
            users=receiving.Users() if "users" in flags else None,
            capabilities=lambda: Capabilities(bool(settings & 0x20), True, 100_000),
        )
        chunk = CHUNKS[settings >> 6] if len(sent) <= LONG else 0
        said = rig.take()
        for piece in sent.split(PAUSE)[:MOST_PIECES]:
            said += await rig.send(piece, chunk)
        assert said == b"" or said.endswith(b"\r\n")
        for line in said.split(b"\r\n")[:-1]:
            assert line[:1] in b"2345", f"answer {line!r}"
            assert line[3:4] in b" -", f"answer {line!r}"
            assert len(line) <= 510, f"answer of {len(line)} octets"
        for envelope, raw in rig.receiver.messages:
            self._taken(envelope, raw)
        if not rig.transport.closed:
            rig.connection.connection_lost(None)
        await rig.settle()
        assert rig.server.parts.limits.budget.used == 0, "octets reserved for nobody"
        assert rig.server.parts.limits.open == 0

    @staticmethod
    def _taken(envelope: Envelope, raw: bytes) -> None:
        f"{envelope.sender}{envelope.helo}{envelope.envid}".encode()
        assert envelope.recipients, "a message for nobody"
        for recipient in envelope.recipients:
            assert not set("\r\n\0 ") & set(recipient.address.partition('"')[0]), "an address that ends a line"
        assert b"\0" not in raw
        assert raw.replace(b"\r\n", b"").count(b"\n") + raw.replace(b"\r\n", b"").count(b"\r") == 0
        assert raw == b"" or raw.endswith(b"\r\n")

    def _data(self, sent: bytes) -> None:
        if len(sent) > MODEL:
            return
        got, rest = test_reading.read([sent], self._state)
        want, after = test_reading.model(sent)
        assert (got if isinstance(got, bytes) else None) == want
        assert rest == after
        reader = DataReader(100, self._state, lambda _: True)
        if reader.feed(sent) is not None and len(sent) > 300:
            assert isinstance(reader.finish(), bytes | Bad)
        reader.close()

    @staticmethod
    def _answers(sent: bytes) -> None:
        reader = answers.AnswerReader()
        try:
            reader.feed(sent)
        except answers.Malformed:
            return
        for answer in reader.answers:
            answers.Capabilities.parse(answer)
            assert isinstance(answer.reply, Reply)


def seeds() -> Iterator[bytes]:
    """Every transcript, and answers of servers."""
    for path in test_transcripts.FILES:
        script = test_transcripts.read(path)
        settings = sum(1 << bit for bit, flag in enumerate(FLAGS) if flag in script.flags)
        yield bytes([settings]) + PAUSE.join(sent[:8_000] for kind, sent in script.steps if kind == "send")
    yield b"\0250-gw.test\r\n250-SIZE 1000\r\n250-DSN\r\n250 SMTPUTF8\r\n550 5.1.1 no\r\n354 go\r\n"
    yield b"\x40PROXY TCP4 198.18.0.9 127.0.0.1 40000 25\r\nQUIT\r\n"


def target() -> Target:
    """For the runner."""
    dialogue = Dialogue()
    return Target("smtp", dialogue.run, seeds, close=dialogue.close)
