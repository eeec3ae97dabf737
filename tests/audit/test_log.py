"""The log on disk: what is acknowledged stays, damage is refused, crashes heal."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import journal
from audit.journal import JournalFailed, JournalFull
from audit.log import Entry, Log, LogDamaged, LogLocked
from audit.merkle import widths
from audit.reader import LogView
from audit.verify import verify
from tests.audit.events import SMALL, entry, event_id, open_log, signer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "audit"


def lines(log: Log) -> list[bytes]:
    return [line for _, line in log.entries(0)]


def fill(log: Log, start: int, stop: int, batch: int = 100, size: int = 40) -> None:
    for low in range(start, stop, batch):
        log.append([entry(number, size) for number in range(low, min(stop, low + batch))])


@pytest.mark.parametrize("size", [1, 255, 256, 257, 513, 1000])
def test_every_promised_tile_exists_and_verifies(folder: Path, size: int) -> None:
    log = open_log(folder)
    fill(log, 0, size)
    log.publish()
    log.close()
    for level, (full, partial) in enumerate(widths(size)):
        names = [f"tile/{level}/{n:03d}" for n in range(full)] + (
            [f"tile/{level}/{full:03d}.p/{partial}"] if partial else []
        )
        assert all((folder / name).stat().st_mode & 0o777 == 0o444 for name in names)
    found = verify(folder)
    assert (found.mismatches, found.published, found.size) == ((), size, size)


@pytest.mark.full
@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 70_000])
def test_levels_above(folder: Path, size: int) -> None:
    log = Log.open(folder, signer(), "now", reserve_bytes=0)
    fill(log, 0, size, 4000)
    log.publish()
    log.close()
    assert verify(folder).mismatches == ()
    log = Log.open(folder, signer(), "now", reserve_bytes=0)
    assert log.size == size
    log.close()


def test_published_bit_by_bit_gives_the_same_tiles_as_at_once(tmp_path: Path) -> None:
    slow, fast = open_log(tmp_path / "slow"), open_log(tmp_path / "fast")
    for number in range(0, 600, 37):
        fill(slow, number, number + 37)
        slow.publish()
    fill(fast, 0, slow.size)
    fast.publish()
    slow.close()
    fast.close()
    for path in (tmp_path / "fast" / "tile").rglob("*"):
        if path.is_file():
            assert (tmp_path / "slow" / path.relative_to(tmp_path / "fast")).read_bytes() == path.read_bytes()
    assert (tmp_path / "slow" / "checkpoint").read_bytes() == (tmp_path / "fast" / "checkpoint").read_bytes()
    assert verify(tmp_path / "slow").mismatches == ()
    assert not list((tmp_path / "slow" / "tile" / "0").glob("000.p")), "superseded partial tiles are removed"


@pytest.mark.parametrize("published", [0, 1, 3])
def test_a_start_finds_everything(folder: Path, published: int) -> None:
    log = open_log(folder)
    for number in range(4):
        fill(log, number * 300, number * 300 + 300)
        if number < published:
            log.publish()
    before, head = lines(log), log.head
    log.close()
    log = open_log(folder)
    assert lines(log) == before
    assert log.head == head
    assert log.recovered.replayed == 1200 - published * 300
    assert log.append([entry(5), entry(2000)]) == [5, 1200], "ids known before the restart are dropped"
    log.publish()
    assert [log.entry(index) for index in (0, 255, 256, 1200)] == [
        before[0],
        before[255],
        before[256],
        entry(2000).line,
    ]
    with pytest.raises(IndexError):
        log.entry(1201)
    log.close()
    assert verify(folder).mismatches == ()
    assert len(journal.segment_paths(folder / "journal")) == 1, "published segments are dropped"


def test_segments_roll_and_unpublished_ones_stay(folder: Path) -> None:
    log = open_log(folder)
    fill(log, 0, 300, 1, size=900)
    log.close()
    assert len(journal.segment_paths(folder / "journal")) > 3
    assert verify(folder).size == 300
    log = open_log(folder)
    assert log.size == 300
    log.close()


def test_the_second_writer_is_refused(folder: Path) -> None:
    log = open_log(folder)
    with pytest.raises(LogLocked, match="stop it first"):
        open_log(folder)
    log.close()
    open_log(folder).close()


def test_another_key_or_name_is_refused(folder: Path) -> None:
    open_log(folder).close()
    for other in (signer(seed=bytes(32)), signer("other/audit")):
        with pytest.raises(LogDamaged, match="signing key"):
            Log.open(folder, other, "now", SMALL, 0)


@pytest.fixture
def grown(folder: Path) -> Path:
    log = open_log(folder)
    fill(log, 0, 300)
    log.publish()
    fill(log, 300, 310, 1)
    log.close()
    return folder


@pytest.mark.parametrize(
    "damage",
    [
        "log.json",
        "checkpoint",
        "tile/0/001.p/44",
        "tile/entries/001.p/44",
        "tile/1/000.p/1",
    ],
)
def test_a_flipped_byte_or_a_missing_file_is_refused(grown: Path, damage: str) -> None:
    """At the right edge, which a start reads; what lies behind it is the verifier's."""
    path = grown / damage
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)
    with pytest.raises(LogDamaged, match="sealgate audit new-shard --reason"):
        open_log(grown)
    if damage != "checkpoint":  # without one the journal says what there is
        path.unlink()
        with pytest.raises(LogDamaged, match="new-shard"):
            open_log(grown)


@pytest.mark.parametrize("which", ["log.json", "journal"])
def test_octets_that_are_no_text_are_refused_with_a_way_out(folder: Path, which: str) -> None:
    log = open_log(folder)
    log.append([Entry(event_id(1), b'{"id":"\xff"}') if which == "journal" else entry(1)])
    log.close()
    if which == "log.json":
        path = folder / which
        path.chmod(0o600)
        path.write_bytes(path.read_bytes().replace(b"gw.test", b"gw\xfftest"))
    with pytest.raises(LogDamaged, match="new-shard"):
        open_log(folder)


def test_a_checkpoint_that_is_gone_is_made_again_when_the_journal_has_it_all(folder: Path) -> None:
    log = open_log(folder)
    fill(log, 0, 5)
    log.publish()
    log.close()
    (folder / "checkpoint").unlink()
    log = open_log(folder)
    log.publish()
    log.close()
    assert verify(folder).mismatches == ()


def test_a_rolled_back_journal_is_refused(grown: Path, tmp_path: Path) -> None:
    shutil.copytree(grown / "journal", tmp_path / "old")
    log = open_log(grown)
    fill(log, 310, 330)
    log.publish()
    log.close()
    shutil.rmtree(grown / "journal")
    shutil.copytree(tmp_path / "old", grown / "journal")
    with pytest.raises(LogDamaged, match="rolled back"):
        open_log(grown)
    shutil.rmtree(grown / "journal")
    with pytest.raises(LogDamaged, match="journal is gone"):
        open_log(grown)


def test_a_failed_fsync_is_final(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = open_log(folder)
    fill(log, 0, 3)

    def fails(_: int) -> None:
        raise OSError(5, "EIO")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fails)
        with pytest.raises(JournalFailed):
            log.append([entry(3)])
    with pytest.raises(JournalFailed):
        log.append([entry(4)])
    assert log.size == 3
    log.close()


def test_no_room_for_a_segment_writes_nothing_and_is_not_final(folder: Path) -> None:
    log = open_log(folder)
    fill(log, 0, 50, 1, size=900)
    (folder / "journal" / "spare").unlink(missing_ok=True)
    (folder / "journal").chmod(0o500)
    (folder / "journal" / "spare.tmp").mkdir() if os.geteuid() == 0 else None  # root writes anywhere: be in its way
    with pytest.raises(JournalFull):
        fill(log, 50, 100, 1, size=900)
    stopped = log.size
    (folder / "journal").chmod(0o700)
    if os.geteuid() == 0:
        (folder / "journal" / "spare.tmp").rmdir()
    fill(log, stopped, 100, 1, size=900)
    assert log.size == 100
    log.close()
    assert verify(folder).mismatches == ()


def test_the_reserve(folder: Path) -> None:
    log = open_log(folder)
    assert log.room()
    log.close()
    status = os.statvfs(folder)
    log = Log.open(folder, signer(), "now", SMALL, reserve_bytes=1 << 60)
    assert log.room() == (status.f_bavail >= status.f_blocks // 20), "a twentieth of a small disk"
    assert log.append([entry(1)]) == [0], "outcomes still find room"
    log.close()


def test_publishing_starts_again_after_an_error(folder: Path) -> None:
    log = open_log(folder)
    fill(log, 0, 300)
    (folder / "tile").mkdir()
    (folder / "tile" / "entries").write_bytes(b"in the way")
    with pytest.raises(OSError, match="tile"):
        log.publish()
    (folder / "tile" / "entries").unlink()
    fill(log, 300, 310)
    assert log.publish()
    assert not log.publish()
    log.close()
    assert verify(folder).mismatches == ()


# -- torn and flipped


@pytest.fixture(scope="module")
def journaled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes], int]:
    """A log of 12 acknowledged commits, none published; its lines, and where the last frame ends."""
    folder = tmp_path_factory.mktemp("journaled") / "audit"
    log = open_log(folder)
    for number in range(12):
        log.append([entry(number * 10 + offset, 60 * number) for offset in range(1 + number % 3)])
    known = lines(log)
    log.close()
    path = journal.segment_paths(folder / "journal")[0]
    return folder, known, journal.read_segment(path).end


def copy(source: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return journal.segment_paths(target / "journal")[0]


fuzz = settings(max_examples=150)


@fuzz
@given(data=st.data())
def test_flipped_bits_never_lose_what_was_acknowledged(
    journaled: tuple[Path, list[bytes], int], tmp_path: Path, data: st.DataObject
) -> None:
    """Every bit of the written part: the log opens with all its events, or refuses."""
    source, known, end = journaled
    path = copy(source, tmp_path / "audit")
    raw = bytearray(path.read_bytes())
    for position in data.draw(st.lists(st.integers(0, end * 8 - 1), min_size=1, max_size=3)):
        raw[position // 8] ^= 1 << position % 8
    path.write_bytes(raw)
    try:
        log = open_log(tmp_path / "audit")
    except LogDamaged:
        return
    assert lines(log)[: len(known)] == known
    log.close()


def test_every_bit_of_the_last_frame(journaled: tuple[Path, list[bytes], int], tmp_path: Path) -> None:
    """The frame that could be taken for a torn one; one bit of each byte, by turns."""
    source, _, end = journaled
    path = copy(source, tmp_path / "audit")
    raw = path.read_bytes()
    last = raw.rindex(journal.FRAME_MAGIC, 0, end)
    for byte in range(last, end):
        flipped = bytearray(raw)
        flipped[byte] ^= 1 << byte % 8
        path.write_bytes(flipped)
        with pytest.raises(journal.JournalDamaged):
            list(journal.replay(tmp_path / "audit" / "journal", SMALL))


@fuzz
@given(data=st.data())
def test_a_torn_last_write_is_wiped_and_the_log_goes_on(
    journaled: tuple[Path, list[bytes], int], tmp_path: Path, data: st.DataObject
) -> None:
    """A commit nobody was told of, of which some sectors never reached the disk."""
    source, known, end = journaled
    path = copy(source, tmp_path / "audit")
    log = open_log(tmp_path / "audit")
    log.append([entry(900 + n, data.draw(st.integers(0, 1500))) for n in range(data.draw(st.integers(1, 4)))])
    log.close()
    raw = bytearray(path.read_bytes())
    stop = len(raw.rstrip(b"\0"))
    sectors = sorted({*range(end // 512, -(-stop // 512))})
    lost = data.draw(st.sets(st.sampled_from(sectors), min_size=1))
    for sector in lost:
        low, high = max(end, sector * 512), min(stop, sector * 512 + 512)
        raw[low:high] = bytes(high - low)
    path.write_bytes(raw)
    try:
        log = open_log(tmp_path / "audit")
    except LogDamaged:
        small = max(min(stop, s * 512 + 512) - max(end, s * 512) for s in lost)
        assert small < 16, "only a loss too small to tell from damage may be refused"
        return
    assert lines(log)[: len(known)] == known
    fill(log, 950, 955)
    assert log.size == len(known) + 5
    log.close()
    assert verify(tmp_path / "audit").mismatches == ()


@pytest.mark.parametrize("cut", [0, 30, 48, 100, 60_000])
def test_a_shortened_segment_is_refused(journaled: tuple[Path, list[bytes], int], tmp_path: Path, cut: int) -> None:
    path = copy(journaled[0], tmp_path / "audit")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(LogDamaged):
        open_log(tmp_path / "audit")


def test_a_frame_may_not_be_left_out(journaled: tuple[Path, list[bytes], int], tmp_path: Path) -> None:
    """Zeros where a frame stood, and frames behind it: no crash does that."""
    source, _, end = journaled
    path = copy(source, tmp_path / "audit")
    raw = bytearray(path.read_bytes())
    last = raw.rindex(journal.FRAME_MAGIC, 0, end)
    before = raw.rindex(journal.FRAME_MAGIC, 0, last)
    raw[before:last] = bytes(last - before)
    path.write_bytes(raw)
    with pytest.raises(LogDamaged):
        open_log(tmp_path / "audit")


def test_a_view_reads_beside_the_writer_and_proves_every_event(folder: Path) -> None:
    log = open_log(folder)
    fill(log, 0, 600, 50)
    log.publish()
    fill(log, 600, 640, 7)
    view = LogView.open(folder)
    assert (view.published, view.size) == (600, 640)
    assert [stored.line for stored in view.entries()] == lines(log)
    assert [stored.index for stored in view.backwards()] == list(range(639, -1, -1))
    for index in (0, 255, 256, 599, 600, 639):
        assert view.prove(index).size == 640
        assert view.entry(index).text("id") == event_id(index)
    tile = folder / "tile/entries/001"
    tile.chmod(0o600)
    tile.write_bytes(tile.read_bytes().replace(b"xxx", b"yyy"))
    with pytest.raises(LogDamaged):
        view.prove(300)
    log.close()


def test_entries_have_ids(folder: Path) -> None:
    log = open_log(folder)
    same = Entry(event_id(1), b'{"id":"x"}')
    assert log.append([same, same, entry(2)]) == [0, 0, 1]
    log.close()
