"""Envelopes, decisions and deliveries that tests of custody share."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count

from audit.event import Actor, Event, new_id
from gateway.config import Route
from gateway.custody.delivery import Addressee, Delivery
from gateway.plan import Share
from gateway.store.sealing import digest
from policies.decision import DELIVER, Decision, Disposition, Reason, Title
from scanners.message import Direction, Envelope, Recipient

START = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
SYSTEM = Actor("system", "gateway")
RAW = b"From: zhang@corp.test\r\nTo: buyer@acme.example\r\nSubject: planted subject\r\n\r\n" + "合同总价\r\n".encode()


class Clock:
    """A clock that goes on when told."""

    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> datetime:
        return self.at

    def go(self, **by: float) -> None:
        self.at += timedelta(**by)


def counting_ids(start: int = 1) -> Callable[[], str]:
    """ULIDs in a row."""
    numbers = count(start)
    return lambda: new_id(int(START.timestamp() * 1000), next(numbers).to_bytes(10, "big"))


def reason(
    rule: str = "outbound-contract-price",
    disposition: Disposition = Disposition.APPROVE,
    *,
    version: str = "v1",
    waivable: bool = True,
    approvers: tuple[str, ...] = (),
    delay_s: int = 0,
) -> Reason:
    return Reason(
        rule, version, disposition, Title("题", "title"), waivable=waivable, approvers=approvers, delay_s=delay_s
    )


def decision(*reasons: Reason) -> Decision:
    return Decision(max((r.disposition for r in reasons), default=Disposition.DELIVER), frozenset(), reasons)


def envelope(
    message_id: str = "01KAMZ3W8Q0000000000000M01",
    sender: str = "zhang@corp.test",
    recipients: tuple[str, ...] = ("buyer@acme.example",),
    direction: Direction = Direction.OUTBOUND,
) -> Envelope:
    return Envelope(
        message_id, "01KAMZ3W800000000000000S01", "outbound", direction, START, "198.18.0.7", "127.0.0.1", "client.test", "", "",
        sender, tuple(Recipient(address) for address in recipients),
    )  # fmt: skip


def share(
    what: Decision = DELIVER, recipients: tuple[str, ...] = ("buyer@acme.example",), to: str = "smtp://127.0.0.1:2600"
) -> Share:
    return Share(tuple(Recipient(address) for address in recipients), Route("*", to), what)


def decided(message_id: str = "01KAMZ3W8Q0000000000000M01", event_id: str = "01KAMZ3W8Q0000000000000E01") -> Event:
    return Event(event_id, "message.decided", START, SYSTEM, "hold", msg=message_id, public={"judge": "judge-1"})


def delivery(
    what: Decision = DELIVER, recipients: tuple[str, ...] = ("a@x.test", "b@x.test", "c@x.test", "d@x.test")
) -> Delivery:
    return Delivery(
        "01KAMZ3W8Q0000000000000D01", "01KAMZ3W8Q0000000000000M01", "smtp://127.0.0.1:2600", what,
        tuple(Addressee(address) for address in recipients), START, START, digest(RAW), "01KAMZ3W8Q0000000000000E01",
    )  # fmt: skip
