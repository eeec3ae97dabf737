"""The keeper for commands: one request, one answer, blocking."""

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from gateway.recording.keeper_protocol import (
    Answer,
    Base,
    Forget,
    Frames,
    Problem,
    ProtocolError,
    Retire,
    Room,
    Unseal,
    Unsealed,
    decode_answer,
    encode,
)

ANSWER_S = 30.0
"""Longest wait for one answer."""
LINES_AT_ONCE = 32
"""Lines unsealed per request: the keeper has mail to log meanwhile."""
_Answered = TypeVar("_Answered", bound=Base)


class KeeperUnavailable(Exception):
    """The keeper isn't there, or didn't do what it was asked."""


class KeeperClient:
    """Use as a context manager. Raises KeeperUnavailable everywhere."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(ANSWER_S)
        self._frames = Frames()
        self._grant = ""
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise KeeperUnavailable(
                f"{path}: the keeper is not running; start it with sealgate serve 审计进程未运行，请先启动 sealgate serve"
            ) from error

    def __enter__(self) -> "KeeperClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, request: Base, kind: type[_Answered]) -> _Answered:
        """One request, one answer."""
        try:
            self._socket.sendall(encode(request))
            answer = self._receive()
        except (OSError, ProtocolError) as error:
            raise KeeperUnavailable(f"the keeper went away: {error} 审计进程中断") from error
        if isinstance(answer, Problem):
            raise KeeperUnavailable(answer.text)
        if not isinstance(answer, kind):
            raise KeeperUnavailable("the keeper answered something else")
        return answer

    def _receive(self) -> Answer:
        while True:
            data = self._socket.recv(1 << 16)
            if not data:
                raise ProtocolError("connection closed")
            for frame in self._frames.feed(data):
                answer = decode_answer(frame)
                if not isinstance(answer, Forget | Retire | Room):  # pushes are for those who keep keys
                    return answer

    def masked(self, origin: str, lines: Sequence[bytes], slots: Sequence[str]) -> list[dict[str, str | None]]:
        """Masked texts; None where erased."""
        return self._unseal(Unseal(1, "", "", "", "", "", origin, [], list(slots), True), lines)

    def opened(
        self, origin: str, lines: Sequence[bytes], slots: Sequence[str], who: str, role: str, purpose: str, query: str
    ) -> list[dict[str, str | None]]:
        """Texts in clear; None where erased. The first call on this connection is recorded, with purpose and query."""
        return self._unseal(Unseal(1, self._grant, purpose, role, who, query, origin, [], list(slots)), lines)

    def _unseal(self, request: Unseal, lines: Sequence[bytes]) -> list[dict[str, str | None]]:
        records: list[dict[str, str | None]] = []
        for at in range(0, len(lines), LINES_AT_ONCE):
            part = Unseal(
                request.id,
                self._grant,
                request.purpose,
                request.role,
                request.who,
                request.query,
                request.origin,
                list(lines[at : at + LINES_AT_ONCE]),
                request.slots,
                request.masked,
            )
            answer = self.ask(part, Unsealed)
            self._grant = answer.grant or self._grant
            records.extend(answer.records)
        return records
