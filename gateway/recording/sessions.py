"""What happens before and beside messages, for the log: refusals counted per client network, code and minute; logins; replays."""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from audit.event import JSON, Event, Secret
from gateway import events
from gateway.process import metrics
from gateway.recording.recorder import Recorder, RecorderUnavailable
from gateway.smtp.answered import Answer
from gateway.smtp.limits import client_key
from gateway.smtp.reply import Reply
from scanners.message import Envelope

MAX_NETWORKS = 200
"""Client networks named in a minute by one worker; refusals of more are counted together, so that a flood can't fill the log."""
MAX_LOGINS = 1000
"""Logins waiting for the log, some seconds' worth; more are counted in one event that says how many."""
MAX_READY = 5000
"""Events kept while the log does not answer; then the oldest are given up, and the operational log says so."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What is counted together. ``network`` is ``""`` for those beyond MAX_NETWORKS."""

    minute: datetime
    listener: str
    code: int
    enhanced: str
    network: str


class SessionLog:
    """gateway.smtp.server.Watch. ``now`` is the time of day in UTC. Call ``flush`` every few seconds, ``close`` at the end."""

    def __init__(
        self, recorder: Recorder, now: Callable[[], datetime], ids: Callable[[], str], log: logging.Logger
    ) -> None:
        self._recorder, self._now, self._ids, self._log = recorder, now, ids, log
        self._counts: Counter[_Kind] = Counter()
        self._networks: dict[datetime, set[str]] = {}
        self._logins: list[Event] = []
        self._more_logins = 0
        self._ready: list[Event] = []

    def connected(self, listener: str) -> None:
        """A connection; the log knows sessions by their messages, refusals and logins."""
        metrics.SESSIONS.labels(listener).inc()

    def refused(self, listener: str, client: str, reply: Reply) -> None:
        """Count it; ``client`` is an address."""
        metrics.REFUSALS.labels(listener, str(reply.code)).inc()
        minute = self._now().replace(second=0, microsecond=0)
        networks = self._networks.setdefault(minute, set())
        network, enhanced = client_key(client), reply.enhanced
        if network not in networks:
            if len(networks) < MAX_NETWORKS:
                networks.add(network)
            else:
                network, enhanced = "", ""
        self._counts[_Kind(minute, listener, reply.code, enhanced, network)] += 1

    def login(self, listener: str, session_id: str, client: str, user: str) -> None:
        """Keep it for the next flush; the time is that of the login. Failed logins are refusals: a guesser can't fill the log."""
        if len(self._logins) >= MAX_LOGINS:
            self._more_logins += 1
            return
        self._logins.append(
            Event(
                id=self._ids(),
                type="session.login",
                at=self._now(),
                actor=events.GATEWAY,
                outcome="accepted",
                session=session_id,
                public={"listener": listener},
                sealed={"user": Secret(user, user), "ip": Secret(client)},
            )
        )

    async def duplicate(self, envelope: Envelope, raw: bytes, answer: Answer) -> None:
        """Tell the log that an earlier answer was given again. Not recorded, the client gets it all the same: 451 would be wrong."""
        event = events.duplicate(self._ids(), self._now(), envelope, raw, answer.reply, answer.message_id)
        people = [person for person in (envelope.sender, *(each.address for each in envelope.recipients)) if person]
        metrics.MESSAGES.labels(envelope.direction.value, "duplicate").inc()
        try:
            await self._recorder.record([event], await self._recorder.message_key(list(dict.fromkeys(people))))
        except RecorderUnavailable:
            self._log.error("replay not recorded", extra={"fields": {"msg": envelope.id, "first": answer.message_id}})

    async def flush(self, *, everything: bool = False) -> None:
        """Record logins and the minutes that are over (at the end: all). Raises RecorderUnavailable, and keeps what was not recorded."""
        current = self._now().replace(second=0, microsecond=0)
        for kind in [each for each in self._counts if everything or each.minute < current]:
            self._ready.append(self._refusals(kind, self._counts.pop(kind)))
        for minute in [each for each in self._networks if each < current]:
            del self._networks[minute]
        if self._more_logins:
            self._ready.append(self._more())
            self._more_logins = 0
        if len(self._ready) > MAX_READY:
            lost = len(self._ready) - MAX_READY
            del self._ready[:lost]
            self._log.error("refusals not recorded", extra={"fields": {"events": lost}})
        told = [*self._logins, *self._ready]
        if not told:
            return
        people = sorted({secret.subject_address for event in told for secret in event.sealed.values()} - {""})
        # A crash before this loses what was counted in the last minute; the messages' own events are durable by themselves. Repeated
        # after a failure, the events have the same ids, and the log drops those it has.
        await self._recorder.record(told, await self._recorder.message_key(people))
        recorded = set(map(id, told))
        self._logins = [each for each in self._logins if id(each) not in recorded]
        self._ready = [each for each in self._ready if id(each) not in recorded]

    def _refusals(self, kind: _Kind, count: int) -> Event:
        public: dict[str, JSON] = {
            "listener": kind.listener,
            "code": kind.code,
            "enhanced": kind.enhanced,
            "count": count,
            "minute": kind.minute.strftime("%Y-%m-%dT%H:%MZ"),
        }
        sealed = {"network": Secret(kind.network)} if kind.network else {}
        return Event(
            self._ids(), "session.refused", self._now(), events.GATEWAY, "refused", public=public, sealed=sealed
        )

    def _more(self) -> Event:
        public: dict[str, JSON] = {"count": self._more_logins}
        return Event(self._ids(), "session.login", self._now(), events.GATEWAY, "accepted", public=public)

    async def close(self) -> None:
        """Record what is left; never raises: the log may be gone already."""
        try:
            await self.flush(everything=True)
        except RecorderUnavailable:
            lost = len(self._ready)
            self._log.error(
                "not recorded at the end", extra={"fields": {"refusals": lost, "logins": len(self._logins)}}
            )
