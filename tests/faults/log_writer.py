"""A writer to be killed: appends and publishes, and prints the number of every event once it is acknowledged. Exits 70 when it must."""

import os
import sys
from pathlib import Path

from audit.journal import JournalFailed, JournalFull
from audit.tiles import TileError
from tests.audit.events import entry, open_log

BATCHES, BATCH = 40, 9


def main(folder: str) -> int:
    log = open_log(Path(folder))
    for number in range(BATCHES):
        numbers = range(
            log.size, log.size + BATCH
        )  # an event's number is its index, also behind a batch that was refused
        try:
            log.append([entry(item, 400) for item in numbers])
        except JournalFailed:
            return 70
        except JournalFull:
            continue
        os.write(1, b"".join(b"%d\n" % item for item in numbers))
        if number % 7 == 3:
            try:
                log.publish()
            except (OSError, TileError):
                continue
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
