"""Events too large for one line: their lists, slots and commitments go on in ``message.part`` events, and are joined again by readers."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from audit.event import ENVELOPE, MAX_PARTS, SPLIT_ABOVE, Event, EventTooLarge, Secret, derived_id

PART = "message.part"
MAX_SECRET = 4096
"""Characters of one sealed text: no address, subject or reply worth reading is longer; the whole stands under a commitment."""
_FIXED = 1024
"""Bytes for an event's envelope."""
_encode = msgspec.json.Encoder(enc_hook=str).encode
_Atom = tuple[tuple[str, ...], Any, int]


def bounded(event: Event) -> Event:
    """The event with sealed texts cut to MAX_SECRET, the cut shown."""
    if all(len(secret.text) <= MAX_SECRET for secret in event.sealed.values()):
        return event
    sealed = {
        name: secret
        if len(secret.text) <= MAX_SECRET
        else Secret(f"{secret.text[:MAX_SECRET]}…[+{len(secret.text) - MAX_SECRET}]", secret.subject_address)
        for name, secret in event.sealed.items()
    }
    return replace(event, sealed=sealed)


def spread(event: Event) -> list[Event]:
    """The event followed by its parts, each to fit a line. Raises EventTooLarge."""
    pages: list[list[_Atom]] = [[]]
    room = SPLIT_ABOVE - _FIXED
    for atom in _atoms(event):
        if atom[2] > SPLIT_ABOVE - _FIXED:
            raise EventTooLarge(f"{event.type}: {'.'.join(atom[0])} alone has {atom[2]} bytes")
        if atom[2] > room:
            pages.append([])
            room = SPLIT_ABOVE - _FIXED
        pages[-1].append(atom)
        room -= atom[2]
    if len(pages) - 1 > MAX_PARTS:
        raise EventTooLarge(f"{event.type}: {len(pages)} parts, at most {MAX_PARTS}")
    return [_page(event, number, page, len(pages)) for number, page in enumerate(pages)]


def _atoms(event: Event) -> Iterator[_Atom]:
    for key, value in event.public.items():
        yield from _split((key,), value)
    for name, secret in event.sealed.items():
        size = len(secret.text.encode("utf-8", "backslashreplace")) * 4 // 3 + len(name) + 160
        yield ("", "sealed", name), secret, size
    for name, content in event.commits.items():
        yield ("", "commits", name), content, len(name) + 80


def _split(path: tuple[str, ...], value: Any) -> Iterator[_Atom]:
    if isinstance(value, Mapping) and value and len(path) < 2:
        for key, item in value.items():
            yield from _split((*path, key), item)
    elif isinstance(value, Sequence) and value and not isinstance(value, str):
        for item in value:
            yield (*path, "[]"), item, len(_encode(item)) + 1
    else:
        yield path, value, len(_encode(value)) + len(path[-1]) + 4


def _page(event: Event, number: int, atoms: Sequence[_Atom], pages: int) -> Event:
    public: dict[str, Any] = {"parts": pages - 1} if number == 0 else {"number": number}
    sealed: dict[str, Any] = {}
    commits: dict[str, Any] = {}
    for path, value, _ in atoms:
        if path[0] == "":
            (sealed if path[1] == "sealed" else commits)[path[2]] = value
            continue
        target = public
        steps = path[:-1] if path[-1] == "[]" else path
        for step in steps[:-1]:
            target = target.setdefault(step, {})
        if path[-1] == "[]":
            target.setdefault(steps[-1], []).append(value)
        else:
            target[steps[-1]] = value
    if number == 0:
        return replace(event, public=public, sealed=sealed, commits=commits)
    return replace(
        event,
        id=derived_id(event.id, f"part {number}"),
        type=PART,
        reason="",
        public=public,
        sealed=sealed,
        commits=commits,
        prev=event.id,
        refs=(),
    )


def joined(head: Mapping[str, Any], parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The record of an event with what its parts (in order) hold; slots keep the id they were sealed under in ``sealed_in``."""
    result = copy.deepcopy(dict(head))
    for part in parts:
        for key, value in part.items():
            if key not in _ENVELOPE_OF_PARTS:
                result[key] = _merge(result.get(key), value)
    return result


_ENVELOPE_OF_PARTS = ENVELOPE - {"commits", "sealed"} | {"number"}


def _merge(one: Any, two: Any) -> Any:
    if isinstance(one, list) and isinstance(two, list):
        return one + two
    if isinstance(one, dict) and isinstance(two, dict):
        return {**one, **{key: _merge(one[key], value) if key in one else value for key, value in two.items()}}
    return two
