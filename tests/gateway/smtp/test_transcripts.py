"""SMTP dialogues as text: every file in transcripts/ is one connection (or more), played against the real receiving side.

    @ key value      setting: listener, peer, trusted, clients, limits.NAME, answer, offer, and the flags of FLAGS
    C: text          the client sends text and CRLF; lines that follow one another are one write
    c: text          the same without CRLF; \\r \\n \\0 \\xNN are octets (in C: too)
    S: text          the server answers that line; ``...`` stands for anything
    S: <nothing>     it says nothing        S: <closed>   and has closed
    ! wait 301       the clock moves on     ! eof         the client sends no more
    ! secured        TLS comes up           ! hello       a new connection from the same peer
    = from <a> to <b>,<c> [client IP] [helo NAME] [user NAME] ...     the next message handed on; fields by name
    = raw text       its octets             = nothing     no (further) message was handed on

Each dialogue is played twice, in whole writes and octet by octet; ``@ whole`` for those that are about what comes together.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from gateway.config import Config, Gateway, Limits, Listener, ListenerTls, Route
from gateway.smtp.parameters import Capabilities
from gateway.smtp.reply import Reply
from scanners.message import Envelope
from tests.fakes import receiving

FOLDER = Path(__file__).parent / "transcripts"
FILES = sorted(FOLDER.glob("*.txt"))
FLAGS = ("whole", "proxy", "xclient", "tls", "tls_required", "users")


@dataclasses.dataclass
class Script:
    """A transcript, read."""

    settings: dict[str, str]
    flags: set[str]
    steps: list[tuple[str, bytes]]


def octets(text: str) -> bytes:
    """Escapes to octets, everything else as UTF-8."""
    return text.encode("utf-8").decode("latin-1").encode("latin-1").decode("unicode_escape").encode("latin-1")


def read(path: Path) -> Script:
    script = Script({}, set(), [])
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        kind, text = line[:2], line[3:]
        if not line.strip() or line.startswith("#"):
            continue
        if kind == "@ " or line.startswith("@"):
            words = line[2:].split(" ", 1)
            if words[0] in FLAGS:
                script.flags.add(words[0])
            else:
                script.settings[words[0]] = words[1]
        elif kind in ("C:", "c:"):
            data = octets(text) + (b"\r\n" if kind == "C:" else b"")
            if script.steps and script.steps[-1][0] == "send":
                data = script.steps.pop()[1] + data
            script.steps.append(("send", data))
        elif kind == "S:":
            script.steps.append(("expect", text.encode()))
        elif line[0] in "!=":
            script.steps.append((line[0], line[2:].encode()))
        else:
            raise AssertionError(f"{path.name}:{number}: {line!r}")
    return script


def configuration(script: Script, state: Path) -> tuple[Config, Listener]:
    get = script.settings.get
    limits = {
        key[7:]: type(getattr(Limits(), key[7:]))(value)
        for key, value in script.settings.items()
        if key[:7] == "limits."
    }
    people = state / "people.txt"
    people.write_text("# who is there\nknown@corp.test\nzhang\n张三@corp.test\n", "utf-8")
    routes = [Route("corp.test", "smtp://127.0.0.1:9", recipients_list=people if "people" in script.settings else None)]
    routes += [Route("xn--fsqu00a.xn--fiqs8s", "smtp://127.0.0.1:9")] + (
        [Route("*", "mx:")] if get("routes") == "*" else []
    )
    gateway = Gateway(
        "gw.test",
        ("corp.test", "例子.中国", "noroute.test"),
        state_dir=state,
        trusted_hops=tuple(get("trusted", "").split()),
    )
    listener = Listener(
        get("listener", "inbound"),
        "127.0.0.1:0",
        get("listener", "inbound"),
        clients=tuple(get("clients", "").split()),
        proxy_protocol="proxy" in script.flags,
        xclient="xclient" in script.flags,
        tls=ListenerTls(cert_file=Path("unused"), required="tls_required" in script.flags),
    )
    return Config(gateway, listeners=(listener,), routes=tuple(routes), limits=Limits(**limits)), listener


def matches(pattern: bytes, line: bytes) -> bool:
    """``...`` stands for anything, once or at the end of pieces."""
    pieces = pattern.split(b"...")
    if len(pieces) == 1:
        return pattern == line
    if not line.startswith(pieces[0]) or not line.endswith(pieces[-1]):
        return False
    at = len(pieces[0])
    for piece in pieces[1:-1]:
        at = line.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return True


def check(fields: str, envelope: Envelope) -> None:
    """``from <a> to <b>,<c> name value ...`` against the envelope."""
    words = fields.split()
    for name, value in zip(words[::2], words[1::2], strict=True):
        if name == "from":
            assert f"<{envelope.sender}>" == value
        elif name == "to":
            assert ",".join(f"<{recipient.address}>" for recipient in envelope.recipients) == value
        elif name in ("notify", "orcpt"):
            first = getattr(envelope.recipients[0], name)
            assert (",".join(first) if name == "notify" else first) == value
        else:
            assert str(getattr(envelope, name)) == value, name


class Player:
    """Plays one script against a rig."""

    def __init__(self, rig: receiving.Rig, chunk: int) -> None:
        self.rig = rig
        self.chunk = chunk
        self.said = [line for line in rig.take().split(b"\r\n") if line]
        self.last: tuple[Envelope, bytes] | None = None

    async def step(self, kind: str, text: bytes) -> None:
        if kind == "send":
            assert not self.said, "the server had said more than the transcript knows"
            self.said += (await self.rig.send(text, self.chunk)).split(b"\r\n")[:-1]
        elif kind == "expect":
            self.expect(text)
        elif kind == "!":
            await self.do(*text.decode().split())
        else:
            self.message(text)

    def expect(self, text: bytes) -> None:
        if text == b"<nothing>":
            assert not self.said
        elif text == b"<closed>":
            assert not self.said
            assert self.rig.transport.closed
        else:
            assert self.said, f"silence instead of {text!r}"
            line = self.said.pop(0)
            assert matches(text, line), f"said {line!r} instead of {text!r}"

    async def do(self, what: str, value: str = "") -> None:
        rig = self.rig
        assert not self.said
        if what == "wait":
            rig.clock.seconds += float(value)
            rig.server.sweep()
        elif what == "eof":
            rig.connection.eof_received()
        elif what == "secured":
            rig.connection._talk.secured("TLSv1.3")
        elif what == "hello":
            rig.connection, rig.transport = receiving.connect(rig.server, rig.transport.peer)
        else:
            raise AssertionError(what)
        await rig.settle()
        self.said += rig.take().split(b"\r\n")[:-1]

    def message(self, text: bytes) -> None:
        if text == b"nothing":
            assert not self.rig.receiver.messages
        elif text == b"raw" or text.startswith(b"raw "):
            assert self.last is not None
            assert self.last[1] == octets(text[4:].decode())
        else:
            self.last = self.rig.receiver.messages.pop(0)
            check(text.decode(), self.last[0])


def plays() -> Iterator[ParameterSet]:
    for path in FILES:
        yield pytest.param(path, 0, id=f"{path.stem}-whole")
        if "whole" not in read(path).flags:
            yield pytest.param(path, 1, id=f"{path.stem}-octets")


@pytest.mark.parametrize(("path", "chunk"), list(plays()))
async def test_transcript(path: Path, chunk: int, tmp_path: Path) -> None:
    script = read(path)
    config, listener = configuration(script, tmp_path)
    words = script.settings.get("answer", "250 2.0.0 taken").split(" ", 2)
    answer = RuntimeError(words[1]) if words[0] == "raise" else Reply(int(words[0]), words[1], words[2])
    offer = script.settings.get("offer", "smtputf8 dsn").split()
    size = next((int(word[5:]) for word in offer if word.startswith("size=")), 0)
    rig = await receiving.rig(
        config,
        listener,
        script.settings.get("peer", "198.18.0.7"),
        receiver=receiving.Receiver(answer),
        tls=object() if {"tls", "tls_required"} & script.flags else None,
        users=receiving.Users() if "users" in script.flags else None,
        capabilities=lambda: Capabilities("smtputf8" in offer, "dsn" in offer, size),
    )
    player = Player(rig, chunk)
    for kind, text in script.steps:
        await player.step(kind, text)
    assert not player.said, "the server said more than the transcript knows"
    if not rig.transport.closed:
        rig.connection.connection_lost(None)
    assert rig.server.parts.limits.budget.used == 0, "octets reserved for nobody"
    assert rig.server.parts.limits.open == 0 or "! hello" in path.read_text("utf-8")


def test_there_are_transcripts() -> None:
    assert len(FILES) > 20
