"""The Merkle tree of RFC 6962 section 2.1, and where C2SP tlog-tiles puts its hashes. Pure, standard library only."""

from collections.abc import Callable, Sequence
from hashlib import sha256

EMPTY_ROOT = sha256(b"").digest()
HASH_SIZE = 32
TILE_WIDTH = 256

HashOf = Callable[[int, int], bytes]
"""Gives the tree hash of the leaves ``lo`` (inclusive) to ``hi`` (exclusive)."""


class ProofError(ValueError):
    """A proof does not prove what it is shown for."""


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256(00 || entry)."""
    return sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(01 || left || right)."""
    return sha256(b"\1" + left + right).digest()


class Frontier:
    """The right edge of a growing tree: the roots of its perfect subtrees, widest first."""

    __slots__ = ("peaks", "size")

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        if len(peaks) != size.bit_count():
            raise ValueError("a tree has one peak for every bit set in its size")
        self.size = size
        self.peaks = list(peaks)

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash."""
        peaks, size = self.peaks, self.size
        self.size = size + 1
        while size & 1:
            leaf = sha256(b"\1" + peaks.pop() + leaf).digest()
            size >>= 1
        peaks.append(leaf)

    def root(self) -> bytes:
        """The tree hash now."""
        if not self.peaks:
            return EMPTY_ROOT
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = node_hash(peak, root)
        return root

    def copy(self) -> "Frontier":
        """One that grows on its own."""
        return Frontier(self.size, self.peaks)


def tree_hash(hashes: Sequence[bytes]) -> bytes:
    """MTH over leaf (or subtree) hashes that stand side by side."""
    frontier = Frontier()
    for item in hashes:
        frontier.append(item)
    return frontier.root()


def split(size: int) -> int:
    """The largest power of two smaller than ``size`` (RFC 6962 2.1); ``size`` at least 2."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion_proof(index: int, size: int, hash_of: HashOf) -> list[bytes]:
    """PATH(index, D[size]) of RFC 6962 2.1.1, leaf's sibling first."""
    if not 0 <= index < size:
        raise ValueError(f"no event {index} in a tree of {size}")
    lo, hi = 0, size
    proof: list[bytes] = []
    while hi - lo > 1:
        middle = lo + split(hi - lo)
        if index < middle:
            proof.append(hash_of(middle, hi))
            hi = middle
        else:
            proof.append(hash_of(lo, middle))
            lo = middle
    proof.reverse()
    return proof


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Raises ProofError unless ``proof`` leads from ``leaf`` to ``root`` (RFC 9162 2.1.3.2)."""
    if not 0 <= index < size:
        raise ProofError(f"no event {index} in a tree of {size}")
    node, last, result = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise ProofError("the proof is too long")
        if node & 1 or node == last:
            result = node_hash(sibling, result)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            result = node_hash(result, sibling)
        node, last = node >> 1, last >> 1
    if last != 0 or result != root:
        raise ProofError("the proof does not lead to the root")


def consistency_proof(old: int, new: int, hash_of: HashOf) -> list[bytes]:
    """PROOF(old, D[new]) of RFC 6962 2.1.2."""
    if not 0 < old <= new:
        raise ValueError(f"no proof from {old} to {new}")

    proof: list[bytes] = []
    lo, hi, whole = 0, new, True
    while old != hi:
        middle = lo + split(hi - lo)
        if old <= middle:
            proof.append(hash_of(middle, hi))
            hi = middle
        else:
            proof.append(hash_of(lo, middle))
            lo, whole = middle, False
    if not whole:
        proof.append(hash_of(lo, hi))
    proof.reverse()
    return proof


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Raises ProofError unless the tree of ``new`` begins with the tree of ``old`` (RFC 9162 2.1.4.2)."""
    if not 0 < old <= new:
        raise ProofError(f"no proof from {old} to {new}")
    if old == new:
        if proof or old_root != new_root:
            raise ProofError("two roots for one size")
        return
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        raise ProofError("the proof is empty")
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    first = second = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise ProofError("the proof is too long")
        if node & 1 or node == last:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            second = node_hash(second, sibling)
        node, last = node >> 1, last >> 1
    if last != 0 or first != old_root or second != new_root:
        raise ProofError("the proof does not join the two roots")


def tile_number(number: int) -> str:
    """``1234067`` -> ``x001/x234/067``."""
    groups = [f"{number % 1000:03d}"]
    while number := number // 1000:
        groups.append(f"x{number % 1000:03d}")
    return "/".join(reversed(groups))


def tile_path(level: int | str, number: int, width: int = TILE_WIDTH) -> str:
    """Path of a hash tile, or of an entry bundle for level ``"entries"``; ``width`` below 256 is a partial one."""
    partial = "" if width == TILE_WIDTH else f".p/{width}"
    return f"tile/{level}/{tile_number(number)}{partial}"


def widths(size: int) -> list[tuple[int, int]]:
    """Per level of a tree of ``size``: full tiles, and hashes in the partial one at the edge (0: none)."""
    result = []
    while size:
        result.append((size // TILE_WIDTH, size % TILE_WIDTH))
        size //= TILE_WIDTH
    return result
