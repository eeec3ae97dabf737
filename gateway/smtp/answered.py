"""Answers whose client had gone before they could be said (RFC 1047): the same message again gets the same answer."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from gateway.smtp.reply import Reply
from scanners.message import Envelope

KEPT_S = 86_400.0
"""A day: clients retry within hours, and give up after days."""
MAX_ANSWERS = 10_000
"""About 3 MB; a client that goes before its answer is rare, so this is far more than a day has."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A final answer, the id of the message it was about, and until when it is kept."""

    reply: Reply
    message_id: str
    until: float


class Answered:
    """A bounded memory of such answers, for one worker. ``clock`` is monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._answers: OrderedDict[bytes, Answer] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def keep(self, envelope: Envelope, raw: bytes, reply: Reply) -> None:
        """Remember a final answer. Transient ones are not kept: the next try deserves a new look."""
        if reply.transient:
            return
        digest = key(envelope, raw)
        self._answers.pop(digest, None)
        self._answers[digest] = Answer(reply, envelope.id, self._clock() + KEPT_S)
        while len(self._answers) > MAX_ANSWERS:
            self._answers.popitem(last=False)

    def find(self, envelope: Envelope, raw: bytes) -> Answer | None:
        """The answer to this message, if it was given to nobody. Costs a hash of the message only while anything is remembered."""
        now = self._clock()
        while self._answers and next(iter(self._answers.values())).until <= now:
            self._answers.popitem(last=False)
        if not self._answers:
            return None
        return self._answers.get(key(envelope, raw))


def key(envelope: Envelope, raw: bytes, secret: bytes = b"") -> bytes:
    """One digest over client, login, sender, recipients and content, under a secret where it is written down."""
    digest = hashlib.blake2b(hashlib.sha256(raw).digest(), digest_size=32, key=secret)
    named = (envelope.listener, envelope.client or "", envelope.user, envelope.sender)
    for text in (*named, *sorted(recipient.address for recipient in envelope.recipients)):
        data = text.encode("utf-8", "surrogateescape")
        digest.update(len(data).to_bytes(4, "big") + data)
    return digest.digest()
