"""Archives made to have no end: overlapping entries, archives within archives many times over, lengths that lie, streams that break off."""

import gzip
import io
import struct
import tarfile
import zlib

import pytest

from scanners.attachments import budget
from scanners.attachments.yara import YaraEngine
from tests.scanners.attachments.samples import EICAR, Seen, look, zipped


def local(name: bytes, packed: bytes, size: int, checksum: int = 0) -> bytes:
    return b"PK\x03\x04" + _fixed(name, len(packed), size, checksum) + name


def _fixed(name: bytes, packed: int, size: int, checksum: int, extra: bytes = b"") -> bytes:
    return struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0, checksum, packed, size, len(name), len(extra))


def listed(name: bytes, packed: int, size: int, start: int, checksum: int = 0, extra: bytes = b"") -> bytes:
    fixed = _fixed(name, packed, size, checksum, extra)
    return b"PK\x01\x02" + struct.pack("<H", 20) + fixed + struct.pack("<HHHII", 0, 0, 0, 0, start) + name + extra


def end(count: int, size: int, offset: int) -> bytes:
    return b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, count, count, size, offset, 0)


def deflated(content: bytes) -> bytes:
    return zlib.compress(content, 9)[2:-4]


def overlapping(count: int, content: bytes) -> bytes:
    """One stream under many names."""
    packed = deflated(content)
    body = local(b"x", packed, len(content)) + packed
    directory = b"".join(listed(b"%05d" % number, len(packed), len(content), 0) for number in range(count))
    return body + directory + end(count, len(directory), len(body))


def quoted(count: int, content: bytes) -> bytes:
    """Each entry's stream quotes the header of the next as stored bytes and goes on into its stream (Fifield 2019)."""
    stream, size, head = deflated(content), len(content), b""
    held: list[tuple[bytes, int, int]] = []
    for number in range(count):
        if number:
            stream = b"\0" + struct.pack("<HH", len(head), len(head) ^ 0xFFFF) + head + stream
            size += len(head)
        head = local(b"%05d" % number, stream, size)
        held.append((b"%05d" % number, len(stream), size))
    whole = head + stream
    directory = b"".join(
        listed(name, length, size, len(whole) - length - len(head)) for name, length, size in reversed(held)
    )
    return whole + directory + end(count, len(directory), len(whole))


def within(levels: int, copies: int) -> bytes:
    """An archive of archives of archives, as many times over at every level."""
    data = b"x"
    for _ in range(levels):
        data = zipped({f"{number}.zip": data for number in range(copies)})
    return data


def test_one_stream_under_many_names(engine: YaraEngine) -> None:
    seen = look(engine, "a.zip", overlapping(budget.MAX_ENTRIES + 100, b"hello"))
    assert seen.codes >= {"attachment.archive_ambiguous", "content.limit.entries"}


def test_streams_that_quote_each_other(engine: YaraEngine) -> None:
    seen = look(engine, "a.zip", quoted(40, bytes(100_000) + EICAR))
    assert seen.codes >= {"attachment.archive_ambiguous", "malware.yara.eicar"}
    assert len(seen.answer.parts) >= 40


@pytest.mark.parametrize(("levels", "copies", "bound"), [(100, 1, "depth"), (6, 8, "entries")])
def test_archives_within_archives(engine: YaraEngine, levels: int, copies: int, bound: str) -> None:
    seen = look(engine, "a.zip", within(levels, copies))
    assert f"content.limit.{bound}" in seen.codes
    assert len(seen.answer.parts) <= budget.MAX_ENTRIES + 2


def test_an_archive_that_holds_itself_ends(engine: YaraEngine) -> None:
    """Depth counts what lies within what, so that it needs no proof that two archives are the same."""
    data = b"x"
    for _ in range(budget.MAX_DEPTH * 4):
        data = gzip.compress(data)
    assert "content.limit.depth" in look(engine, "a.gz", data).codes


def test_large_sizes_in_the_extra_field(engine: YaraEngine) -> None:
    packed, name = deflated(EICAR), b"b.com"
    sizes = struct.pack("<HHQQ", 1, 16, len(EICAR), len(packed))
    told = struct.pack("<HHQQQ", 1, 24, len(EICAR), len(packed), 0)
    most = 0xFFFFFFFF
    body = b"PK\x03\x04" + _fixed(name, most, most, 0, sizes) + name + sizes + packed
    directory = listed(name, most, most, most, extra=told)
    record = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 1, 1, len(directory), len(body))
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, len(body) + len(directory), 1)
    data = (
        body
        + directory
        + record
        + locator
        + b"PK\x05\x06"
        + struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, most, most, 0)
    )
    assert _inside(look(engine, "a.zip", data))
    lying = body + listed(name, len(packed), len(EICAR), 0) + end(1, 46 + len(name), len(body))
    assert _inside(look(engine, "a.zip", lying))


def _inside(seen: Seen) -> bool:
    return any(one.code == "malware.yara.eicar" and "!" in one.path for one in seen.answer.findings)


def test_a_stream_that_breaks_off_is_said(engine: YaraEngine) -> None:
    whole = zipped({"a.txt": bytes(range(256)) * 40})
    assert "content.unreadable" in look(engine, "a.zip", whole[:120]).codes
    packed = gzip.compress(bytes(range(256)) * 40)
    assert "content.unreadable" in look(engine, "a.gz", packed[:-20]).codes
    assert look(engine, "a.gz", packed).codes <= {"content.unreadable"}


def test_what_stands_behind_a_stream_is_opened(engine: YaraEngine) -> None:
    data = gzip.compress(b"hello") + b"JUNK" + gzip.compress(zipped({"b.com": EICAR}))
    seen = look(engine, "a.gz", data)
    assert _inside(seen)
    assert "attachment.archive_ambiguous" in seen.codes


def _number(value: int, width: int) -> bytes:
    """As GNU tar writes what octal digits can't hold."""
    return b"%0*o\0" % (width - 1, value) if value < 8 ** (width - 1) else b"\x80" + value.to_bytes(width - 1, "big")


def _summed(head: bytearray) -> bytes:
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)


def tarred(size: int = len(EICAR), kind: bytes = b"0", real: int = 0) -> bytes:
    """A tar of one member whose header says what it likes."""
    member = tarfile.TarInfo("b.com")
    head = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    head[124:136] = _number(size, 12)
    head[156:157] = kind
    if real:
        head[386:398], head[398:410] = _number(0, 12), _number(512, 12)
        head[410:422], head[422:434] = _number(real, 12), _number(0, 12)
        head[483:495] = _number(real, 12)
    return _summed(head) + EICAR.ljust(512, b"\0") + bytes(1024)


@pytest.mark.parametrize(
    "data",
    [tarred(), tarred(10**12), tarred(512, b"S", 10**12), tarred(kind=b"7")],
    ids=["plain", "huge", "sparse", "contiguous"],
)
def test_tars_that_lie_about_sizes(engine: YaraEngine, data: bytes) -> None:
    seen = look(engine, "a.tar", data)
    inside = _inside(seen)
    assert inside or seen.codes & {"content.limit.size", "content.unreadable"}
    assert "malware.yara.eicar" in seen.codes


def test_a_sparse_member_by_name(engine: YaraEngine) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("b.com")
        member.size = len(EICAR)
        member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(10**12)}
        archive.addfile(member, io.BytesIO(EICAR))
    seen = look(engine, "a.tar", out.getvalue())
    assert _inside(seen) or "content.unreadable" in seen.codes
