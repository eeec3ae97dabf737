"""Archives: members are found and named; what contradicts itself or does not end is said."""

import base64
import bz2
import gzip
import io
import lzma
import random
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanners.attachments import zips
from scanners.attachments.yara import YaraEngine
from tests.scanners.attachments.samples import CN_ID, EICAR, fake_clock, look, raw_zip, zipped


def test_eicar_in_a_zip_is_named_by_its_place(engine: YaraEngine) -> None:
    seen = look(engine, "a.zip", zipped({"b.com": EICAR}))
    assert "2!a.zip!b.com" in seen.paths
    hit = next(
        finding
        for finding in seen.answer.findings
        if finding.path == "2!a.zip!b.com" and finding.code.startswith("malware")
    )
    assert (hit.code, hit.about, hit.severity) == ("malware.yara.eicar", "eicar", 4)
    assert "attachment.dangerous_type" in seen.codes


@pytest.mark.parametrize("layers", [2, 5])
def test_nested_zips_are_opened(engine: YaraEngine, layers: int) -> None:
    data = zipped({"b.com": EICAR})
    for number in range(layers):
        data = zipped({f"{number}.zip": data})
    seen = look(engine, "a.zip", data)
    assert "malware.yara.eicar" in seen.codes
    assert not any(code.startswith("content.limit") for code in seen.codes)


def test_depth_is_bounded_and_said(engine: YaraEngine) -> None:
    data = zipped({"b.txt": b"x"})
    for _ in range(20):
        data = zipped({"n.zip": data})
    assert "content.limit.depth" in look(engine, "a.zip", data).codes


@pytest.mark.parametrize(
    ("encoding", "name"), [("gb18030", "身份名单.txt"), ("cp950", "員工資料與薪資.txt"), ("utf-8", "名單.txt")]
)
def test_names_without_a_flag_are_read_in_their_charset(engine: YaraEngine, encoding: str, name: str) -> None:
    seen = look(engine, "a.zip", raw_zip({name.encode(encoding): "甲".encode()}))
    assert f"2!a.zip!{name}" in seen.paths


def test_texts_in_gbk_and_big5_are_read(engine: YaraEngine) -> None:
    seen = look(
        engine,
        "a.zip",
        zipped({"g.txt": "身份证号码如下".encode("gb18030"), "b.txt": "身分證字號如下".encode("cp950")}),
    )
    assert "身份证号码" in seen.text("g.txt")
    assert "身分證字號" in seen.text("b.txt")


def test_a_member_the_directory_hides_is_found(engine: YaraEngine) -> None:
    data = raw_zip({b"good.txt": b"good", b"evil.com": EICAR}, listed={b"good.txt"})
    seen = look(engine, "a.zip", data)
    assert {"attachment.archive_ambiguous", "malware.yara.eicar"} <= seen.codes


def test_a_zip_cut_before_its_directory_is_read(engine: YaraEngine) -> None:
    data = zipped({"b.com": EICAR * 3, "c.txt": "tail"})
    cut = data[: data.index(b"PK\x01\x02")]
    assert {"malware.yara.eicar", "attachment.archive_ambiguous"} <= look(engine, "a.zip", cut).codes


@pytest.mark.parametrize("junk", [b"junk before ", b"\0" * 70_000, b"GIF89a" + b"\x01" * 40])
def test_junk_in_front_does_not_hide_a_zip(engine: YaraEngine, junk: bytes) -> None:
    assert "malware.yara.eicar" in look(engine, "a.bin", junk + zipped({"b.com": EICAR})).codes


def test_two_zips_in_one_file_are_both_read(engine: YaraEngine) -> None:
    seen = look(engine, "a.zip", zipped({"b.com": EICAR}) + zipped({"c.txt": "clean"}))
    assert {"malware.yara.eicar", "attachment.archive_ambiguous"} <= seen.codes
    assert "2!a.zip!c.txt" in seen.paths


def test_members_of_one_name_keep_their_texts_apart(engine: YaraEngine) -> None:
    one_of_each = zipped({"x.txt": "one", "y.txt": "two", "z.txt": "three", "x.txt#2": "four"})
    seen = look(engine, "a.zip", one_of_each.replace(b"y.txt", b"x.txt").replace(b"z.txt", b"x.txt"))
    assert {path: seen.answer.parts[at].text for at, path in enumerate(seen.paths) if "!" in path} == {
        "2!a.zip!x.txt": "one",
        "2!a.zip!x.txt#2": "two",
        "2!a.zip!x.txt#3": "three",
        "2!a.zip!x.txt#2#2": "four",
    }


def test_names_that_differ_between_directory_and_entry(engine: YaraEngine) -> None:
    data = bytearray(raw_zip({b"safe.txt": b"text"}))
    data[30:38] = b"evil.exe"
    assert "attachment.archive_ambiguous" in look(engine, "a.zip", bytes(data)).codes


def test_sizes_come_from_the_stream(engine: YaraEngine) -> None:
    """A header that claims one byte does not hide the rest."""
    data = bytearray(raw_zip({b"b.com": EICAR}))
    data[22:26] = struct.pack("<I", 1)
    central = data.index(b"PK\x01\x02")
    data[central + 24 : central + 28] = struct.pack("<I", 1)
    assert "malware.yara.eicar" in look(engine, "a.zip", bytes(data)).codes


def _classic(content: bytes, password: bytes) -> bytes:
    """A member encrypted by the classic method, as the standard library can read it."""
    from scanners.attachments import zipcrypto

    table = zipcrypto._crc_table()
    keys = zipcrypto._keys(password, table)
    crc = zlib.crc32(content)
    plain = bytes(11) + bytes([crc >> 24]) + zlib.compress(content)[2:-4]
    out = bytearray()
    key0, key1, key2 = keys
    for byte in plain:
        mask = key2 | 2
        out.append(byte ^ (((mask * (mask ^ 1)) >> 8) & 0xFF))
        key0 = (key0 >> 8) ^ table[(key0 ^ byte) & 0xFF]
        key1 = ((key1 + (key0 & 0xFF)) * 134775813 + 1) & 0xFFFFFFFF
        key2 = (key2 >> 8) ^ table[(key2 ^ (key1 >> 24)) & 0xFF]
    packed = bytes(out)
    fixed = struct.pack("<HHHHHIIIHH", 20, 1, 8, 0, 0, crc, len(packed), len(content), 5, 0)
    local = b"PK\x03\x04" + fixed + b"b.com" + packed
    central = b"PK\x01\x02" + struct.pack("<H", 20) + fixed + struct.pack("<HHHII", 0, 0, 0, 0, 0) + b"b.com"
    return local + central + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)


def test_classic_encryption_opens_with_a_word_of_the_mail(engine: YaraEngine) -> None:
    data = _classic(EICAR, b"s3cret")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.read("b.com", b"s3cret") == EICAR
    shut = look(engine, "a.zip", data, words=("wrong",))
    assert "content.encrypted" in shut.codes
    assert "attachment.dangerous_type" in shut.codes
    opened = look(engine, "a.zip", data, words=("wrong", "s3cret"))
    assert {"malware.yara.eicar", "content.decrypted"} <= opened.codes
    assert "content.encrypted" not in opened.codes


def test_aes_encryption_opens_with_a_word_of_the_mail(engine: YaraEngine) -> None:
    import hashlib
    import hmac

    from scanners.attachments import zipcrypto

    salt = bytes(range(16))
    derived = hashlib.pbkdf2_hmac("sha1", "密码123".encode(), salt, 1000, 66)
    body = zipcrypto._aes_counter(zlib.compress(EICAR)[2:-4], derived[:32])
    packed = salt + derived[-2:] + body + hmac.digest(derived[32:64], body, "sha1")[:10]
    extra = struct.pack("<HHHHBH", 0x9901, 7, 2, 0x4541, 3, 8)
    fixed = struct.pack("<HHHHHIIIHH", 51, 1, 99, 0, 0, 0, len(packed), len(EICAR), 5, len(extra))
    local = b"PK\x03\x04" + fixed + b"b.com" + extra + packed
    central = b"PK\x01\x02" + struct.pack("<H", 51) + fixed + struct.pack("<HHHII", 0, 0, 0, 0, 0) + b"b.com" + extra
    data = local + central + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)
    assert "content.encrypted" in look(engine, "a.zip", data).codes
    assert "malware.yara.eicar" in look(engine, "a.zip", data, words=("密码123",)).codes


@pytest.mark.parametrize(
    ("name", "packed"),
    [
        ("a.txt.gz", gzip.compress(EICAR, mtime=0)),
        ("a.txt.gz", gzip.compress(b"clean ", mtime=0) + gzip.compress(EICAR, mtime=0)),
        ("a.txt.bz2", bz2.compress(EICAR)),
        ("a.txt.xz", lzma.compress(EICAR)),
    ],
)
def test_compressed_streams(engine: YaraEngine, name: str, packed: bytes) -> None:
    assert "malware.yara.eicar" in look(engine, name, packed).codes


def test_tar_in_gzip_with_a_gbk_name(engine: YaraEngine) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.GNU_FORMAT, encoding="gb18030") as archive:
        member = tarfile.TarInfo("名单.txt")
        text = f"身份证 {CN_ID}".encode("gb18030")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    seen = look(engine, "a.tgz", out.getvalue())
    assert CN_ID in seen.text("名单.txt")


@pytest.mark.parametrize("layout", ["7zip", "iso9660", "xar", "ar_bsd"])
def test_archives_by_libarchive(engine: YaraEngine, layout: str, tmp_path: Path) -> None:
    libarchive = pytest.importorskip(
        "libarchive", reason="libarchive missing: pip install sealgate[archives], apt install libarchive13"
    )
    target = tmp_path / "a"
    with libarchive.file_writer(str(target), layout) as archive:
        archive.add_file_from_memory("b.com", len(EICAR), EICAR)
    assert "malware.yara.eicar" in look(engine, "a.bin", target.read_bytes()).codes


@pytest.mark.parametrize(
    "head",
    [
        b"Rar!\x1a\x07\x01\0",
        b"7z\xbc\xaf\x27\x1c\0\x04",
        b"MSCF\0\0\0\0",
        b"PK\x03\x04",
        b"\x1f\x8b\x08\0",
        b"BZh91AY&SY",
    ],
)
def test_broken_archives_are_unreadable_not_silent(engine: YaraEngine, head: bytes) -> None:
    data = head + random.Random(1).randbytes(500)
    assert "content.unreadable" in look(engine, "a.bin", data).codes


def test_ratio_bomb(engine: YaraEngine) -> None:
    seen = look(engine, "a.zip", zipped({"zeros": bytes(30_000_000), "after.txt": "x"}))
    assert "content.limit.ratio" in seen.codes


def test_many_entries(engine: YaraEngine) -> None:
    seen = look(engine, "a.zip", zipped({f"{number}.txt": b"" for number in range(2_500)}))
    assert "content.limit.entries" in seen.codes
    assert len(seen.answer.parts) <= 2_001


def test_a_forty_two_kind_of_bomb_ends(engine: YaraEngine) -> None:
    leaf = zipped({"0": bytes(7_000_000)})
    level = zipped({f"{number}.zip": leaf for number in range(16)})
    data = zipped({f"{number}.zip": level for number in range(16)})
    seen = look(engine, "42.zip", data)
    assert any(code.startswith("content.limit.") for code in seen.codes)


def test_overlapping_entries_are_a_contradiction(engine: YaraEngine) -> None:
    """The better zip bomb: many directory entries on one stream."""
    packed = zlib.compress(bytes(1_000_000))[2:-4]
    fixed = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0, zlib.crc32(bytes(1_000_000)), len(packed), 1_000_000, 1, 0)
    local = b"PK\x03\x04" + fixed + b"a" + packed
    central = (b"PK\x01\x02" + struct.pack("<H", 20) + fixed + struct.pack("<HHHII", 0, 0, 0, 0, 0) + b"a") * 1_000
    data = local + central + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1000, 1000, len(central), len(local), 0)
    seen = look(engine, "a.zip", data)
    assert {"attachment.archive_ambiguous", "content.limit.bytes"} <= seen.codes


def test_time_is_a_bound(engine: YaraEngine) -> None:
    seen = look(
        engine, "a.zip", zipped({f"{number}.txt": b"x" for number in range(50)}), soft_s=1.0, clock=fake_clock(0.05)
    )
    assert "content.limit.time" in seen.codes
    assert len([finding for finding in seen.answer.findings if finding.code == "content.limit.time"]) == 1


def test_a_gzip_bomb(engine: YaraEngine) -> None:
    assert "content.limit.ratio" in look(engine, "a.gz", gzip.compress(bytes(100_000_000), 9)).codes


@settings(max_examples=150)
@given(places=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=12), cut=st.integers(0, 400))
def test_a_damaged_zip_never_raises(engine: YaraEngine, places: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(zipped({"a.txt": "some text " * 5, "b/c.com": EICAR}))
    for place, value in places:
        data[place % len(data)] = value
    seen = look(engine, "a.zip", bytes(data[: len(data) - cut % len(data)]))
    assert seen.answer.parts[0].path == "2"


@given(data=st.binary(max_size=300))
def test_the_directory_reader_takes_any_bytes(data: bytes) -> None:
    zips.directory(b"PK\x03\x04" + data + b"PK\x05\x06" + data)


def test_without_text_archives_are_still_matched(engine: YaraEngine) -> None:
    seen = look(engine, "a.zip", zipped({"b.com": EICAR, "c.txt": "words"}), text=False)
    assert "malware.yara.eicar" in seen.codes
    assert not seen.text("c.txt")


def test_comments_of_archives_are_read(engine: YaraEngine) -> None:
    whole = zipped({"a.txt": b"x"})
    said = f"resident id {CN_ID}".encode()
    assert CN_ID in look(engine, "a.zip", whole[:-2] + struct.pack("<H", len(said)) + said).text()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        member = zipfile.ZipInfo("a.txt")
        member.comment = said
        archive.writestr(member, b"x")
    assert CN_ID in look(engine, "a.zip", out.getvalue()).text()
    stream = gzip.compress(b"x", mtime=0)[10:]
    assert CN_ID in look(engine, "a.gz", b"\x1f\x8b\x08\x10\0\0\0\0\0\3" + said + b"\0" + stream).text()
    extra = struct.pack("<H", len(said)) + said
    assert CN_ID in look(engine, "a.gz", b"\x1f\x8b\x08\x0c\0\0\0\0\0\3" + extra + b"a.txt\0" + stream).text()


def test_every_message_of_a_mailbox_is_read(engine: YaraEngine) -> None:
    text = base64.b64encode(f"id {CN_ID}".encode()).decode()
    first = "From x@y.test Mon Jan  1 00:00:00 2026\r\nSubject: a\r\n\r\nhello\r\n\r\n"
    second = (
        f"From x@y.test Mon Jan  1 00:00:00 2026\r\nSubject: b\r\nContent-Transfer-Encoding: base64\r\n\r\n{text}\r\n"
    )
    for name in ("a.mbox", "a.txt", "a"):
        assert CN_ID in look(engine, name, (first + second).encode()).text()


def test_a_file_pasted_into_a_text_is_opened(engine: YaraEngine) -> None:
    lines = base64.encodebytes(zipped({"b.com": EICAR, "c.bin": bytes(range(256))}))
    seen = look(engine, "a.txt", b"see:\r\n\r\n" + lines + b"\r\nbye\r\n")
    assert any(one.code == "malware.yara.eicar" and "!" in one.path for one in seen.answer.findings)
