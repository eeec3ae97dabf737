"""Which process a row belongs to, and whether that process still lives.

Each process that takes custody holds a lock on a file of its own under ``run/owners``. The kernel drops the lock with the
process, however it ends, so a lock that can be had is a death certificate. (On several nodes the lease in the row says it instead.)
"""

import fcntl
import os
from datetime import datetime
from pathlib import Path

from gateway.custody.delivery import Delivery


class Owner:
    """This process's claim. Keep the object alive as long as the process acts on deliveries."""

    def __init__(self, folder: Path, name: str) -> None:
        """Raises OSError if the folder can't be written, BlockingIOError if the name is taken."""
        self._folder, self.name = folder, name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def close(self) -> None:
        """Give the claim up."""
        (self._folder / self.name).unlink(missing_ok=True)
        os.close(self._file)

    def dead(self, delivery: Delivery, now: datetime) -> bool:
        """Whether nobody works on it any more: its lease ran out, or its process is gone."""
        if delivery.lease_until is not None and delivery.lease_until < now:
            return True
        return delivery.owner != self.name and self.gone(delivery.owner)

    def gone(self, name: str) -> bool:
        """Whether the process of that name has ended."""
        if not name or "/" in name:
            return True
        try:
            descriptor = os.open(self._folder / name, os.O_RDWR)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            (self._folder / name).unlink(missing_ok=True)  # names are never used twice, so this can't hit a new claim
            return True
        finally:
            os.close(descriptor)
