"""The deletable part of the log: live nodes of the key trees in SQLite, wrapped by a key-encryption key kept elsewhere.

An erasure rewrites the nodes under a new key-encryption key and destroys the old one, so that no old copy of the database, and
nothing left over on the disk, undoes it.
"""

import contextlib
import os
import sqlite3
import struct
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit.event import Place
from audit.files import sync_directory, write_durable
from audit.keytree import LEASE_BITS, MESSAGE_DEPTH, SUBJECT_DEPTH, Erased, KeyTree, Node
from audit.sealing import SubjectKey, derive, subject_of
from audit.signer import load_secret

MAX_GENERATIONS = 1000
"""Erasures of one person within one month's tree before somebody must look into it."""
_NODE = struct.Struct(">BQ32s")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS wrap (one INTEGER PRIMARY KEY CHECK (one = 1), kek BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS tree (
  kind TEXT NOT NULL, retention TEXT NOT NULL, month TEXT NOT NULL, high_water INTEGER NOT NULL, wrapped BLOB NOT NULL,
  PRIMARY KEY (kind, retention, month)
);
"""
_SUBJECT, _MESSAGE = "subject", "message"


class KeysUnreadable(Exception):
    """The keys don't open: the key-encryption key is missing or another one, or the file is damaged."""


class _Tree:
    """One tree in memory: live nodes, the next leaf not yet leased, and (subjects) the key of their leaf numbers."""

    def __init__(self, tree: KeyTree, token: bytes, high_water: int) -> None:
        self.tree = tree
        self.token = token
        self.high_water = high_water

    def pack(self) -> bytes:
        """Token and nodes, before wrapping."""
        return self.token + b"".join(_NODE.pack(node.depth, node.index, node.secret) for node in self.tree.nodes())


class KeyStore:
    """Used by one process and one thread: the keeper's loop."""

    def __init__(self, database: Path, kek_file: Path, random: Callable[[int], bytes]) -> None:
        """Raises KeysUnreadable, OSError, ValueError (key file too open)."""
        self._random = random
        self._kek_file = kek_file
        self._trees: dict[tuple[str, str, str], _Tree] = {}
        database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._db = sqlite3.connect(database, isolation_level=None)
        os.chmod(database, 0o600)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "busy_timeout=5000"):
            self._db.execute(f"PRAGMA {pragma}").close()
        self._db.executescript(_SCHEMA)
        try:
            self._kek = self._open_kek()
            self._load()
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Let go of the database."""
        self._db.close()

    def _open_kek(self) -> bytes:
        row = self._db.execute("SELECT kek FROM wrap").fetchone()
        renewed = self._kek_file.with_name(self._kek_file.name + ".new")
        if row is None:
            kek = load_secret(self._kek_file, self._random(32))
            # A crash before this commit leaves a key that wraps nothing yet.
            self._db.execute("INSERT INTO wrap VALUES (1, ?)", (_kek_id(kek),))
            return kek
        for path in (self._kek_file, renewed):
            try:
                kek = load_secret(path, None)
            except FileNotFoundError:
                continue
            if _kek_id(kek) == row[0]:
                if path == renewed:  # a crash came between re-wrapping and the rename
                    self._adopt(renewed)
                else:
                    renewed.unlink(missing_ok=True)
                return kek
        raise KeysUnreadable(
            f"{self._kek_file}: not the key that the log's keys are wrapped with; put the right file back from backup"
            " 密钥加密密钥不匹配，请从备份恢复正确的文件"
        )

    def _adopt(self, renewed: Path) -> None:
        # A crash before the rename is finished by the next start; after it the old key is gone from the folder.
        os.rename(renewed, self._kek_file)
        sync_directory(self._kek_file.parent)

    def _load(self) -> None:
        for kind, retention, month, high_water, wrapped in self._db.execute("SELECT * FROM tree"):
            try:
                plain = AESGCM(self._kek).decrypt(wrapped[:12], wrapped[12:], f"{kind}/{retention}/{month}".encode())
            except InvalidTag as error:
                raise KeysUnreadable(
                    f"the keys of {retention} {month} do not open; restore them from backup 密钥损坏，请从备份恢复"
                ) from error
            nodes = [Node(*_NODE.unpack_from(plain, at)) for at in range(32, len(plain), _NODE.size)]
            depth = MESSAGE_DEPTH if kind == _MESSAGE else SUBJECT_DEPTH
            self._trees[kind, retention, month] = _Tree(KeyTree(depth, nodes), plain[:32], high_water)

    def _wrap(self, kek: bytes, kind: str, retention: str, month: str, tree: _Tree) -> bytes:
        nonce = self._random(12)
        return nonce + AESGCM(kek).encrypt(nonce, tree.pack(), f"{kind}/{retention}/{month}".encode())

    def _tree(self, kind: str, retention: str, month: str) -> _Tree:
        tree = self._trees.get((kind, retention, month))
        if tree is None:
            depth = MESSAGE_DEPTH if kind == _MESSAGE else SUBJECT_DEPTH
            tree = _Tree(KeyTree.fresh(depth, self._random(32)), self._random(32), 0)
            wrapped = self._wrap(self._kek, kind, retention, month, tree)
            # A crash before this commit leaves no tree, and nobody has a key of it.
            self._db.execute("INSERT INTO tree VALUES (?, ?, ?, 0, ?)", (kind, retention, month, wrapped))
            self._trees[kind, retention, month] = tree
        return tree

    def lease(self, retention: str, month: str) -> tuple[int, bytes]:
        """First leaf and secret of an inner node over 2^LEASE_BITS fresh leaves; no other lease ever covers them."""
        tree = self._tree(_MESSAGE, retention, month)
        while True:
            base = tree.high_water
            if base + (1 << LEASE_BITS) > 1 << MESSAGE_DEPTH:
                raise OverflowError(f"the key tree of {retention} {month} is used up")
            # Durable before anyone has the lease: a crash here burns these leaves.
            self._db.execute(
                "UPDATE tree SET high_water = ? WHERE kind = ? AND retention = ? AND month = ?",
                (base + (1 << LEASE_BITS), _MESSAGE, retention, month),
            )
            tree.high_water = base + (1 << LEASE_BITS)
            try:
                return base, tree.tree.at(MESSAGE_DEPTH - LEASE_BITS, base >> LEASE_BITS)
            except Erased:
                continue

    def message_key(self, place: Place) -> bytes:
        """Key of one message. Raises Erased."""
        tree = self._trees.get((_MESSAGE, place.retention, place.month))
        if tree is None or not 0 <= place.leaf < 1 << MESSAGE_DEPTH:
            raise Erased(f"no keys for {place.retention} {place.month}")
        return tree.tree.key(place.leaf)

    def subject(self, month: str, address: str) -> SubjectKey:
        """A person's key of that month: the first generation that is not erased."""
        tree = self._tree(_SUBJECT, "", month)
        leaf = self._live_leaf(tree, address)
        return SubjectKey(tree.tree.key(leaf), leaf)

    def _live_leaf(self, tree: _Tree, address: str) -> int:
        name = subject_of(address).encode("utf-8", "backslashreplace")
        for generation in range(MAX_GENERATIONS):
            leaf = int.from_bytes(derive(tree.token, b"%d\0" % generation + name)[:8], "big")
            try:
                tree.tree.covering(SUBJECT_DEPTH, leaf)
            except Erased:
                continue
            return leaf
        raise OverflowError("one person was erased too often in one month")

    def subject_key(self, month: str, leaf: int) -> bytes:
        """Key of one subject leaf. Raises Erased."""
        tree = self._trees.get((_SUBJECT, "", month))
        if tree is None:
            raise Erased(f"no subject keys for {month}")
        return tree.tree.key(leaf)

    def erase_message(self, place: Place) -> bool:
        """Make one message's key uncomputable, for good. False if it was erased before."""
        tree = self._trees.get((_MESSAGE, place.retention, place.month))
        if tree is None or not tree.tree.erase(place.leaf):
            return False
        self._rewrap()
        return True

    def erase_subject(self, address: str) -> int:
        """Make one person's keys of all months uncomputable; how many months had any."""
        count = 0
        for (kind, _, _), tree in self._trees.items():
            if kind == _SUBJECT:
                count += tree.tree.erase(self._live_leaf(tree, address))
        self._rewrap()
        return count

    def _rewrap(self) -> None:
        """Write all live nodes under a new key-encryption key, and destroy the old one."""
        kek = self._random(32)
        renewed = self._kek_file.with_name(self._kek_file.name + ".new")
        try:
            # A crash after this leaves a new key that wraps nothing: dropped at the next start, the erasure has not happened.
            write_durable(renewed, kek, 0o600)
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("DELETE FROM tree")
            for (kind, retention, month), tree in self._trees.items():
                wrapped = self._wrap(kek, kind, retention, month, tree)
                row = (kind, retention, month, tree.high_water, wrapped)
                self._db.execute("INSERT INTO tree VALUES (?, ?, ?, ?, ?)", row)
            self._db.execute("UPDATE wrap SET kek = ?", (_kek_id(kek),))
            # A crash before this commit: not erased. After it: erased, and only the new key opens what is left.
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            # What is in memory must be what is on the disk, or a later re-wrap would erase what nobody was told of.
            self._trees.clear()
            self._load()
            raise
        self._kek = kek
        self._adopt(renewed)
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()


def _kek_id(kek: bytes) -> bytes:
    return sha256(b"sealgate kek\0" + kek).digest()[:8]
