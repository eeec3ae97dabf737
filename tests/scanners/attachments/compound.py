"""A writer of OLE compound files for the tests (MS-CFB, version 3, no mini stream: every stream is padded to 4096 bytes)."""

import itertools
import struct
from dataclasses import dataclass, field

_SECTOR = 512
_FREE, _END, _FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD


@dataclass
class _Node:
    name: str
    content: bytes | None = None
    children: dict[str, "_Node"] = field(default_factory=dict)
    number: int = 0
    start: int = _END


def compound(streams: dict[str, bytes], pad: bool = True) -> bytes:
    """A file with these streams; ``/`` in a name makes storages."""
    root = _Node("Root Entry")
    nodes = [root]
    for path, content in streams.items():
        node = root
        *folders, leaf = path.split("/")
        for folder in folders:
            if folder not in node.children:
                node.children[folder] = _Node(folder)
                nodes.append(node.children[folder])
            node = node.children[folder]
        node.children[leaf] = _Node(leaf, content)
        nodes.append(node.children[leaf])
    for number, node in enumerate(nodes):
        node.number = number
    sectors: list[bytes] = []
    fat: list[int] = []

    def put(content: bytes) -> int:
        count = max(1, -(-len(content) // _SECTOR))
        first = len(sectors)
        for part in range(count):
            sectors.append(content[part * _SECTOR : (part + 1) * _SECTOR].ljust(_SECTOR, b"\0"))
            fat.append(first + part + 1 if part + 1 < count else _END)
        return first

    for node in nodes:
        if node.content is not None:
            node.content = node.content.ljust(4096, b"\0") if pad else node.content
            node.start = put(node.content)
    right: dict[int, int] = {}
    for node in nodes:
        siblings = sorted(node.children.values(), key=lambda child: (len(child.name), child.name.upper()))
        for one, other in itertools.pairwise(siblings):
            right[one.number] = other.number
    entries = b"".join(_entry(node, right.get(node.number, _FREE)) for node in nodes)
    directory = put(entries)
    fat_sectors = 1
    while fat_sectors * 128 < len(fat) + fat_sectors:
        fat_sectors += 1
    fat_start = len(sectors)
    table = fat + [_FAT] * fat_sectors
    table += [_FREE] * (fat_sectors * 128 - len(table))
    packed = struct.pack(f"<{len(table)}I", *table)
    difat = list(range(fat_start, fat_start + fat_sectors)) + [_FREE] * (109 - fat_sectors)
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    header += struct.pack(
        "<HHHHHHIIIIIIIIII", 0x3E, 3, 0xFFFE, 9, 6, 0, 0, 0, fat_sectors, directory, 0, 0x1000, _END, 0, _END, 0
    )
    header += struct.pack("<109I", *difat)
    return header + b"".join(sectors) + packed


def _entry(node: _Node, right: int) -> bytes:
    name = (node.name + "\0").encode("utf-16-le")
    first = min(
        (child for child in node.children.values()),
        key=lambda child: (len(child.name), child.name.upper()),
        default=None,
    )
    kind = 5 if node.number == 0 else 2 if node.content is not None else 1
    child = first.number if first else _FREE
    size = len(node.content) if node.content is not None else 0
    fixed = struct.pack("<HBBIII", len(name), kind, 1, _FREE, right, child)
    return (
        name.ljust(64, b"\0")
        + fixed
        + bytes(16)
        + bytes(4)
        + bytes(16)
        + struct.pack("<IQ", node.start if kind == 2 else _END, size)
    )


def vba_compressed(content: bytes) -> bytes:
    """MS-OVBA 2.4.1 with literal tokens only, in chunks of 3 640 bytes."""
    out = b"\x01"
    for place in range(0, len(content), 3640):
        chunk = content[place : place + 3640]
        body = b"".join(b"\0" + chunk[step : step + 8] for step in range(0, len(chunk), 8))
        out += struct.pack("<H", 0xB000 | (len(body) + 2 - 3)) + body
    return out


def vba_project(source: str, prefix: str = "") -> dict[str, bytes]:
    """The streams of a VBA project with one module (MS-OVBA 2.3), filled to 4096 bytes since padding would break their compression."""

    def record(kind: int, content: bytes) -> bytes:
        return struct.pack("<HI", kind, len(content)) + content

    name = b"Module1"
    wide = "Module1".encode("utf-16-le")
    directory = (
        record(0x01, struct.pack("<I", 1))
        + record(0x02, struct.pack("<I", 0x409))
        + record(0x14, struct.pack("<I", 0x409))
    )
    directory += record(0x03, struct.pack("<H", 1252)) + record(0x04, b"VBAProject")
    directory += record(0x05, bytes(range(32, 127)) * 45) + record(0x40, b"") + record(0x06, b"") + record(0x3D, b"")
    directory += record(0x07, struct.pack("<I", 0)) + record(0x08, struct.pack("<I", 0))
    directory += struct.pack("<HIIH", 0x09, 4, 1, 1) + record(0x0C, b"") + record(0x3C, b"")
    directory += record(0x0F, struct.pack("<H", 1)) + record(0x13, struct.pack("<H", 0xFFFF))
    directory += (
        record(0x19, name)
        + record(0x47, wide)
        + record(0x1A, name)
        + record(0x32, wide)
        + record(0x1C, b"")
        + record(0x48, b"")
    )
    directory += (
        record(0x31, struct.pack("<I", 0))
        + record(0x1E, struct.pack("<I", 0))
        + record(0x2C, struct.pack("<H", 0xFFFF))
    )
    directory += record(0x21, b"") + record(0x2B, b"") + struct.pack("<HI", 0x10, 0)
    code = f'Attribute VB_Name = "Module1"\r\n{source}\r\n'.encode("cp1252") + b"' a comment\r\n" * 330
    return {
        f"{prefix}VBA/dir": vba_compressed(directory),
        f"{prefix}VBA/Module1": vba_compressed(code),
        f"{prefix}VBA/_VBA_PROJECT": b"\xcc\x61\xff\xff\0\0\0",
        f"{prefix}PROJECT": b'ID="{00000000-0000-0000-0000-000000000000}"\r\nModule=Module1\r\nName="VBAProject"\r\n',
    }
