"""Every answer a server may give at every place of a dialogue, without a socket."""

import itertools
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.smtp.answers import LINE_BYTES, LINES, PENDING, AnswerReader, Capabilities, Malformed
from gateway.smtp.commands import Outgoing, plan
from gateway.smtp.dialogue import (
    AT_ONCE_BYTES,
    TURNS,
    Confirm,
    Content,
    Handshake,
    Lost,
    Phase,
    Result,
    Step,
    Tls,
    Transaction,
    Turn,
    greet,
)
from gateway.smtp.nexthop import TlsPolicy
from gateway.smtp.reply import Reply
from gateway.smtp.stuffing import END, stuffed
from scanners.message import Recipient

FULL = Capabilities(pipelining=True, eightbitmime=True, smtputf8=True, dsn=True, starttls=False, size=0)
STEPWISE = replace(FULL, pipelining=False)
LOST = b""
JUNK = b"hello there\r\n"
WRONG = b"250 2.0.0 Ok\r\n"
OK = b"250 2.1.0 Ok\r\n"
GO = b"354 go\r\n"
LATER = b"450 4.2.1 later\r\n"
NEVER = b"550 5.1.1 no such user\r\n"
CLOSING = b"421 4.3.2 closing\r\n"
DATA = (b"Received: by us\r\n", b"From: a@b\r\n\r\nHello\r\n")


@dataclass
class Played:
    """What a dialogue wrote, and how it ended."""

    written: bytes
    lost: Lost | None
    asked: int
    value: object = None
    handshakes: int = 0


def play(
    steps: Generator[Step, Result, object], answers: Sequence[bytes], *, agree: bool = True, tls: Tls | None = None
) -> Played:
    """Run a dialogue against answers in order; LOST (or no answer left) closes the connection, JUNK breaks the protocol."""
    played = Played(b"", None, 0)
    queue = list(answers)
    result: Result = None
    try:
        step = next(steps)
        while True:
            try:
                result = _take(step, queue, played, agree=agree, tls=tls)
            except Lost as lost:
                step = steps.throw(lost)
            else:
                step = steps.send(result)
    except StopIteration as stop:
        played.value = stop.value
    except Lost as lost:
        played.lost = lost
    return played


def _take(step: Step, queue: list[bytes], played: Played, *, agree: bool, tls: Tls | None) -> Result:
    if isinstance(step, bytes):
        played.written += step
    elif isinstance(step, Content):
        played.written += b"".join(step.chunks)
    elif isinstance(step, Confirm):
        played.asked += 1
        return agree
    elif isinstance(step, Handshake):
        played.handshakes += 1
        if tls is None:
            raise Lost("handshake failed", "4.7.5", phase=Phase.TLS)
        return tls
    elif isinstance(step, Turn):
        answer = queue.pop(0) if queue else LOST
        if answer == LOST:
            raise Lost("closed", phase=step.phase)
        reader = AnswerReader()
        try:
            reader.feed(answer)
        except Malformed as error:
            raise Lost(str(error), "4.5.0", phase=step.phase) from error
        return reader.answers.popleft()
    return None


def outgoing(*recipients: str, **options: object) -> Outgoing:
    return Outgoing("a@corp.test", tuple(map(Recipient, recipients)), **options)  # type: ignore[arg-type]


TWO = outgoing("x@corp.test", "y@corp.test")

# answers to MAIL, RCPT x, RCPT y, DATA, DOT -> phase, code for x, code for y, unknown, clean
TABLE = {
    "all well": ((OK, OK, OK, GO, OK), Phase.AFTER_DOT, 250, 250, False, True),
    "MAIL 4xx": ((LATER, NEVER, NEVER, NEVER, LOST), Phase.MAIL, 450, 450, False, True),
    "MAIL 5xx": ((NEVER, LATER, LATER, LATER, LOST), Phase.MAIL, 550, 550, False, True),
    "MAIL 421": ((CLOSING, LOST, LOST, LOST, LOST), Phase.MAIL, 421, 421, False, False),
    "MAIL junk": ((JUNK, OK, OK, GO, OK), Phase.MAIL, 451, 451, False, False),
    "MAIL 354": ((GO, OK, OK, GO, OK), Phase.MAIL, 451, 451, False, False),
    "MAIL lost": ((LOST,), Phase.MAIL, 451, 451, False, False),
    "RCPT 4xx": ((OK, LATER, OK, GO, OK), Phase.AFTER_DOT, 450, 250, False, True),
    "RCPT 5xx": ((OK, OK, NEVER, GO, OK), Phase.AFTER_DOT, 250, 550, False, True),
    "RCPT both refused": ((OK, LATER, NEVER, NEVER, LOST), Phase.RCPT, 450, 550, False, True),
    "RCPT 421": ((OK, OK, CLOSING, LOST, LOST), Phase.RCPT, 421, 421, False, False),
    "RCPT junk": ((OK, OK, JUNK, GO, OK), Phase.RCPT, 451, 451, False, False),
    "RCPT 354": ((OK, OK, GO, GO, OK), Phase.RCPT, 451, 451, False, False),
    "RCPT lost": ((OK, NEVER, LOST), Phase.RCPT, 550, 451, False, False),
    "DATA 4xx": ((OK, OK, NEVER, LATER, LOST), Phase.DATA, 450, 550, False, True),
    "DATA 5xx": ((OK, OK, OK, NEVER, LOST), Phase.DATA, 550, 550, False, True),
    "DATA 421": ((OK, OK, OK, CLOSING, LOST), Phase.DATA, 421, 421, False, False),
    "DATA 250": ((OK, OK, OK, WRONG, OK), Phase.DATA, 451, 451, False, False),
    "DATA junk": ((OK, OK, OK, JUNK, OK), Phase.DATA, 451, 451, False, False),
    "DATA lost": ((OK, NEVER, OK, LOST), Phase.DATA, 550, 451, False, False),
    "DOT 4xx": ((OK, OK, NEVER, GO, LATER), Phase.AFTER_DOT, 450, 550, False, True),
    "DOT 5xx": ((OK, OK, OK, GO, NEVER), Phase.AFTER_DOT, 550, 550, False, True),
    "DOT 421": ((OK, OK, OK, GO, CLOSING), Phase.AFTER_DOT, 421, 421, False, False),
    "DOT 354": ((OK, OK, OK, GO, GO), Phase.AFTER_DOT, 451, 451, True, False),
    "DOT junk": ((OK, OK, OK, GO, JUNK), Phase.AFTER_DOT, 451, 451, True, False),
    "DOT lost": ((OK, OK, OK, GO, LOST), Phase.AFTER_DOT, 451, 451, True, False),
}


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("capabilities", [FULL, STEPWISE], ids=["pipelined", "stepwise"])
def test_every_answer_at_every_place(name: str, capabilities: Capabilities) -> None:
    answers, phase, x, y, unknown, clean = TABLE[name]
    if capabilities is STEPWISE and name == "RCPT both refused":
        answers = answers[:3]  # DATA is never sent
    carried = Transaction(TWO, DATA, capabilities)
    played = play(carried.steps(), answers)
    settled = carried.settle(played.lost.reply() if played.lost else Reply(999, "", "must not show"))
    assert (carried.phase, *(one.reply.code for one in settled)) == (phase, x, y)
    assert [one.unknown for one in settled] == [unknown, unknown]
    assert (carried.clean and played.lost is None) == clean
    delivered = 250 in (x, y) or phase is Phase.AFTER_DOT
    assert played.written.endswith(b"Hello\r\n.\r\n") == delivered
    assert (carried.final is None) == (unknown or phase is not Phase.AFTER_DOT)


def test_table_has_a_row_for_every_kind_of_answer_at_every_place() -> None:
    kinds = {"4xx", "5xx", "junk", "lost"}
    for turn in TURNS:
        if turn.name in ("MAIL", "RCPT", "DATA"):
            assert {f"{turn.name} {kind}" for kind in kinds} <= TABLE.keys()
    assert {f"DOT {kind}" for kind in kinds} <= TABLE.keys()


class TestPipelining:
    def test_one_write_for_the_envelope(self) -> None:
        steps = Transaction(TWO, DATA, FULL).steps()
        first = next(steps)
        assert first == (
            b"MAIL FROM:<a@corp.test> SIZE=36\r\nRCPT TO:<x@corp.test>\r\nRCPT TO:<y@corp.test>\r\nDATA\r\n".replace(
                b"36", str(sum(map(len, DATA))).encode()
            )
        )

    def test_all_recipients_refused_and_354_ends_with_a_lone_dot(self) -> None:
        carried = Transaction(TWO, DATA, FULL)
        played = play(carried.steps(), (OK, NEVER, NEVER, GO, b"554 5.5.1 nobody\r\n"))
        assert played.written.endswith(b"DATA\r\n.\r\n")
        assert [one.reply.code for one in carried.settle(Reply(451, "", ""))] == [550, 550]
        assert (carried.clean, carried.reset, played.asked) == (True, True, 0)

    def test_354_after_a_refused_mail_sends_no_dot_and_drops_the_connection(self) -> None:
        carried = Transaction(TWO, DATA, FULL)
        played = play(carried.steps(), (LATER, OK, OK, GO))
        assert played.written.endswith(b"DATA\r\n")
        assert not carried.clean

    def test_rset_goes_first_after_an_unfinished_transaction(self) -> None:
        carried = Transaction(TWO, DATA, FULL, reset_first=True)
        played = play(carried.steps(), (OK, OK, OK, OK, GO, OK))
        assert played.written.startswith(b"RSET\r\nMAIL")
        assert carried.clean
        assert not carried.reset

    def test_refused_rset_is_repeatable_elsewhere(self) -> None:
        carried = Transaction(TWO, DATA, FULL, reset_first=True)
        assert play(carried.steps(), (NEVER, OK, OK, OK, GO, OK)).lost is not None
        assert carried.repeatable
        assert not carried.decided


class TestHook:
    @pytest.mark.parametrize("size", [10, 3 * AT_ONCE_BYTES], ids=["small", "large"])
    def test_no_means_no_dot(self, size: int) -> None:
        carried = Transaction(TWO, (b"x" * size,), FULL)
        played = play(carried.steps(), (OK, LATER, OK, GO, OK), agree=False)
        assert played.asked == 1
        assert not played.written.endswith(b"\r\n.\r\n")
        assert carried.phase is Phase.DOT
        assert [one.reply.code for one in carried.settle(Reply(999, "", ""))] == [450, 451]
        assert not carried.clean
        assert not carried.repeatable

    def test_large_content_travels_while_the_hook_thinks(self) -> None:
        steps = Transaction(TWO, (b"x" * AT_ONCE_BYTES, b"y"), FULL).steps()
        step, seen = next(steps), []
        answers = iter((OK, OK, OK, GO, OK))
        try:
            while True:
                seen.append(type(step))
                reader = AnswerReader()
                if isinstance(step, Turn):
                    reader.feed(next(answers))
                step = steps.send(
                    reader.answers.popleft() if isinstance(step, Turn) else isinstance(step, Confirm) or None
                )
        except StopIteration:
            pass
        assert seen[-4:] == [Content, Confirm, Content, Turn]

    def test_it_sees_every_rcpt_reply(self) -> None:
        steps = Transaction(TWO, DATA, FULL).steps()
        step: Step = next(steps)
        answers = iter((OK, LATER, OK, GO))
        while not isinstance(step, Confirm):
            reader = AnswerReader()
            if isinstance(step, Turn):
                reader.feed(next(answers))
            step = steps.send(reader.answers.popleft() if reader.answers else None)
        assert [(one.address, one.reply.code) for one in step.replies()] == [("x@corp.test", 450), ("y@corp.test", 250)]


class TestLmtp:
    @pytest.mark.parametrize(
        ("dots", "codes", "unknown"),
        [
            ((OK, OK), (250, 250), (False, False)),
            ((OK, LATER), (250, 450), (False, False)),
            ((NEVER, OK), (550, 250), (False, False)),
            ((OK, LOST), (250, 451), (False, True)),
            ((LOST,), (451, 451), (True, True)),
            ((LATER, JUNK), (450, 451), (False, True)),
        ],
    )
    def test_one_answer_for_each_accepted_recipient(
        self, dots: tuple[bytes, ...], codes: tuple[int, ...], unknown: object
    ) -> None:
        mail = outgoing("x@corp.test", "no@corp.test", "y@corp.test")
        carried = Transaction(mail, DATA, FULL, lmtp=True)
        played = play(carried.steps(), (OK, OK, NEVER, OK, GO, *dots))
        settled = carried.settle(played.lost.reply() if played.lost else Reply(999, "", ""))
        assert tuple(one.reply.code for one in settled) == (codes[0], 550, codes[1])
        assert tuple(one.unknown for one in settled) == (unknown[0], False, unknown[1])  # type: ignore[index]


class TestGreeting:
    EHLO = b"250-fake.test\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250 STARTTLS\r\n"
    PLAIN = b"250 fake.test\r\n"
    HELLO = b"220 fake.test\r\n"
    TLS = Tls("TLSv1.3", "TLS_AES_256_GCM_SHA384", True)

    def run(
        self, *answers: bytes, policy: TlsPolicy | None = TlsPolicy.OPPORTUNISTIC, tls: Tls | None = None
    ) -> Played:
        return play(greet("gw.test", lmtp=False, tls=None, policy=policy), answers, tls=tls)

    def test_plain(self) -> None:
        played = self.run(self.HELLO, self.PLAIN)
        assert played.written == b"EHLO gw.test\r\n"
        assert played.value.tls is None  # type: ignore[attr-defined]

    def test_starttls_asks_ehlo_again(self) -> None:
        played = self.run(self.HELLO, self.EHLO, b"220 go\r\n", self.PLAIN, tls=self.TLS)
        assert played.written == b"EHLO gw.test\r\nSTARTTLS\r\nEHLO gw.test\r\n"
        assert played.value.tls == self.TLS  # type: ignore[attr-defined]
        assert not played.value.capabilities.pipelining  # type: ignore[attr-defined]

    @pytest.mark.parametrize("policy", [TlsPolicy.REQUIRED, TlsPolicy.VERIFIED])
    @pytest.mark.parametrize("answers", [(PLAIN,), (EHLO, b"454 4.7.0 not now\r\n"), (EHLO, b"501 no\r\n")])
    def test_required_and_not_to_be_had(self, policy: TlsPolicy, answers: tuple[bytes, ...]) -> None:
        played = self.run(self.HELLO, *answers, policy=policy, tls=self.TLS)
        assert played.lost is not None
        assert played.lost.reply().enhanced == "4.7.4"
        assert played.lost.phase is Phase.TLS
        assert not played.handshakes

    def test_opportunistic_goes_on_in_the_clear_when_refused(self) -> None:
        assert self.run(self.HELLO, self.EHLO, b"454 4.7.0 not now\r\n").lost is None

    def test_failed_handshake_is_lost_in_tls(self) -> None:
        played = self.run(self.HELLO, self.EHLO, b"220 go\r\n")
        assert played.lost is not None
        assert played.lost.phase is Phase.TLS

    @pytest.mark.parametrize(
        "answers",
        [
            (),
            (b"554 5.7.1 go away\r\n",),
            (b"421 4.3.2 busy\r\n",),
            (b"250 what\r\n",),
            (JUNK,),
            (b"220 hi\r\n",),
            (b"220 hi\r\n", b"421 4.3.2 busy\r\n"),
            (b"220 hi\r\n", b"500 what\r\n", b"500 what\r\n"),
            (b"220 hi\r\n", b"354 what\r\n"),
            (b"220 hi\r\n", EHLO),
        ],
    )
    def test_anything_else_is_transient(self, answers: tuple[bytes, ...]) -> None:
        played = self.run(*answers)
        assert played.lost is not None
        assert played.lost.reply().transient

    def test_helo_when_ehlo_is_unknown(self) -> None:
        played = self.run(self.HELLO, b"502 5.5.2 what?\r\n", self.PLAIN)
        assert played.written == b"EHLO gw.test\r\nHELO gw.test\r\n"
        assert played.value.capabilities == Capabilities()  # type: ignore[attr-defined]

    def test_lmtp_says_lhlo(self) -> None:
        assert (
            play(greet("gw.test", lmtp=True, tls=None, policy=None), (self.HELLO, self.PLAIN)).written
            == b"LHLO gw.test\r\n"
        )


class TestCommands:
    CHINESE = Outgoing("张三@例子.中国", (Recipient("李四@例子.中国"),), smtputf8=True)

    def commands(
        self, mail: Outgoing, offered: Capabilities, data: tuple[bytes, ...] = (b"a: b\r\n\r\n",)
    ) -> list[bytes]:
        ready = plan(mail, data, offered)
        assert ready.refusal is None
        return list(ready.commands)

    def test_options_only_as_far_as_offered(self) -> None:
        mail = Outgoing(
            "a@b.test",
            (Recipient("c@d.test", ("FAILURE", "DELAY"), "rfc822;c+2Bx@d.test"),),
            body8bit=True,
            ret="HDRS",
            envid="x+3D1",
        )
        assert self.commands(mail, FULL) == [
            b"MAIL FROM:<a@b.test> SIZE=8 BODY=8BITMIME RET=HDRS ENVID=x+3D1\r\n",
            b"RCPT TO:<c@d.test> NOTIFY=FAILURE,DELAY ORCPT=rfc822;c+2Bx@d.test\r\n",
        ]
        assert self.commands(mail, Capabilities()) == [b"MAIL FROM:<a@b.test>\r\n", b"RCPT TO:<c@d.test>\r\n"]

    def test_null_sender(self) -> None:
        assert self.commands(Outgoing("", (Recipient("c@d.test"),)), Capabilities())[0] == b"MAIL FROM:<>\r\n"

    def test_smtputf8_is_said_when_needed_and_offered(self) -> None:
        assert self.commands(self.CHINESE, FULL)[0].endswith(b" SMTPUTF8\r\n")

    @pytest.mark.parametrize(
        ("mail", "data", "code"),
        [
            (CHINESE, b"a: b\r\n\r\n", "5.6.7"),
            (outgoing("x@y.test", smtputf8=True), "Subject: 合同\r\n\r\nbody\r\n".encode(), "5.6.7"),
            (outgoing("x@y.test", smtputf8=True), b"Subject: ascii\r\n\r\nbody\r\n", None),
            (outgoing("x@y.test", smtputf8=True), "Subject: ascii\r\n\r\n合同\r\n".encode(), "5.6.3"),
            (outgoing("x@y.test", body8bit=True), "a: b\r\n\r\n合同\r\n".encode(), "5.6.3"),
            (outgoing("x@y.test"), "a: b\r\n\r\n合同\r\n".encode(), "5.6.3"),
            (outgoing("x@y.test", body8bit=True), b"a: b\r\n\r\nascii\r\n", None),
        ],
    )
    def test_needed_and_missing_is_refused_never_recoded(self, mail: Outgoing, data: bytes, code: str | None) -> None:
        carried = Transaction(mail, (data,), Capabilities(pipelining=True))
        written = play(carried.steps(), (OK, OK, GO, OK)).written
        assert [one.reply.enhanced for one in carried.settle(Reply(451, "4.0.0", ""))] == [code or "2.1.0"]
        assert (written == b"") == (code is not None)
        if code:
            assert not carried.settle(Reply(451, "4.0.0", ""))[0].reply.transient
            assert carried.clean

    def test_only_the_recipient_that_needs_smtputf8_is_refused(self) -> None:
        mail = Outgoing("a@b.test", (Recipient("李四@例子.中国"), Recipient("c@d.test")))
        carried = Transaction(mail, DATA, Capabilities(pipelining=True))
        assert b"RCPT TO:<c@d.test>\r\nDATA\r\n" in play(carried.steps(), (OK, OK, GO, OK)).written
        assert [one.reply.enhanced for one in carried.settle(Reply(451, "", ""))] == ["5.6.7", "2.1.0"]

    def test_too_large_for_the_hop(self) -> None:
        refusal = plan(TWO, (b"x" * 1001,), Capabilities(size=1000)).refusal
        assert refusal is not None
        assert (refusal.code, refusal.enhanced) == (552, "5.3.4")
        assert plan(TWO, (b"x" * 1000,), Capabilities(size=1000)).refusal is None

    @pytest.mark.parametrize(
        "address",
        ["a@b\r\nDATA", "a@b>\x00", "a@b> NOTIFY=NEVER", "a b@c", "a@b\n", "a@\x7f", "\udc80@b", "",
         'a@[IPv6:::1%"> NOTIFY=NEVER "]', 'a"@b> NOTIFY=NEVER X="', '"a"@b> NOTIFY=NEVER', '"a@b> NOTIFY=NEVER'],
    )  # fmt: skip
    def test_no_address_can_inject_a_command(self, address: str) -> None:
        ready = plan(outgoing(address, "good@corp.test"), DATA, FULL)
        assert [index for index, _ in ready.refused] == [0]
        assert b"".join(ready.commands).count(b"\r\n") == 2
        if address:
            assert plan(Outgoing(address, TWO.recipients), DATA, FULL).refusal is not None

    def test_quoted_local_part_passes(self) -> None:
        assert plan(outgoing('"a b>"@c.test'), DATA, FULL).commands[1] == b'RCPT TO:<"a b>"@c.test>\r\n'

    @pytest.mark.parametrize("value", ["a b", "a=b", "é", "x" * 101, "a\r\nb"])
    def test_parameters_that_are_no_xtext_are_left_out(self, value: str) -> None:
        assert b"ENVID" not in plan(Outgoing("a@b", TWO.recipients, envid=value), DATA, FULL).commands[0]


class TestAnswers:
    def feed(self, *pieces: bytes) -> AnswerReader:
        reader = AnswerReader()
        for piece in pieces:
            reader.feed(piece)
        return reader

    @pytest.mark.parametrize(
        ("raw", "reply"),
        [
            (b"250 2.1.0 Ok\r\n", Reply(250, "2.1.0", "Ok")),
            (b"250\r\n", Reply(250, "", "")),
            (b"250 \r\n", Reply(250, "", "")),
            (b"250 Ok\r\n", Reply(250, "", "Ok")),
            (b"550 4.1.1 wrong class\r\n", Reply(550, "", "4.1.1 wrong class")),
            (b"550 5.1 x\r\n", Reply(550, "", "5.1 x")),
            (b"550 5.1234.1 x\r\n", Reply(550, "", "5.1234.1 x")),
            (b"550 5.7.26\r\n", Reply(550, "5.7.26", "")),
            (b"354 3.0.0 x\r\n", Reply(354, "", "3.0.0 x")),
            (b"550-5.7.1 first\r\n550-5.7.1 second\r\n550 5.7.1 third\r\n", Reply(550, "5.7.1", "first second third")),
            (b"550 a\x1b[31m\x00b\r\n", Reply(550, "", "a [31m b")),
            ("550 5.1.1 查无此人\r\n".encode(), Reply(550, "5.1.1", "查无此人")),
            (b"550 \xb2\xe9\r\n", Reply(550, "", "��")),
        ],
    )
    def test_reply(self, raw: bytes, reply: Reply) -> None:
        assert self.feed(raw).answers.popleft().reply == reply

    @pytest.mark.parametrize(
        "raw",
        [
            b"hello\r\n",
            b"\r\n",
            b"25\r\n",
            b"250 ok\n",
            b"250-a\r\n251 b\r\n",
            b"250_a\r\n",
            b"150 a\r\n",
            b"650 a\r\n",
            b"-50 a\r\n",
            b"\xb2\xb3\xb9 a\r\n",
            b"2" * (LINE_BYTES + 1),
            b"250 " + b"x" * LINE_BYTES + b"\r\n",
            b"250-a\r\n" * LINES,
            b"250 a\r\n" * (PENDING + 1),
        ],
    )
    def test_rubbish_is_malformed_and_bounded(self, raw: bytes) -> None:
        with pytest.raises(Malformed):
            self.feed(raw)

    def test_answers_before_rubbish_count(self) -> None:
        reader = AnswerReader()
        with pytest.raises(Malformed):
            reader.feed(b"250 ok\r\nrubbish\r\n")
        assert len(reader.answers) == 1

    def test_text_is_cut(self) -> None:
        long = b"550-" + b"x" * 1900 + b"\r\n550 " + b"y" * 1900 + b"\r\n"
        assert len(self.feed(long).answers[0].reply.text) == 1000

    @given(st.binary(max_size=300))
    def test_never_anything_but_answers_or_malformed(self, raw: bytes) -> None:
        try:
            reader = self.feed(raw)
        except Malformed:
            return
        for answer in reader.answers:
            reply = answer.reply
            assert 200 <= reply.code < 600
            assert str(reply).isprintable()

    @given(
        st.lists(st.sampled_from([b"250 2.0.0 ok\r\n", b"250-a\r\n250 b\r\n", b"450 4.2.0 x\r\n"]), max_size=6),
        st.data(),
    )
    def test_pieces_do_not_matter(self, lines: list[bytes], data: st.DataObject) -> None:
        raw = b"".join(lines)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=5)))
        pieces = [raw[a:b] for a, b in itertools.pairwise([0, *cuts, len(raw)])]
        assert list(self.feed(*pieces).answers) == list(self.feed(raw).answers)

    def test_capabilities(self) -> None:
        answer = self.feed(b"250-x\r\n250-size 5000\r\n250-Dsn\r\n250-AUTH PLAIN\r\n250 8bitmime\r\n").answers[0]
        assert Capabilities.parse(answer) == Capabilities(eightbitmime=True, dsn=True, size=5000)

    @pytest.mark.parametrize(
        ("line", "size"), [(b"SIZE", 0), (b"SIZE x", 0), (b"SIZE 0", 0), (b"SIZE " + b"9" * 40, 0), (b"SIZE 7", 7)]
    )
    def test_size(self, line: bytes, size: int) -> None:
        assert Capabilities.parse(self.feed(b"250-x\r\n250 " + line + b"\r\n").answers[0]).size == size


def unstuffed(wire: bytes) -> bytes:
    """What a strict receiver keeps, by the letter of RFC 5321 4.5.2."""
    content, end, rest = (b"\r\n" + wire).partition(b"\r\n.\r\n")
    assert (end, rest) == (b"\r\n.\r\n", b"")
    return (content + b"\r\n").replace(b"\r\n.", b"\r\n")[2:]


class TestStuffing:
    @pytest.mark.parametrize(
        ("chunks", "wire"),
        [
            ((), b".\r\n"),
            ((b"a",), b"a\r\n.\r\n"),
            ((b"a\r\n",), b"a\r\n.\r\n"),
            ((b"a\r",), b"a\r\n.\r\n"),
            ((b".a\r\n",), b"..a\r\n.\r\n"),
            ((b".",), b"..\r\n.\r\n"),
            ((b"a\r\n", b".b\r\n"), b"a\r\n..b\r\n.\r\n"),
            ((b"a", b".b\r\n"), b"a.b\r\n.\r\n"),
            ((b"a\r", b"\n.b\r\n"), b"a\r\n..b\r\n.\r\n"),
            ((b"a\r\n", b"", b".\r\n"), b"a\r\n..\r\n.\r\n"),
            ((b"a\n.\r\nMAIL FROM:<x>\r\n",), b"a\n..\r\nMAIL FROM:<x>\r\n.\r\n"),
        ],
    )
    def test_table(self, chunks: tuple[bytes, ...], wire: bytes) -> None:
        assert b"".join(stuffed(chunks)) + END == wire

    def test_clean_chunks_are_not_copied(self) -> None:
        chunk = b"Hello\r\n"
        assert stuffed((chunk,))[0] is chunk

    @given(
        st.lists(
            st.lists(st.sampled_from([b".", b"a", b"\r\n", b"..", b"\r\n."]), max_size=6).map(b"".join), max_size=4
        )
    )
    @settings(max_examples=300)
    def test_a_receiver_gets_what_was_sent(self, chunks: list[bytes]) -> None:
        content = b"".join(chunks)
        expected = content if not content or content.endswith(b"\r\n") else content + b"\r\n"
        got = unstuffed(b"".join(stuffed(chunks)) + END)
        assert got == expected
