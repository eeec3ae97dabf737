"""Answers nobody heard (RFC 1047), kept for all workers of a node and over reloads and restarts: a small file each under ``run/``.

No address and no text of a next hop stands in them: the name is a keyed digest, the content a code and an id of ours.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

from gateway.smtp.answered import KEPT_S, MAX_ANSWERS, Answer, Answered
from gateway.smtp.answered import key as key_of
from gateway.smtp.reply import Reply
from scanners.message import Envelope

KEY_FILE = "key"
KEY_BYTES = 32
TICK_S = 1.0
"""Longer than any file system's unit of time is."""
MAX_BYTES = 500
"""Of one file: a code, a status, an id and a time."""


def prepare(folder: Path, key: bytes) -> None:
    """The folder, with a key of its own. Raises OSError. A crash before the key has its name: the next start makes one."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (folder / KEY_FILE).exists():
        _write(folder / KEY_FILE, key[:KEY_BYTES])


class SharedAnswered(Answered):
    """Over the folder that ``prepare`` has made. ``wall`` is seconds since 1970. Raises OSError when it is opened; later trouble with the
    folder leaves each worker its own memory."""

    def __init__(self, folder: Path, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        super().__init__(clock)
        self._folder, self._wall = folder, wall
        self._key = (folder / KEY_FILE).read_bytes()
        self._seen = -1
        self._any = False

    def keep(self, envelope: Envelope, raw: bytes, reply: Reply) -> None:
        """Remember it here, and for the others. Not synced: a power cut may cost the memory, as it may cost the answer itself."""
        super().keep(envelope, raw, reply)
        if reply.transient:
            return
        record = {"code": reply.code, "enhanced": reply.enhanced, "id": envelope.id, "until": self._wall() + KEPT_S}
        try:
            self._make_room()
            _write(self._path(envelope, raw), json.dumps(record).encode())
        except OSError:
            return

    def find(self, envelope: Envelope, raw: bytes) -> Answer | None:
        """As Answered; costs a look at the folder while nothing is kept there."""
        own = super().find(envelope, raw)
        if own is not None or not self._remembers():
            return own
        path = self._path(envelope, raw)
        try:
            with open(path, "rb") as file:
                record = json.loads(file.read(MAX_BYTES))
            left = float(record["until"]) - self._wall()
            reply = Reply(int(record["code"]), str(record["enhanced"]), f"answered before [{record['id']}]")
            if left <= 0:
                path.unlink(missing_ok=True)
                return None
            return Answer(reply, str(record["id"]), self._clock() + left)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _remembers(self) -> bool:
        """Whether anything is kept; the folder is listed only when it has changed."""
        try:
            changed = os.stat(self._folder).st_mtime_ns
            if changed != self._seen:
                self._any = any(name != KEY_FILE for name in os.listdir(self._folder))
                # Times of files go by ticks: what comes within the same one would not be seen as a change.
                self._seen = changed if self._wall() - changed / 1e9 > TICK_S else -1
        except OSError:
            return False
        return self._any

    def _make_room(self) -> None:
        kept = [each for each in os.scandir(self._folder) if each.name != KEY_FILE]
        if len(kept) < MAX_ANSWERS:
            return
        for each in sorted(kept, key=lambda entry: entry.stat().st_mtime)[: MAX_ANSWERS // 10]:
            os.unlink(each.path)

    def _path(self, envelope: Envelope, raw: bytes) -> Path:
        return self._folder / key_of(envelope, raw, self._key).hex()


def _write(path: Path, content: bytes) -> None:
    """Whole before it has its name."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    os.replace(draft, path)
