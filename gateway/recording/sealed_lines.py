"""Events as the lines that go to the keeper: personal fields are sealed here, so that plain text never leaves the process. Pure."""

import contextlib
from collections.abc import Iterator, Sequence

from audit.event import SPLIT_ABOVE, Event, EventTooLarge, line
from audit.sealing import MessageKey, commitments, seal, subject_of
from audit.spread import bounded, spread


def people(events: Sequence[Event]) -> set[str]:
    """The subjects under whose keys these events seal something."""
    return {subject_of(secret.subject_address) for event in events for secret in event.sealed.values()} - {""}


def lines(event: Event, key: MessageKey | None, origin: str, node: str) -> Iterator[bytes]:
    """One line, or several for an event too large for one. ``origin`` is whose log it is, ``node`` who writes.

    Raises ValueError for one that can't be written: sealed fields without a key, or too large even when spread.
    """
    if key is None and (event.sealed or event.commits):
        raise ValueError(f"{event.type}: sealed fields and commitments need a message key")
    event = bounded(event)
    with contextlib.suppress(EventTooLarge):
        data = _line(event, key, origin, node)
        if len(data) <= SPLIT_ABOVE:
            yield data
            return
    for page in spread(event):
        yield _line(page, key, origin, node)


def _line(event: Event, key: MessageKey | None, origin: str, node: str) -> bytes:
    if key is None:
        return line(event, node)
    sealed = seal(event, origin, key) if event.sealed else None
    commits = commitments(event, key) if event.commits else None
    return line(event, node, key.place, sealed, commits)
