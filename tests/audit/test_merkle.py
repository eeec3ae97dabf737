"""The tree against an independent implementation, and its proofs against its roots."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from audit import merkle
from audit.merkle import Frontier, ProofError

ENTRIES = [b"event %d" % number for number in range(600)]
LEAVES = [merkle.leaf_hash(entry) for entry in ENTRIES]


def hash_of(low: int, high: int) -> bytes:
    return merkle.tree_hash(LEAVES[low:high])


def test_roots_equal_pymerkle_at_every_size() -> None:
    oracle, frontier = InmemoryTree(algorithm="sha256"), Frontier()
    assert frontier.root() == merkle.EMPTY_ROOT == oracle.get_root()
    for entry in ENTRIES[:300]:
        oracle.append_entry(entry)
        frontier.append(merkle.leaf_hash(entry))
        assert frontier.root() == oracle.get_root() == hash_of(0, frontier.size)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 100, 255, 256, 257, 600])
def test_every_entry_is_proven_and_nothing_else_is(size: int) -> None:
    root = hash_of(0, size)
    for index in range(size):
        proof = merkle.inclusion_proof(index, size, hash_of)
        merkle.verify_inclusion(index, size, LEAVES[index], proof, root)
        for wrong in (
            (index, size, LEAVES[index - 1] if index else bytes(32), proof, root),
            (index, size, LEAVES[index], [*proof, bytes(32)], root),
            (index, size, LEAVES[index], proof, bytes(32)),
            (index + size, size, LEAVES[index], proof, root),
        ):
            with pytest.raises(ProofError):
                merkle.verify_inclusion(*wrong)


@given(st.integers(1, 600), st.integers(1, 600))
def test_consistency(one: int, two: int) -> None:
    old, new = sorted((one, two))
    old_root, new_root = hash_of(0, old), hash_of(0, new)
    proof = merkle.consistency_proof(old, new, hash_of) if old < new else []
    merkle.verify_consistency(old, new, old_root, new_root, proof)
    with pytest.raises(ProofError):
        merkle.verify_consistency(old, new, bytes(32), new_root, proof)
    with pytest.raises(ProofError):
        merkle.verify_consistency(old, new, old_root, bytes(32), proof)


@pytest.mark.parametrize(
    ("level", "number", "width", "path"),
    [
        (0, 0, 256, "tile/0/000"),
        (0, 0, 17, "tile/0/000.p/17"),
        ("entries", 1234067, 256, "tile/entries/x001/x234/067"),
        (2, 1000, 1, "tile/2/x001/000.p/1"),
    ],
)
def test_paths_as_tlog_tiles_writes_them(level: int | str, number: int, width: int, path: str) -> None:
    assert merkle.tile_path(level, number, width) == path


def test_widths_of_the_specification_s_example() -> None:
    assert merkle.widths(70_000) == [(273, 112), (1, 17), (0, 1)]
    assert merkle.widths(256) == [(1, 0), (0, 1)]
    assert merkle.widths(0) == []
