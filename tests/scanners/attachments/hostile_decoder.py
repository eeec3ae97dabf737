"""A decoder whose engine dies or hangs on certain bytes, as a broken native library would: run as a process by the tests.

Usage: python -m tests.scanners.attachments.hostile_decoder LISTEN_FD STATUS_FD
"""

import ctypes
import signal
import socket
import sys
import time

from scanners.attachments import sandbox
from scanners.attachments.decoder import Decoder
from scanners.attachments.yara import Hit


class HostileEngine:
    """Matches nothing; ``segv`` in the data is a null pointer, ``hang`` never ends."""

    version = "hostile"

    def match(self, data: bytes) -> tuple[Hit, ...]:
        """See the class."""
        if b"segv" in data:
            ctypes.string_at(0)
        if b"hang" in data:
            while True:
                time.sleep(60)
        return ()


if __name__ == "__main__":
    listener = socket.socket(fileno=int(sys.argv[1]))
    listener.setblocking(True)
    decoder = Decoder(listener, int(sys.argv[2]), HostileEngine(), 200, time.monotonic)
    signal.signal(signal.SIGTERM, decoder.stop)
    sandbox.enter()
    decoder.run()
