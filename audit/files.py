"""Files that are there after a crash, whole or not at all."""

import os
from pathlib import Path

TEMPORARY = ".tmp"
"""Suffix of files that were being written; dropped at start."""


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durable(path: Path, data: bytes, mode: int, sync_parent: bool = True) -> None:
    """Write, fsync, rename, and (``sync_parent``) fsync the directory.

    A crash before the rename leaves a ``.tmp``; after it, the whole file, once the directory is durable. Raises OSError.
    """
    temporary = path.with_name(path.name + TEMPORARY)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(temporary, path)
    if sync_parent:
        sync_directory(path.parent)
