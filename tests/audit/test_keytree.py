"""Erasing is exact: what was erased is gone, all else is as before."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.keytree import Erased, KeyTree, leaves, walk

ROOT = bytes(32)


@given(st.lists(st.integers(0, 255), max_size=40))
def test_only_the_erased_leaves_are_gone(erased: list[int]) -> None:
    tree, whole = KeyTree.fresh(8, ROOT), KeyTree.fresh(8, ROOT)
    for number, leaf in enumerate(erased):
        assert tree.erase(leaf) == (leaf not in erased[:number])
    copy = KeyTree(8, tree.nodes())
    for leaf in range(256):
        if leaf in erased:
            with pytest.raises(Erased):
                copy.key(leaf)
        else:
            assert copy.key(leaf) == whole.key(leaf)


@settings(max_examples=20)
@given(st.integers(0, 2**64 - 1))
def test_the_path_and_its_ancestors_are_gone_from_the_live_nodes(leaf: int) -> None:
    tree = KeyTree.fresh(64, ROOT)
    path = {walk(ROOT, leaf >> (64 - depth), depth) for depth in range(65)}
    tree.erase(leaf)
    live = {node.secret for node in tree.nodes()}
    assert not live & path
    assert len(live) == 64


def test_keys_differ() -> None:
    tree = KeyTree.fresh(10, ROOT)
    assert len({tree.key(leaf) for leaf in range(1024)}) == 1024
    assert walk(tree.at(2, 3), 1023, 8) == tree.key(1023)


def test_leaves_in_order_are_those_that_a_walk_finds() -> None:
    assert list(leaves(ROOT, 0)) == [ROOT]
    assert list(leaves(ROOT, 5)) == [walk(ROOT, path, 5) for path in range(32)]
