"""Compressed RTF of Outlook (MS-OXRTFCP): the text of a mail that was written in it, in .msg files and winmail.dat."""

from scanners.attachments.reading import Reading

_DICTIONARY = (
    b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor MS Sans SerifSymbolArial"
    b"Times New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx"
)
_RING = 4096
_TICK = 4096
"""Runs between two looks at the time."""


def decompress(data: bytes, reading: Reading) -> bytes:
    """The RTF; what a broken stream gives before its fault. At most eighteen times as long as ``data``."""
    if data[8:12] == b"MELA":
        return data[16:]
    if data[8:12] != b"LZFu":
        return b""
    ring = bytearray(_DICTIONARY.ljust(_RING, b" "))
    write, place, end = len(_DICTIONARY), 16, len(data)
    out = bytearray()
    for number in range(end):  # each round takes a byte at least
        if number % _TICK == 0:
            reading.budget.tick()
        if place >= end:
            break
        control = data[place]
        place += 1
        for bit in range(8):
            if place >= end:
                return bytes(out)
            if not control >> bit & 1:
                run = data[place : place + 1]
                place += 1
            else:
                token = int.from_bytes(data[place : place + 2], "big")
                place += 2
                start, length = token >> 4, (token & 15) + 2
                if start == write % _RING:
                    return bytes(out)
                run = b""
                for step in range(length):
                    one = ring[(start + step) % _RING]
                    ring[(write + step) % _RING] = one
                    run += bytes((one,))
            for step, one in enumerate(run):
                ring[(write + step) % _RING] = one
            write += len(run)
            out += run
    return bytes(out)
