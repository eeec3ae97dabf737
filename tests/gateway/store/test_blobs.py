"""Blobs: durable, whole or not at all, and unreadable without the message's key."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.store.blobs import FolderBlobs
from gateway.store.errors import StoreDamaged, StoreUnavailable
from gateway.store.sealing import CHUNK, StoreKey

BOX, _ = StoreKey(b"k" * 32).new_message_key("M1")
NAME = "01KAMZ3W8Q0000000000000M01"


async def test_put_get_delete(tmp_path):
    blobs = FolderBlobs(tmp_path / "custody")
    assert await blobs.names() == ()
    await blobs.put(NAME, [b"a", b"b"])
    await blobs.put(NAME, [b"cd"])
    assert await blobs.get(NAME) == b"cd"
    assert await blobs.names() == (NAME,)
    await blobs.delete(NAME)
    await blobs.delete(NAME)
    assert await blobs.get(NAME) is None


async def test_a_failed_put_leaves_nothing(tmp_path):
    blobs = FolderBlobs(tmp_path / "custody")

    def chunks():
        yield b"half"
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreUnavailable, match="No space"):
        await blobs.put(NAME, chunks())
    assert await blobs.get(NAME) is None
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


async def test_drafts_of_a_crash_are_not_blobs_and_are_removed(tmp_path):
    blobs = FolderBlobs(tmp_path / "custody")
    await blobs.put(NAME, [b"x"])
    (folder,) = (tmp_path / "custody").iterdir()
    (folder / f"{NAME}.00.part").write_bytes(b"half")
    assert await blobs.names() == (NAME,)
    assert await blobs.drafts_older_than(0) == 0
    assert await blobs.drafts_older_than(os.stat(folder).st_mtime + 10) == 1
    assert await blobs.get(NAME) == b"x"


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a.b", "名"])
async def test_names_cannot_leave_the_folder(tmp_path, name):
    with pytest.raises(ValueError, match="name"):
        await FolderBlobs(tmp_path).put(name, [b""])


@given(st.binary(max_size=300), st.integers(0, 2**16), st.integers(0, 7))
@settings(max_examples=60)
def test_one_flipped_bit_is_noticed(plain, where, bit):
    sealed = bytearray(b"".join(BOX.seal_blob(plain)))
    assert BOX.open_blob(bytes(sealed)) == plain
    sealed[where % len(sealed)] ^= 1 << bit
    with pytest.raises(StoreDamaged):
        BOX.open_blob(bytes(sealed))


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK])
def test_chunks_cannot_be_dropped_or_exchanged(size):
    plain = os.urandom(size)
    pieces = list(BOX.seal_blob(plain))
    assert BOX.open_blob(b"".join(pieces)) == plain
    for broken in (pieces[:-1], [pieces[0], *reversed(pieces[1:])] if len(pieces) > 2 else pieces[:-1]):
        with pytest.raises(StoreDamaged):
            BOX.open_blob(b"".join(broken))


def test_another_message_s_key_opens_nothing():
    other, _ = StoreKey(b"k" * 32).new_message_key("M2")
    with pytest.raises(StoreDamaged):
        other.open_blob(b"".join(BOX.seal_blob(b"x")))
