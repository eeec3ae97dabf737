"""Archives of formats for which no writer can be had, put together by hand, members stored as they are; and files inside text."""

import binascii
import struct
import zlib


def rar4(name: bytes, content: bytes, mode: int = 0o100644) -> bytes:
    """RAR 1.5 to 4: marker, archive header, one file of a Unix mode with method 0x30 (stored), end."""

    def block(kind: int, flags: int, fields: bytes, data: bytes = b"") -> bytes:
        head = struct.pack("<BHH", kind, flags, 7 + len(fields)) + fields
        return struct.pack("<H", zlib.crc32(head) & 0xFFFF) + head + data

    fields = struct.pack(
        "<IIBIIBBHI", len(content), len(content), 3, zlib.crc32(content), 0x50210000, 20, 0x30, len(name), mode
    )
    archive = block(0x73, 0, bytes(6))
    return b"Rar!\x1a\x07\0" + archive + block(0x74, 0x8000, fields + name, content) + block(0x7B, 0x4000, b"")


def rar5(name: bytes, content: bytes, mode: int = 0o100644) -> bytes:
    """RAR 5: signature, main header, one file with compression method 0, end; numbers are vints of one or more bytes."""

    def block(fields: bytes, data: bytes = b"") -> bytes:
        head = _vint(len(fields)) + fields
        return struct.pack("<I", zlib.crc32(head)) + head + data

    size = _vint(len(content))
    file = b"\x02\x02" + size + b"\x04" + size + _vint(mode) + struct.pack("<I", zlib.crc32(content)) + b"\0\x01"
    return (
        b"Rar!\x1a\x07\x01\0" + block(b"\x01\0\0") + block(file + _vint(len(name)) + name, content) + block(b"\x05\0\0")
    )


def _vint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def cab(name: bytes, content: bytes) -> bytes:
    """A cabinet (MS-CAB) with one folder, one file, one block, compression type none."""
    file = struct.pack("<IIHHHH", len(content), 0, 0, 0x5A21, 0, 0x20) + name + b"\0"
    body = struct.pack("<HH", len(content), len(content))
    checksum = _cab_sum(body, _cab_sum(content, 0))
    data = struct.pack("<I", checksum) + body + content
    files = 36 + 8
    start = files + len(file)
    head = struct.pack(
        "<4sIIIIIBBHHHHH", b"MSCF", 0, start + len(data), 0, files, 0, 3, 1, 1, 1, 0, 0x1234, 0
    )  # fmt: skip
    return head + struct.pack("<IHH", start, 1, 0) + file + data


def _cab_sum(data: bytes, seed: int) -> int:
    """The checksum of MS-CAB 3.1: words XORed, the rest taken as a big number."""
    whole = len(data) // 4 * 4
    for (word,) in struct.iter_unpack("<I", data[:whole]):
        seed ^= word
    rest = data[whole:]
    return seed ^ int.from_bytes(rest, "big") if rest else seed


def lha(name: bytes, content: bytes, level: int = 0) -> bytes:
    """An LHA archive with one file by method ``-lh0-`` and a header of level 0, 1 or 2."""
    crc = _crc16(content)
    sizes = struct.pack("<III", len(content), len(content), 0x5A210000)
    if level == 2:
        named = b"\x01" + name + struct.pack("<H", 0)
        before = b"-lh0-" + sizes + b"\x20\x02" + struct.pack("<H", crc) + b"M" + struct.pack("<H", 5) + b"\0"
        behind = struct.pack("<H", 2 + len(named) - 2 + 2 - 2) + named
        size = struct.pack("<H", 2 + len(before) + 2 + len(behind))
        return size + before + struct.pack("<H", _crc16(size + before + b"\0\0" + behind)) + behind + content + b"\0"
    head = b"-lh0-" + sizes + bytes((0x20, level, len(name))) + name + struct.pack("<H", crc)
    if level == 1:
        head += b"M" + struct.pack("<H", 0)
    return bytes((len(head), sum(head) & 0xFF)) + head + content + b"\0"


def _crc16(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def uuencoded(name: str, content: bytes) -> bytes:
    """``begin 644 name`` ... ``end``."""
    lines = [binascii.b2a_uu(content[at : at + 45]).rstrip(b"\n") for at in range(0, len(content), 45)]
    return b"\r\n".join([b"begin 644 " + name.encode(), *lines, b"`", b"end", b""])


def yencoded(name: str, content: bytes) -> bytes:
    """One yEnc part with lines of 128."""
    out = bytearray()
    column = 0
    for byte in content:
        coded = (byte + 42) & 0xFF
        if coded in b"\0\t\n\r=.":
            out += bytes((0x3D, (coded + 64) & 0xFF))
            column += 2
        else:
            out.append(coded)
            column += 1
        if column >= 128:
            out += b"\r\n"
            column = 0
    head = f"=ybegin line=128 size={len(content)} name={name}\r\n".encode()
    return head + bytes(out) + f"\r\n=yend size={len(content)} crc32={zlib.crc32(content):08x}\r\n".encode()


def classic_zip(name: bytes, content: bytes, password: bytes) -> bytes:
    """A zip whose one member is encrypted by the classic method (APPNOTE 6.1)."""
    from scanners.attachments import zipcrypto

    table = zipcrypto._crc_table()
    key0, key1, key2 = zipcrypto._keys(password, table)
    crc = zlib.crc32(content)
    out = bytearray()
    for byte in bytes(11) + bytes([crc >> 24]) + zlib.compress(content)[2:-4]:
        mask = key2 | 2
        out.append(byte ^ (((mask * (mask ^ 1)) >> 8) & 0xFF))
        key0 = (key0 >> 8) ^ table[(key0 ^ byte) & 0xFF]
        key1 = ((key1 + (key0 & 0xFF)) * 134775813 + 1) & 0xFFFFFFFF
        key2 = (key2 >> 8) ^ table[(key2 ^ (key1 >> 24)) & 0xFF]
    packed = bytes(out)
    fixed = struct.pack("<HHHHHIIIHH", 20, 1, 8, 0, 0, crc, len(packed), len(content), len(name), 0)
    local = b"PK\x03\x04" + fixed + name + packed
    central = b"PK\x01\x02" + struct.pack("<H", 20) + fixed + struct.pack("<HHHII", 0, 0, 0, 0, 0) + name
    return local + central + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)


def tnef(name: bytes, content: bytes, body: bytes = b"hello") -> bytes:
    """winmail.dat (MS-OXTNEF) with a body and one attachment."""

    def attribute(level: int, number: int, value: bytes) -> bytes:
        return struct.pack("<BII", level, number, len(value)) + value + struct.pack("<H", sum(value) & 0xFFFF)

    data = struct.pack("<IH", 0x223E9F78, 1) + attribute(1, 0x00089006, struct.pack("<I", 0x00010000))
    data += attribute(1, 0x00069007, struct.pack("<II", 936, 0)) + attribute(1, 0x0002800C, body + b"\0")
    data += attribute(2, 0x00069002, bytes(14)) + attribute(2, 0x00018010, name + b"\0")
    return data + attribute(2, 0x0006800F, content)


def ole_package(name: bytes, content: bytes) -> bytes:
    """The stream ``\\1Ole10Native`` (MS-OLEDS 2.3.6)."""
    label = (
        b"\x02\0" + name + b"\0C:\\" + name + b"\0" + b"\0\0\x03\0" + struct.pack("<I", len(name) + 1) + name + b"\0"
    )
    body = label + struct.pack("<I", len(content)) + content
    return struct.pack("<I", len(body)) + body
