"""Names in archives, written in whatever charset the packer's system had."""

from scanners import charset


def decode(raw: bytes) -> str:
    """The likeliest reading: UTF-8 when it is that, else GB18030 or Big5 by their trail bytes."""
    found = charset.decode(raw)
    if found.other and found.charset == "gb18030":
        low, pairs = _trails(raw)
        if low > pairs * 0.2:
            return found.other  # GB2312's trail bytes are A1 and up; a Big5 text has some 40 % under it
    return found.text


def _trails(raw: bytes) -> tuple[int, int]:
    low = pairs = position = 0
    while position < len(raw) - 1:
        if raw[position] < 0x80:
            position += 1
            continue
        pairs += 1
        low += raw[position + 1] < 0xA1
        position += 2
    return low, pairs
