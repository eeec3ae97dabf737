"""Key trees whose leaves can be erased (puncturable GGM PRF): each node gives its two children, none gives its parent."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256

MESSAGE_DEPTH = 32
"""2^32 messages per class and month: no gateway carries more, and a walk of 32 hashes costs 16 us."""
SUBJECT_DEPTH = 64
"""A person's leaf is 64 bits of a keyed hash of the address: no row, no registry, no collision worth fearing."""
LEASE_BITS = 10
"""A lease is an inner node over 2^10 leaves."""


class Erased(LookupError):
    """The key is gone, and can't be computed from what is left."""


@dataclass(frozen=True, slots=True, order=True)
class Node:
    """An inner node or leaf: ``depth`` below the root, ``index`` from the left, and its secret."""

    depth: int
    index: int
    secret: bytes = field(repr=False)

    def child(self, bit: int) -> "Node":
        """SHA-256(node || bit)."""
        return Node(self.depth + 1, self.index << 1 | bit, sha256(self.secret + (b"\1" if bit else b"\0")).digest())


def walk(secret: bytes, path: int, steps: int) -> bytes:
    """The secret ``steps`` below, along the low ``steps`` bits of ``path`` from the highest."""
    for shift in range(steps - 1, -1, -1):
        secret = sha256(secret + (b"\1" if path >> shift & 1 else b"\0")).digest()
    return secret


def leaves(secret: bytes, steps: int) -> Iterator[bytes]:
    """The secrets of all leaves ``steps`` below, from the left: two hashes a leaf where ``walk`` takes ``steps``."""
    waiting = [(secret, steps)]
    while waiting:
        secret, steps = waiting.pop()
        while steps:
            steps -= 1
            waiting.append((sha256(secret + b"\1").digest(), steps))
            secret = sha256(secret + b"\0").digest()
        yield secret


class KeyTree:
    """The live nodes of one tree. What no live node covers is erased."""

    def __init__(self, depth: int, nodes: Iterable[Node]) -> None:
        self.depth = depth
        self._nodes = {(node.depth, node.index): node.secret for node in nodes}

    @classmethod
    def fresh(cls, depth: int, secret: bytes) -> "KeyTree":
        """A tree from its root."""
        return cls(depth, [Node(0, 0, secret)])

    def nodes(self) -> list[Node]:
        """All live nodes, in a stable order."""
        return sorted(Node(depth, index, secret) for (depth, index), secret in self._nodes.items())

    def covering(self, depth: int, index: int) -> Node:
        """The live node at or above a place. Raises Erased."""
        for above in range(depth + 1):
            secret = self._nodes.get((depth - above, index >> above))
            if secret is not None:
                return Node(depth - above, index >> above, secret)
        raise Erased(f"nothing covers node {index} at depth {depth}")

    def key(self, leaf: int) -> bytes:
        """The key of a leaf. Raises Erased."""
        return self.at(self.depth, leaf)

    def at(self, depth: int, index: int) -> bytes:
        """The secret of any node below a live one, such as a lease. Raises Erased."""
        node = self.covering(depth, index)
        return walk(node.secret, index, depth - node.depth)

    def erase(self, leaf: int) -> bool:
        """Remove the node that covers ``leaf`` and put its siblings along the path in its place; False if it was erased before."""
        try:
            node = self.covering(self.depth, leaf)
        except Erased:
            return False
        del self._nodes[(node.depth, node.index)]
        for shift in range(self.depth - node.depth - 1, -1, -1):
            bit = leaf >> shift & 1
            sibling = node.child(1 - bit)
            self._nodes[(sibling.depth, sibling.index)] = sibling.secret
            node = node.child(bit)
        return True
