"""Blobs in a folder. What is put is already sealed; here it is made durable."""

import asyncio
import os
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ParamSpec, TypeVar

from gateway.store.errors import StoreUnavailable
from gateway.store.sealing import sync_directory

P = ParamSpec("P")
T = TypeVar("T")
_DRAFT = ".part"


class FolderBlobs:
    """gateway.store.protocol.Blobs: one file a blob, in 256 sub-folders by the last two characters (a ULID begins with the time)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, name: str, chunks: Iterable[bytes]) -> None:
        await self._run(self._put, name, chunks)

    async def get(self, name: str) -> bytes | None:
        return await self._run(self._get, name)

    async def delete(self, *names: str) -> None:
        await self._run(self._delete, names)

    async def names(self) -> tuple[str, ...]:
        return await self._run(self._names)

    def _path(self, name: str) -> Path:
        if not name or not all(c.isascii() and (c.isalnum() or c in "-_") for c in name):
            raise ValueError("a blob's name is letters, digits, - and _")
        return self._folder / name[-2:].lower() / name

    def _put(self, name: str, chunks: Iterable[bytes]) -> None:
        path = self._path(name)
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_directory(self._folder)
            sync_directory(self._folder.parent)
        draft = path.with_name(f"{name}.{secrets.token_hex(4)}{_DRAFT}")
        try:
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            # A crash before the rename leaves a draft that the sweeper removes; nobody was told 250.
            draft.rename(path)
            # A crash before this may lose the name: no row points to it yet.
            sync_directory(path.parent)
        finally:
            draft.unlink(missing_ok=True)

    def _get(self, name: str) -> bytes | None:
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError:
            return None

    def _delete(self, names: Iterable[str]) -> None:
        # A crash after the unlink and before it is durable brings the blob back; the sweeper removes it again.
        for name in names:
            self._path(name).unlink(missing_ok=True)

    def _names(self) -> tuple[str, ...]:
        if not self._folder.is_dir():
            return ()
        files = (file.name for place in self._folder.iterdir() if place.is_dir() for file in place.iterdir())
        return tuple(sorted(name for name in files if not name.endswith(_DRAFT)))

    async def drafts_older_than(self, timestamp: float) -> int:
        """Remove what a crash left half written before ``timestamp`` (Unix seconds); says how many."""
        return await self._run(self._drafts, timestamp)

    def _drafts(self, timestamp: float) -> int:
        old = [file for file in self._folder.glob(f"*/*{_DRAFT}") if file.stat().st_mtime < timestamp]
        for file in old:
            file.unlink(missing_ok=True)
        return len(old)

    async def _run(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        try:
            return await asyncio.to_thread(work, *arguments, **named)
        except OSError as error:
            raise StoreUnavailable(f"custody folder: {error.strerror or type(error).__name__}") from error
