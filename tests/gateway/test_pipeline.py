"""The way of one message: what the client, the next hop, custody and the log see, for each plan and each fault on the way."""

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from audit.event import Event
from gateway import config as configuration
from gateway.config import Config, Route
from gateway.context.gather import Gatherer
from gateway.custody.custody import Custody
from gateway.custody.delivery import State
from gateway.hops import Hops
from gateway.judging.judge import Judge
from gateway.pipeline import Parts, Pipeline
from gateway.recording.recorder import MessageKey, Receipt, RecorderUnavailable
from gateway.relay import bounceable
from gateway.routes import Routes
from gateway.smtp.pool import Pool
from gateway.store.blobs import FolderBlobs
from gateway.store.database import SqlStore, sqlite_engine
from gateway.store.protocol import Filter
from gateway.store.sealing import load_key
from policies.load import load
from scanners.base import Result, Stage
from scanners.finding import Code, Finding, Severity
from scanners.message import Direction, Envelope, Message, Recipient
from tests.fakes.recorder import FakeRecorder
from tests.fakes.smtp_server import DROP, ScriptedServer, scripted

AT = datetime(2026, 11, 22, 2, 10, 31, tzinfo=UTC)
RAW = b"From: a@partner.example\r\nTo: b@corp.test\r\nSubject: hello\r\n\r\nword\r\n"
SEEN = Code("test.word", Severity.HIGH, "词", "a word of the test")
POLICY = """
schema = 1
[[rule]]
name = "hold-it"
title = { zh = "扣留", en = "Held" }
when.all = [{ finding = "test.word" }, { fact = "subject", contains = "HOLD" }]
then = { disposition = "approve" }
[[rule]]
name = "refuse-it"
title = { zh = "拒绝", en = "Refused" }
when.all = [{ finding = "test.word" }, { fact = "subject", contains = "REFUSE" }]
then = { disposition = "reject", enhanced = "5.7.26" }
[[rule]]
name = "never-store"
title = { zh = "不得留存", en = "May not be stored" }
when.all = [{ finding = "test.word" }, { fact = "subject", contains = "SECRET" }, { fact = "recipient.address", is = "b@corp.test" }]
then = { disposition = "reject", keep_content = false }
"""


@dataclass(frozen=True)
class WordScanner:
    """Says test.word for every message; raises if the body asks for it."""

    name: str = "words"
    codes: tuple[Code, ...] = (SEEN,)
    stage: Stage = Stage.OPENED

    async def scan(self, message: Message) -> Result:
        if b"crash" in message.raw:
            raise ZeroDivisionError
        return Result((Finding("test.word", Severity.HIGH, "seen"),))


@dataclass
class House:
    """A pipeline with a real pool, a real store and a scripted next hop."""

    pipeline: Pipeline
    recorder: FakeRecorder
    server: ScriptedServer
    custody: Custody
    config: Config

    async def receive(self, raw: bytes = RAW, **changes: object) -> tuple[int, str]:
        reply = await self.pipeline.receive(replace(envelope(), **changes), raw)  # type: ignore[arg-type]
        return reply.code, str(reply)

    def types(self) -> list[str]:
        return [event.type for event in self.recorder.events]


def envelope() -> Envelope:
    return Envelope(
        "01KAMZ3W8Q0000000000000M01", "01KS", "inbound", Direction.INBOUND, AT, "198.18.0.7", "127.0.0.1", "mx.partner.example",
        "", "", "a@partner.example", (Recipient("b@corp.test"),),
    )  # fmt: skip


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Custody, pool and server are real; only the log is a fake, and it keeps order."""
    async with scripted() as server:
        config = configuration.parse(
            f'[gateway]\nhostname="gw.test"\nlocal_domains=["corp.test"]\n[[route]]\nrecipients="*"\nto="smtp://127.0.0.1:{server.port}"\n'.encode(),
            tmp_path / "sealgate.toml",
        )
        numbers = iter(range(10**6))

        def ids() -> str:
            return f"01KAMZ{next(numbers):020d}"

        store = await SqlStore.open(sqlite_engine(tmp_path / "state.db"), load_key(tmp_path / "store.key"))
        recorder = FakeRecorder()
        custody = Custody(store, FolderBlobs(tmp_path / "custody"), recorder, clock=lambda: AT, ids=ids, owner="test")
        clock = asyncio.get_running_loop().time
        pool = Pool(hostname="gw.test", clock=clock)
        ruleset = load([("policy.toml", POLICY)], [SEEN])
        parts = Parts(
            config, Judge((WordScanner(),), None, ruleset, "sha256:test"), recorder, pool, custody,
            Routes.of(config.routes), Hops(), Gatherer.of(config, lambda: AT), lambda taken: None, clock, lambda: AT, ids,
            logging.getLogger("test"),
        )  # fmt: skip
        yield House(Pipeline(parts), recorder, server, custody, config)
        await pool.close()
        await store.close()


def subject(word: str, body: bytes = b"word") -> bytes:
    return RAW.replace(b"hello", word.encode()).replace(b"word", body)


async def test_relayed_in_the_session_is_two_events_and_the_same_bytes(house: House) -> None:
    code, text = await house.receive()
    assert code == 250
    assert "queued as F1" in text
    assert "[01KAMZ3W8Q0000000000000M01]" in text
    assert house.types() == ["message.decided", "message.relayed"]
    (received,) = house.server.messages
    assert received.data.endswith(RAW)
    assert received.data.startswith(b"Received: from mx.partner.example ([198.18.0.7])")


async def test_refused_by_policy_reaches_nobody(house: House) -> None:
    code, text = await house.receive(subject("REFUSE"))
    assert (code, "5.7.26" in text, "(refuse-it)" in text) == (550, True, True)
    assert house.types() == ["message.decided"]
    assert house.server.connections == 0


async def test_what_may_not_be_stored_leaves_no_content_anywhere(house: House, tmp_path: Path) -> None:
    code, text = await house.receive(
        subject("SECRET", b"planted-secret"), recipients=(Recipient("b@corp.test"), Recipient("c@corp.test"))
    )
    assert (code, "(never-store)" in text) == (550, True)
    (event,) = house.recorder.events
    assert event.public["content"] == "not-kept"
    assert {"from", "to0", "to1"} <= set(event.sealed)
    assert not {"subject", "part0", "excerpt", "hfrom"} & set(event.sealed)
    assert (await house.custody.store.page(Filter())).deliveries == ()
    assert await house.custody.blobs.names() == ()
    assert house.server.connections == 0


async def test_the_log_keeps_what_replay_asks(house: House) -> None:
    await house.receive()
    public = house.recorder.events[0].public
    assert public["read"]["bodies"] == {"1": "text/plain"}  # type: ignore[index]
    assert public["facts"][0]["recipient.outside"] is False  # type: ignore[index]
    assert public["facts"][0]["direction"] == "inbound"  # type: ignore[index]


async def test_our_banner_is_kept_off_replies_that_leave(house: House) -> None:
    banner = "【外部邮件 · 信关 Sealgate】".encode()
    raw = RAW.replace(b"word", b"my answer\r\n> " + banner + b"\r\n> old")
    out = {"direction": Direction.OUTBOUND, "sender": "b@corp.test"}
    await house.receive(raw, **out, recipients=(Recipient("a@partner.example"),))
    await house.receive(raw, **out, id="01KAMZ3W8Q0000000000000M02")
    outside, inside = (message.data for message in house.server.messages)
    assert banner not in base64.b64decode(outside.partition(b"\r\n\r\n")[2])
    assert "my answer" in base64.b64decode(outside.partition(b"\r\n\r\n")[2]).decode()
    assert inside.endswith(raw), "among ourselves the warning stays"
    told = [event.public.get("treated") for event in house.recorder.of_type("message.relayed")]
    assert told == [["unbanner"], None], "the log says what was done to the bytes"


async def test_held_is_durable_before_250(house: House) -> None:
    code, text = await house.receive(subject("HOLD"))
    assert code == 250
    assert "hold by hold-it" in text
    page = await house.custody.store.page(Filter())
    assert [delivery.state for delivery in page.deliveries] == [State.AWAITING_APPROVAL]
    assert await house.custody.raw("01KAMZ3W8Q0000000000000M01") == subject("HOLD")
    assert house.types() == ["message.decided"]
    assert house.server.connections == 0


@pytest.mark.parametrize("word", ["hello", "HOLD", "REFUSE"])
async def test_without_the_log_nothing_moves(house: House, word: str) -> None:
    house.recorder.failures = 10
    assert (await house.receive(subject(word)))[0] == 451
    assert house.server.connections == 0
    assert house.recorder.events == []


async def test_a_log_that_fails_between_decision_and_outcome_is_asked_again(house: House) -> None:
    class Failing(FakeRecorder):
        refusals = 0

        async def record(self, events: Sequence[Event], key: MessageKey | None) -> Receipt:
            if events[0].type != "message.decided" and self.refusals < 2:
                self.refusals += 1
                raise RecorderUnavailable("the fake was told to fail")
            return await super().record(events, key)

    failing = Failing()
    house.pipeline.parts = replace(house.pipeline.parts, recorder=failing)
    code, _ = await house.receive()
    assert (code, failing.refusals) == (250, 2)
    assert [event.type for event in failing.events] == ["message.decided", "message.relayed"]


@pytest.mark.parametrize(
    ("verb", "answer", "code", "kind"),
    [
        ("MAIL", b"451 4.3.0 later\r\n", 451, "deferred"),
        ("MAIL", b"550 5.7.1 no\r\n", 550, "refused"),
        ("RCPT", b"550 5.1.1 unknown\r\n", 550, "refused"),
        ("RCPT", b"450 4.2.1 later\r\n", 450, "deferred"),
        ("DATA", b"554 5.5.1 no\r\n", 554, "refused"),
        ("DOT", b"452 4.3.1 full\r\n", 452, "deferred"),
        ("DOT", b"554 5.7.1 spam\r\n", 554, "refused"),
        ("DOT", DROP, 451, "outcome_unknown"),
    ],
)
async def test_the_next_hops_answer_is_ours(house: House, verb: str, answer: object, code: int, kind: str) -> None:
    house.server.say(verb, answer)
    assert (await house.receive())[0] == code
    assert house.types() == ["message.decided", f"message.{kind}"]


async def test_a_recipient_put_off_becomes_ours_before_the_dot(house: House) -> None:
    house.server.say("RCPT", b"250 2.1.5 ok\r\n")
    house.server.say("RCPT", b"450 4.2.1 later\r\n")
    code, _ = await house.receive(recipients=(Recipient("b@corp.test"), Recipient("c@corp.test")))
    assert code == 250
    page = await house.custody.store.page(Filter())
    assert [[person.address for person in delivery.recipients] for delivery in page.deliveries] == [["c@corp.test"]]
    assert page.deliveries[0].state is State.QUEUED
    assert house.types() == ["message.decided", "message.relayed"]


async def test_what_was_taken_for_later_is_given_up_when_the_others_are_refused(house: House) -> None:
    house.server.say("RCPT", b"250 2.1.5 ok\r\n")
    house.server.say("RCPT", b"450 4.2.1 later\r\n")
    house.server.say("DOT", b"554 5.7.1 spam\r\n")
    code, _ = await house.receive(recipients=(Recipient("b@corp.test"), Recipient("c@corp.test")))
    assert code == 554
    page = await house.custody.store.page(Filter())
    assert all(delivery.state is State.SWEPT for delivery in page.deliveries)


async def test_a_next_hop_that_is_down_is_451_or_custody_as_configured(house: House) -> None:
    parts = house.pipeline.parts
    route = Route("*", "smtp://127.0.0.1:1")
    house.pipeline.parts = replace(parts, routes=Routes.of([route]))
    assert (await house.receive())[0] == 451
    gateway = replace(parts.config.gateway, next_hop_down="custody")
    house.pipeline.parts = replace(house.pipeline.parts, config=replace(parts.config, gateway=gateway))
    assert (await house.receive(id="01KAMZ3W8Q0000000000000M02"))[0] == 250
    page = await house.custody.store.page(Filter())
    assert [delivery.state for delivery in page.deliveries] == [State.QUEUED]


async def test_monitor_mode_delivers_and_says_what_would_have_been(house: House) -> None:
    parts = house.pipeline.parts
    gateway = replace(parts.config.gateway, mode="monitor")
    house.pipeline.parts = replace(parts, config=replace(parts.config, gateway=gateway))
    assert (await house.receive(subject("REFUSE")))[0] == 250
    assert b"X-Sealgate-Monitor: reject; rules=refuse-it\r\n" in house.server.messages[0].data


async def test_a_scanner_that_crashes_is_a_finding(house: House) -> None:
    await house.receive(subject("hello", b"crash"))
    findings = house.recorder.events[0].public["findings"]
    assert {"code": "scanner.failed", "count": 1, "about": "words"} in findings  # type: ignore[operator]


async def test_what_matched_and_what_failed_is_counted(house: House) -> None:
    def value(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, labels) or 0.0

    matches, failures = (
        value("sealgate_rule_matches_total", rule="hold-it"),
        value("sealgate_scanner_failures_total", scanner="words"),
    )
    await house.receive(subject("HOLD"))
    await house.receive(subject("HOLD", b"crash"), id="01KAMZ3W8Q0000000000000M02")
    assert value("sealgate_rule_matches_total", rule="hold-it") == matches + 1
    assert value("sealgate_scanner_failures_total", scanner="words") == failures + 1


async def test_a_loop_ends(house: House) -> None:
    raw = b"Received: from x by gw.test with SMTP; now\r\n" * 3 + RAW
    code, text = await house.receive(raw)
    assert (code, "5.4.6" in text) == (554, True)
    assert house.types() == ["message.decided"]
    event = house.recorder.events[0]
    assert (event.outcome, event.reason, event.public["enhanced"]) == ("refuse", "loop", "5.4.6")
    house.recorder.failures = 1
    assert (await house.receive(raw, id="01KAMZ3W8Q0000000000000M02"))[0] == 451


async def test_no_room_in_the_log_is_452_and_nothing_moves(house: House) -> None:
    house.recorder.room = False
    code, text = await house.receive()
    assert (code, "4.3.1" in text) == (452, True)
    assert house.recorder.events == []
    assert house.server.connections == 0


async def test_the_client_behind_a_hop_that_names_none(house: House) -> None:
    parts = house.pipeline.parts
    gateway = replace(parts.config.gateway, trusted_hops=("127.0.0.0/8",))
    house.pipeline = Pipeline(replace(parts, config=replace(parts.config, gateway=gateway)))
    await house.receive(b"Received: from x ([203.0.113.5]) by edge; now\r\n" + RAW, client=None)
    assert house.recorder.events[0].sealed["ip"].text == "203.0.113.5"


async def test_personal_data_stands_in_sealed_fields_only(house: House) -> None:
    await house.receive(subject("HOLD"))
    for event in house.recorder.events:
        public = repr((event.public, event.reason, event.actor, event.outcome))
        assert not [word for word in ("partner.example", "b@corp", "198.18", "HOLD") if word in public]


@pytest.mark.parametrize(
    ("sender", "direction", "passed", "expected"),
    [
        ("a@partner.example", Direction.INBOUND, ("auth.spf.pass", "partner.example"), True),
        ("a@Partner.Example", Direction.INBOUND, ("auth.dmarc.pass", "partner.example"), True),
        ("a@mail.partner.example", Direction.INBOUND, ("auth.dmarc.pass", "partner.example"), True),
        ("a@partner.example", Direction.INBOUND, ("auth.spf.pass", "other.example"), False),
        ("a@notpartner.example", Direction.INBOUND, ("auth.dmarc.pass", "partner.example"), False),
        ("ceo@corp.test", Direction.INBOUND, ("auth.spf.pass", "corp.test"), False),
        ("li@corp.test", Direction.OUTBOUND, ("", ""), True),
        ("someone@else.example", Direction.OUTBOUND, ("", ""), False),
        ("", Direction.OUTBOUND, ("auth.spf.pass", ""), False),
    ],
)
def test_who_may_be_sent_a_bounce(sender: str, direction: Direction, passed: tuple[str, str], expected: bool) -> None:
    finding = Finding(passed[0], Severity.INFO, "", about=passed[1])
    assert bounceable(replace(envelope(), sender=sender, direction=direction), [finding], {"corp.test"}) is expected
