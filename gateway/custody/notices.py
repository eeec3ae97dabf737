"""The mail that the gateway itself writes: bounces, delay notices, word to the sender of held mail, word to the postmaster.

Each is taken into custody under an id that follows from the message it is about, so that the same notice, made again after a crash, is
seen to be there already; and each leaves with the null sender, by the internal route, not judged by content rules.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from hashlib import sha256

from audit.event import Actor, Event, Secret, derived_id
from audit.sealing import MessageKey
from gateway.config import HOUSE_LISTENER
from gateway.custody.bounce import Action, Fate, Notice, dsn, wants
from gateway.custody.custody import AlreadyTaken, Custody, Taken
from gateway.custody.delivery import Delivery, State
from gateway.custody.house import House, fields, thread, written_here
from gateway.plan import Share
from gateway.recording.recorder import Recorder
from gateway.routes import Routes
from gateway.store.protocol import Filter, Held
from policies.decision import Decision, Reason
from scanners.message import Direction, Envelope, Recipient

GATEWAY = Actor("system", "gateway")
MAX_REASONS = 20
"""Reasons named in a notice; a person reads the first few."""
PER_HOUR = 20
"""Notices of quarantined mail to one recipient; whoever gets more bad mail than that is under attack and knows."""
MAX_COUNTED = 100_000
"""Recipients counted in an hour; beyond, counting begins anew: some 10 MB of memory."""
MAX_LOCAL, MAX_DOMAIN = 64, 255
"""Characters of an address (RFC 5321 4.5.3.1)."""
MAX_NAMED = 10
"""Recipients named in a notice."""
_SPOKEN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._%+-=")


class Allowance:
    """Notices to one recipient in one hour, in this process: a flood of bad mail must not become a flood of notices."""

    def __init__(self, per_hour: int = PER_HOUR) -> None:
        self._per_hour, self._hour = per_hour, 0
        self._counts: Counter[str] = Counter()

    def take(self, address: str, now: datetime) -> bool:
        """Whether one more may go; counts it."""
        hour = int(now.timestamp()) // 3600
        if hour != self._hour or len(self._counts) > MAX_COUNTED:
            self._hour, self._counts = hour, Counter()
        self._counts[address] += 1
        return self._counts[address] <= self._per_hour


class Notices:
    """Writes and sends them. ``now`` is the time of day."""

    def __init__(
        self, custody: Custody, recorder: Recorder, routes: Routes, house: House, now: Callable[[], datetime]
    ) -> None:
        self._custody, self._recorder, self._routes, self._house, self._now = custody, recorder, routes, house, now
        self._allowance = Allowance()

    async def dsn(
        self,
        held: Held,
        delivery: Delivery,
        action: Action,
        fates: Sequence[Fate],
        raw: bytes,
        until: datetime | None = None,
    ) -> bool:
        """Tell the sender. True: told, or it asked not to be; False: nobody may be told (then the mail is undeliverable).

        At most one of each kind per message: a second one, about other recipients, is False. Raises StoreUnavailable and
        CustodyUnavailable.
        """
        envelope = held.envelope
        if not self.may_tell(held):
            return False
        if not any(wants(fate.recipient, action) for fate in fates):
            return True
        notice_id = derived_id(delivery.message_id, f"dsn {action}")
        notice = Notice(
            action, notice_id, delivery.message_id, self._now(), self._house.hostname, self._house.postmaster,
            envelope.sender, fates, raw, envelope.received_at, envelope.ret, envelope.envid, until, thread(raw),
        )  # fmt: skip
        data = dsn(notice)
        about = sha256("\n".join(sorted(fate.recipient.address for fate in fates)).encode()).hexdigest()[:32]
        return data is not None and await self._take(notice_id, envelope.sender, data, f"dsn-{action}", delivery, about)

    def may_tell(self, held: Held) -> bool:
        """Never ``<>``, never for our own notices, only senders that are ours or were proven on reception."""
        envelope = held.envelope
        if not envelope.sender or written_here(envelope):
            return False
        ours = envelope.direction is not Direction.INBOUND and self._house.is_local(envelope.sender)
        return ours or (held.bounceable and not self._house.is_local(envelope.sender))

    async def held(self, held: Held, delivery: Delivery, reasons: Sequence[Reason]) -> bool:
        """Tell our own sender that the mail waits for approval, and why."""
        if not (self.may_tell(held) and self._house.is_local(held.envelope.sender)):
            return False
        text = [
            "您的邮件已被扣留，等待审批。无需重发。",
            "Your mail is held and waits for approval. There is no need to send it again.",
            "",
            *_which(held, delivery),
            *_because(reasons),
            "",
            f"若到 {_day(delivery)} 仍无人审批，邮件将不会发出，届时另行通知。如有疑问，请联系管理员并告知下方编号。",
            f"If nobody answers until {_day(delivery)} it will not be sent, and you will be told.",
            f"Questions: ask {self._house.postmaster} and name the id below.",
        ]
        return await self._write(held, delivery, "held", "邮件等待审批 Mail held for approval", text, threaded=True)

    async def quarantined(self, held: Held, delivery: Delivery, reasons: Sequence[Reason], raw: bytes) -> int:
        """Tell those recipients that are ours of mail from outside that is held for them: from whom, why, how to ask. Says how many.

        At most once per message and recipient. Never for mail by a machine or with the null sender (a notice would answer it), and never
        a word of the mail itself: whoever wrote it could otherwise speak to the reader through us.
        """
        envelope = held.envelope
        if not envelope.sender or written_here(envelope) or automatic(raw):
            return 0
        text = [
            "一封发给您的邮件已被隔离，未送达。",
            "Mail for you is in quarantine and was not delivered.",
            f"发件人（未经核实） from (not verified): {_spoken(envelope.sender)}",
            *_because(reasons),
            "如需要此邮件，请联系管理员并告知下方编号；请勿另行联系发件人索要同样的内容。",
            f"If you need it ask {self._house.postmaster} and name the id below; do not ask the sender to send it in another way.",
            f"保留至 kept until: {delivery.due.astimezone():%Y-%m-%d}",
        ]
        told = 0
        for address in dict.fromkeys(each.lower() for each in delivery.addresses if self._house.is_local(each)):
            if not self._allowance.take(address, self._now()):
                continue
            notice_id = derived_id(delivery.message_id, f"quarantined {address}")
            data = self._mail(notice_id, address, "邮件已隔离 Mail in quarantine", text, delivery)
            told += await self._take(
                notice_id, address, data, "quarantined", delivery, sha256(address.encode()).hexdigest()[:32]
            )
        return told

    async def ended(self, held: Held, delivery: Delivery, *, expired: bool, comment: str = "") -> bool:
        """Tell our own sender that held mail will not be sent."""
        if not (self.may_tell(held) and self._house.is_local(held.envelope.sender)):
            return False
        text = (
            ["邮件逾期无人审批，未发送。", "Nobody answered in time; the mail was not sent."]
            if expired
            else ["审批未通过，邮件未发送。", "The approval was refused; the mail was not sent."]
        )
        text += ["", *_which(held, delivery)]
        if comment:
            text.append(f"说明 comment: {' '.join(comment.split())[:500]}")
        subject = "邮件未发送 Mail not sent"
        return await self._write(held, delivery, "ended", subject, text, threaded=not expired)

    async def undeliverable(self, held: Held, delivery: Delivery, why: str) -> bool:
        """Tell the postmaster of mail that can neither go on nor back."""
        if written_here(held.envelope):  # a notice about a notice would never end
            return False
        text = [
            f"邮件 {delivery.message_id} 无法投递，也不能退信，已留在隔离区。原因：{why}",
            f"Message {delivery.message_id} can neither be delivered nor bounced and stays in quarantine. Reason: {why}",
            f"sealgate queue show {delivery.id}",
        ]
        notice_id = derived_id(delivery.message_id, f"undeliverable {delivery.id}")
        data = self._mail(notice_id, self._house.postmaster, "邮件无法投递 Mail undeliverable", text, delivery)
        return await self._take(notice_id, self._house.postmaster, data, "undeliverable", delivery, delivery.id)

    async def _write(
        self, held: Held, delivery: Delivery, kind: str, subject: str, text: list[str], *, threaded: bool
    ) -> bool:
        """``threaded``: below the mail it is about, for which that mail is opened; many that expire at once are not."""
        notice_id = derived_id(delivery.message_id, f"{kind} {delivery.id}")
        about = thread(await self._custody.raw(delivery.message_id) or b"") if threaded else ""
        data = self._mail(notice_id, held.envelope.sender, subject, text, delivery, about)
        return await self._take(notice_id, held.envelope.sender, data, kind, delivery, delivery.id)

    def _mail(
        self, notice_id: str, to: str, subject: str, text: list[str], delivery: Delivery, about: str = ""
    ) -> bytes:
        mail = EmailMessage(policy=SMTP.clone(utf8=not to.isascii()))
        mail["From"] = f"Sealgate <{self._house.postmaster}>"
        mail["To"] = f"<{to}>" if "\r" not in to and "\n" not in to else "<>"
        mail["Subject"] = subject
        mail["Date"] = format_datetime(self._now())
        mail["Message-ID"] = f"<{notice_id}@{self._house.hostname}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail["X-Auto-Response-Suppress"] = "All"
        mail.set_content("\n".join([*text, "", f"id {delivery.message_id}", ""]), cte="base64")
        below = f"In-Reply-To: {about}\r\nReferences: {about}\r\n".encode() if about else b""
        return below + mail.as_bytes()  # in front, as it is: the library would fold a long id into an encoded word

    async def _take(self, notice_id: str, to: str, data: bytes, kind: str, delivery: Delivery, about: str) -> bool:
        """Into custody, once. True when it is there, or was for the same matter."""
        route = self._routes.find(to)
        if route is None:
            return False
        at = self._now()
        envelope = Envelope(
            notice_id, about, HOUSE_LISTENER, Direction.OUTBOUND, at, None, "", "", "", "", "", (Recipient(to, ("NEVER",)),),
            smtputf8=not to.isascii(), body="7BIT" if data.isascii() else "8BITMIME",
        )  # fmt: skip
        told = Event(
            derived_id(notice_id, "decided"), "message.decided", at, GATEWAY, "deliver", kind, notice_id, dir="out",
            public={"intent": "custody", "notice": kind}, sealed={"to0": Secret(to, to)}, commits={"body": data},
            prev=delivery.decided,
        )  # fmt: skip
        key = await self._recorder.message_key([to])
        try:
            await self._custody.take(envelope, data, (Share(envelope.recipients, route, Decision()),), told, key)
        except AlreadyTaken:
            return await self._there(notice_id, about, told, key)
        return True

    async def _there(self, notice_id: str, about: str, told: Event, key: MessageKey) -> bool:
        """Whether the notice that is there is about the same; one that a crash left pending is settled, or the sweeper would take it."""
        before = await self._custody.store.held(notice_id)
        if before is None or before.envelope.session != about:
            return False
        rows = (await self._custody.store.page(Filter(message_id=notice_id))).deliveries
        pending = tuple(row for row in rows if row.state is State.PENDING)
        if pending:
            await self._custody.settle(Taken(pending), (told,), key)
        return True


def automatic(raw: bytes) -> bool:
    """Whether a machine sent it (RFC 3834 5: any Auto-Submitted but ``no``)."""
    return any(
        each.split(b";")[0].split(b"(")[0].strip().lower() not in (b"", b"no")
        for each in fields(raw, b"auto-submitted")
    )


def _spoken(address: str) -> str:
    """The address if it can carry no message of its own; else only its domain."""
    local, _, domain = address.rpartition("@")
    short = len(local) <= MAX_LOCAL and set(local) <= _SPOKEN
    named = len(domain) <= MAX_DOMAIN and all(letter.isalnum() or letter in ".-" for letter in domain)
    return f"{local if short else '***'}@{domain if named else '***'}"


def _because(reasons: Sequence[Reason]) -> list[str]:
    return [f"- {reason.title.zh} / {reason.title.en}" for reason in reasons[:MAX_REASONS]]


def _which(held: Held, delivery: Delivery) -> list[str]:
    """What tells the sender which mail it is; nothing of its content."""
    named = [_spoken(each) for each in delivery.addresses[:MAX_NAMED]]
    more = f" +{len(delivery.addresses) - MAX_NAMED}" if len(delivery.addresses) > MAX_NAMED else ""
    return [
        f"发送时间 sent: {held.envelope.received_at.astimezone():%Y-%m-%d %H:%M %z}",
        f"收件人 to: {', '.join(named)}{more}",
    ]


def _day(delivery: Delivery) -> str:
    return f"{delivery.due.astimezone():%Y-%m-%d}"
