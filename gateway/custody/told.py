"""Which events stand in the log, asked of the keeper: what the sweeper compares pending rows with."""

import asyncio
from collections.abc import Collection
from pathlib import Path

import msgspec

from gateway.recording.keeper_client import KeeperClient, KeeperUnavailable
from gateway.recording.keeper_protocol import MAX_LINES, Lines, Read
from gateway.recording.recorder import RecorderUnavailable


class _Line(msgspec.Struct):
    """All that is looked at."""

    id: str


_decode = msgspec.json.Decoder(_Line).decode


class KeeperTold:
    """gateway.custody.sweeper.Told over the keeper's socket."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def told(self, event_ids: Collection[str], since: int) -> tuple[frozenset[str], int]:
        """Reads the log from ``since`` to its end, in pieces, away from the loop. Raises RecorderUnavailable."""
        try:
            return await asyncio.to_thread(self._read, frozenset(event_ids), since)
        except KeeperUnavailable as error:
            raise RecorderUnavailable(str(error)) from error

    def _read(self, wanted: frozenset[str], since: int) -> tuple[frozenset[str], int]:
        found: set[str] = set()
        at = since
        with KeeperClient(self._socket) as keeper:
            while lines := keeper.ask(Read(1, at, MAX_LINES), Lines).lines:
                found.update(_decode(line).id for line in lines)
                at += len(lines)
        return frozenset(found & wanted), at
