"""Notifications read back by the standard library, and the rule who may get one."""

import email
import email.policy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.custody.bounce import (
    FULL_BYTES,
    Action,
    Fate,
    Notice,
    Origin,
    dsn,
    from_xtext,
    proven,
    status,
    typed,
    wants,
)
from gateway.smtp.reply import Reply
from scanners.message import Recipient

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ORIGINAL = b"From: a@corp.test\r\nSubject: hello\r\n\r\nsecret body\r\n"
GONE = Fate(Recipient("x@far.test"), Reply(550, "5.1.1", "no such user"), "mx.far.test")
NOTICE = Notice(
    Action.FAILED,
    id="01J0000000000000000000000B",
    reference="01J0000000000000000000000A",
    at=NOW,
    reporting_mta="gw.test",
    postmaster="postmaster@corp.test",
    sender="a@corp.test",
    fates=(GONE,),
    original=ORIGINAL,
    arrived_at=NOW - timedelta(hours=1),
)


def read(notice: Notice) -> EmailMessage:
    raw = dsn(notice)
    assert raw is not None
    assert raw.replace(b"\r\n", b"").count(b"\n") == 0
    assert b"\r" not in raw.replace(b"\r\n", b"")
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


def blocks(message: EmailMessage) -> list[dict[str, str]]:
    """The fields of message/delivery-status, one dict a block."""
    part = list(message.iter_parts())[1]
    assert part.get_content_type() == "message/delivery-status"
    return [dict(block.items()) for block in part.get_payload()]  # type: ignore[union-attr]


def text(message: EmailMessage) -> str:
    return str(next(iter(message.iter_parts())).get_content())  # type: ignore[attr-defined]


class TestShape:
    def test_header(self) -> None:
        message = read(NOTICE)
        assert message.get_content_type() == "multipart/report"
        assert message.get_param("report-type") == "delivery-status"
        assert message["To"] == "a@corp.test"
        assert message["Auto-Submitted"] == "auto-replied"
        assert message["Message-ID"] == "<01J0000000000000000000000B@gw.test>"
        assert "未能送达" in message["Subject"]
        assert "could not be delivered" in message["Subject"]
        assert "postmaster@corp.test" in message["From"]
        assert [part.get_content_type() for part in message.iter_parts()] == [
            "text/plain",
            "message/delivery-status",
            "text/rfc822-headers",
        ]

    def test_a_returned_header_written_in_ascii_keeps_its_lines_short(self) -> None:
        made = dsn(replace(NOTICE, original=b"X-A: " + "\u738b".encode() * 320 + b"\r\n\r\nbody\r\n"))
        assert made is not None
        assert max(map(len, made.split(b"\r\n"))) <= 998

    def test_status_fields(self) -> None:
        recipient = Recipient("x@far.test", ("FAILURE",), "rfc822;X+2Btag@far.test")
        message = read(replace(NOTICE, fates=(replace(GONE, recipient=recipient),), envid="QQ+3D1"))
        about, one = blocks(message)
        assert about == {
            "Original-Envelope-Id": "QQ=1",
            "Reporting-MTA": "dns; gw.test",
            "Arrival-Date": "Sun, 01 Mar 2026 11:00:00 +0000",
        }
        assert one == {
            "Original-Recipient": "rfc822; X+tag@far.test",
            "Final-Recipient": "rfc822; x@far.test",
            "Action": "failed",
            "Status": "5.1.1",
            "Remote-MTA": "dns; mx.far.test",
            "Diagnostic-Code": "smtp; 550 5.1.1 no such user",
            "Last-Attempt-Date": "Sun, 01 Mar 2026 12:00:00 +0000",
        }

    def test_people_are_told_what_to_do(self) -> None:
        said = text(read(NOTICE))
        for words in (
            "x@far.test",
            "no such user",
            "核对收件人地址",
            "Check the recipient's address",
            NOTICE.reference,
        ):
            assert words in said

    def test_delay(self) -> None:
        message = read(replace(NOTICE, action=Action.DELAYED, retry_until=NOW + timedelta(days=4)))
        one = blocks(message)[1]
        assert (one["Action"], one["Will-Retry-Until"]) == ("delayed", "Thu, 05 Mar 2026 12:00:00 +0000")
        assert "无需重发" in text(message)

    def test_relayed(self) -> None:
        fate = Fate(Recipient("x@far.test", ("SUCCESS",)), Reply(250, "", "queued"), "mx.far.test")
        one = blocks(read(replace(NOTICE, action=Action.RELAYED, fates=(fate,))))[1]
        assert (one["Action"], one["Status"]) == ("relayed", "2.0.0")

    def test_international_addresses_stay_seven_bit_in_the_status(self) -> None:
        notice = replace(NOTICE, fates=(replace(GONE, recipient=Recipient("李四@例子.中国")),))
        raw = dsn(notice)
        assert raw is not None
        assert raw.isascii()
        assert blocks(read(notice))[1]["Final-Recipient"].startswith("utf-8; \\x{674E}\\x{56DB}@")
        assert "李四@例子.中国" in text(read(notice))

    def test_chinese_reply(self) -> None:
        notice = replace(NOTICE, fates=(replace(GONE, reply=Reply(550, "5.7.1", "拒收")),))
        assert "\\u62d2" in blocks(read(notice))[1]["Diagnostic-Code"]
        assert "拒收" in text(read(notice))


class TestReturned:
    def third(self, notice: Notice) -> EmailMessage:
        return list(read(notice).iter_parts())[2]  # type: ignore[return-value]

    def test_header_only_by_default(self) -> None:
        raw = dsn(NOTICE)
        assert raw is not None
        assert b"Subject: hello" in raw
        assert b"secret body" not in raw

    def test_full_when_asked(self) -> None:
        third = self.third(replace(NOTICE, ret="FULL"))
        assert third.get_content_type() == "message/rfc822"
        assert "secret body" in third.as_string()

    @pytest.mark.parametrize("action", [Action.DELAYED, Action.RELAYED])
    def test_full_only_in_failures(self, action: Action) -> None:
        fates = (replace(GONE, recipient=Recipient("x@far.test", ("DELAY", "SUCCESS"))),)
        assert (
            self.third(replace(NOTICE, ret="FULL", action=action, fates=fates)).get_content_type()
            == "text/rfc822-headers"
        )

    def test_full_is_bounded(self) -> None:
        big = ORIGINAL + b"x" * FULL_BYTES
        assert self.third(replace(NOTICE, ret="FULL", original=big)).get_content_type() == "text/rfc822-headers"

    @pytest.mark.parametrize(
        "original", [b"", b"\r\n\r\nbody", b"no end", b"X: " + b"y" * 70 + b"\r\n", "Subject: 合同\r\n\r\nx".encode()]
    )
    def test_odd_originals(self, original: bytes) -> None:
        self.third(replace(NOTICE, original=original))

    def test_endless_header_is_cut_at_a_line(self) -> None:
        raw = dsn(replace(NOTICE, original=b"X: yyyyyy\r\n" * 20_000))
        assert raw is not None
        assert len(raw) < 100_000
        assert b"\r\nX: yyyyyy\r\n\r\n--=_" in raw

    def test_an_original_that_knows_the_boundary_cannot_break_out(self) -> None:
        evil = f"A: b\r\n\r\n--=_{NOTICE.id}_0--\r\n\r\n--=_{NOTICE.id}_1\r\n".encode()
        message = read(replace(NOTICE, ret="FULL", original=evil))
        assert len(list(message.iter_parts())) == 3


class TestWhoIsTold:
    @pytest.mark.parametrize(
        ("notify", "told"),
        [
            ((), {Action.FAILED, Action.DELAYED}),
            (("NEVER",), set()),
            (("FAILURE",), {Action.FAILED}),
            (("DELAY",), {Action.DELAYED}),
            (("SUCCESS",), {Action.RELAYED}),
            (("SUCCESS", "FAILURE", "DELAY"), set(Action)),
        ],
    )
    def test_notify(self, notify: tuple[str, ...], told: set[Action]) -> None:
        recipient = Recipient("x@far.test", notify)
        assert {action for action in Action if wants(recipient, action)} == told
        for action in Action:
            made = dsn(replace(NOTICE, action=action, fates=(replace(GONE, recipient=recipient),)))
            assert (made is not None) == (action in told)

    def test_only_the_recipients_that_want_it(self) -> None:
        silent = replace(GONE, recipient=Recipient("quiet@far.test", ("NEVER",)))
        raw = dsn(replace(NOTICE, fates=(silent, GONE)))
        assert raw is not None
        assert len(blocks(read(replace(NOTICE, fates=(silent, GONE))))) == 2
        assert b"quiet@" not in raw

    @pytest.mark.parametrize("sender", ["", "a@b\r\nBcc: x@y", "a b@c", "a>@b"])
    def test_never(self, sender: str) -> None:
        assert dsn(replace(NOTICE, sender=sender)) is None


class TestHostile:
    @given(st.text(max_size=80), st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
    def test_nothing_anybody_supplies_can_add_a_field(self, said: str, address: str, orcpt: str, envid: str) -> None:
        fate = Fate(Recipient(address, (), f"rfc822;{orcpt}"), Reply(550, "5.0.0", said), "mx.far.test")
        message = read(replace(NOTICE, fates=(fate,), envid=envid))
        found = blocks(message)
        assert len(found) == 2
        assert set(found[0]) <= {"Original-Envelope-Id", "Reporting-MTA", "Arrival-Date"}
        assert found[1]["Action"] == "failed"
        assert len(found[1]) <= 7

    def test_xtext_line_ends_are_blanked(self) -> None:
        fate = replace(GONE, recipient=Recipient("x@far.test", (), "rfc822;x+0D+0AAction: delivered"))
        found = blocks(read(replace(NOTICE, fates=(fate,))))
        assert found[1]["Original-Recipient"] == "rfc822; x??Action: delivered"

    @pytest.mark.parametrize(
        ("raw", "plain"), [("a+2Bb", "a+b"), ("+3D", "="), ("a+", "a+"), ("a+zz", "a+zz"), ("+2b", "+2b"), ("", "")]
    )
    def test_xtext(self, raw: str, plain: str) -> None:
        assert from_xtext(raw) == plain

    def test_typed(self) -> None:
        assert typed("a@b") == "rfc822; a@b"
        assert typed("é+x@b") == "utf-8; \\x{E9}\\x{2B}x@b"

    @pytest.mark.parametrize(
        ("code", "enhanced", "expected"), [(550, "", "5.0.0"), (451, "", "4.0.0"), (550, "5.7.1", "5.7.1")]
    )
    def test_status(self, code: int, enhanced: str, expected: str) -> None:
        assert status(Reply(code, enhanced, ""), Action.FAILED) == expected


OURS = Origin("a@corp.test", is_client=True, is_local=True)
FAR = Origin("a@far.test")

MAY = {
    "ours": (OURS, True),
    "our domain from a stranger": (replace(OURS, is_client=False, spf_pass="corp.test", dmarc_pass="corp.test"), False),
    "our client with a foreign domain": (Origin("a@far.test", is_client=True), False),
    "null sender": (replace(OURS, sender=""), False),
    "null sender with SPF": (Origin("", spf_pass="far.test"), False),
    "stranger": (FAR, False),
    "SPF passed": (replace(FAR, spf_pass="Far.test."), True),
    "SPF passed for another": (replace(FAR, spf_pass="helo.test"), False),
    "DMARC passed": (replace(FAR, dmarc_pass="far.test"), True),
    "DMARC passed above": (Origin("a@bounce.far.test", dmarc_pass="far.test"), True),
    "DMARC passed for another": (replace(FAR, dmarc_pass="other.test"), False),
    "DMARC passed for a look-alike suffix": (Origin("a@notfar.test", dmarc_pass="far.test"), False),
    "no domain": (Origin("postmaster", is_local=False), False),
}


@pytest.mark.parametrize("name", MAY)
def test_who_may_get_one(name: str) -> None:
    origin, expected = MAY[name]
    assert proven(origin) == expected


def test_it_stands_below_the_mail_it_is_about() -> None:
    long = f"<{'x' * 200}@pc.corp.test>"
    message = read(replace(NOTICE, thread=long))
    assert (message["In-Reply-To"], message["References"]) == (long, long)
    assert read(NOTICE)["In-Reply-To"] is None
