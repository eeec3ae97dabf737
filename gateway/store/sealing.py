"""Encryption at rest of what custody keeps: one key per message, wrapped by the store's key; blind tokens to look addresses up.

AES-256-GCM throughout. What a ciphertext belongs to (table, row, version, chunk) is its associated data, so that nothing can be moved to
another place without being noticed. Destroying a message's wrapped key destroys its content and its addresses.
"""

import hmac
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.store.errors import StoreDamaged, StoreUnavailable

NONCE = 12
CHUNK = 1 << 20
"""Bytes of plain text per sealed chunk of a blob: bounds what must be in memory twice."""
MAGIC = b"SGB1"
TOKEN = 16
"""Bytes of a blind token; 2**64 addresses before two collide."""


@dataclass(frozen=True, slots=True)
class StoreKey:
    """The key that wraps all others. ``random`` gives so many random bytes (os.urandom outside tests)."""

    key: bytes = field(repr=False)
    random: Callable[[int], bytes] = field(repr=False, default=os.urandom)

    def derived(self, purpose: str) -> bytes:
        """A key of its own for each purpose."""
        return hmac.digest(self.key, purpose.encode(), "sha256")

    def new_message_key(self, message_id: str) -> tuple["MessageBox", bytes]:
        """A fresh key, and its wrapped form for the row."""
        key = self.random(32)
        nonce = self.random(NONCE)
        wrapped = nonce + AESGCM(self.derived("wrap")).encrypt(nonce, key, b"key\0" + message_id.encode())
        return MessageBox(message_id, key, self.random), wrapped

    def unwrap(self, message_id: str, wrapped: bytes) -> "MessageBox":
        """Raises StoreDamaged if this is not that message's key."""
        key = _open(AESGCM(self.derived("wrap")), wrapped, b"key\0" + message_id.encode())
        return MessageBox(message_id, key, self.random)

    def token(self, address: str) -> bytes:
        """A blind token of an address: equal for equal addresses (domain and local part without case), and of no use without the key."""
        folded = address.strip().lower().encode("utf-8", "surrogatepass")
        return hmac.digest(self.derived("index"), b"addr\0" + folded, "sha256")[:TOKEN]

    @property
    def check(self) -> str:
        """Lets a database say whether this is the key it was made with."""
        return hmac.digest(self.key, b"check", "sha256")[:TOKEN].hex()


@dataclass(frozen=True, slots=True)
class MessageBox:
    """Seals and opens what belongs to one message."""

    message_id: str
    key: bytes = field(repr=False)
    random: Callable[[int], bytes] = field(repr=False)

    def seal(self, place: str, plain: bytes) -> bytes:
        """A row's payload. ``place`` names table, row and version."""
        nonce = self.random(NONCE)
        return nonce + AESGCM(self._key("row")).encrypt(nonce, plain, place.encode())

    def open(self, place: str, sealed: bytes) -> bytes:
        """Raises StoreDamaged if it is not what was sealed there."""
        return _open(AESGCM(self._key("row")), sealed, place.encode())

    def seal_blob(self, plain: bytes) -> Iterator[bytes]:
        """A blob in chunks (the STREAM construction: number and last-flag are in the nonce, so none can be dropped or moved)."""
        prefix = self.random(7)
        yield MAGIC + prefix
        cipher = AESGCM(self._key("blob"))
        view = memoryview(plain)
        starts = range(0, len(plain), CHUNK) or range(1)
        for number, start in enumerate(starts):
            nonce = _chunk_nonce(prefix, number, start + CHUNK >= len(plain))
            yield cipher.encrypt(nonce, view[start : start + CHUNK], self._blob_place)

    def open_blob(self, sealed: bytes) -> bytes:
        """Raises StoreDamaged if one byte differs, or one is missing."""
        head = len(MAGIC) + 7
        if sealed[: len(MAGIC)] != MAGIC or len(sealed) < head + 16:
            raise StoreDamaged("not a blob of ours")
        prefix, step = sealed[len(MAGIC) : head], CHUNK + 16
        cipher = AESGCM(self._key("blob"))
        view = memoryview(sealed)
        plain = []
        for number, start in enumerate(range(head, len(sealed), step)):
            nonce = _chunk_nonce(prefix, number, start + step >= len(sealed))
            try:
                plain.append(cipher.decrypt(nonce, view[start : start + step], self._blob_place))
            except InvalidTag as error:
                raise StoreDamaged("a blob is not what was written") from error
        return b"".join(plain)

    @property
    def _blob_place(self) -> bytes:
        return b"blob\0" + self.message_id.encode()

    def _key(self, purpose: str) -> bytes:
        return hmac.digest(self.key, purpose.encode(), "sha256")


def _chunk_nonce(prefix: bytes, number: int, last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + (b"\1" if last else b"\0")


def _open(cipher: AESGCM, sealed: bytes, place: bytes) -> bytes:
    try:
        return cipher.decrypt(sealed[:NONCE], sealed[NONCE:], place)
    except (InvalidTag, ValueError) as error:
        raise StoreDamaged("a sealed field is not what was written there") from error


def digest(data: bytes) -> str:
    """SHA-256 in hex, by which waivers name a content."""
    return sha256(data).hexdigest()


def load_key(path: Path, random: Callable[[int], bytes] = os.urandom) -> StoreKey:
    """The store's key from ``path`` (32 bytes, mode 0600); made on first use. Raises StoreUnavailable with what to do."""
    try:
        if not path.exists():
            _make_key(path, random)
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise StoreUnavailable(f"{path} 权限过宽，请执行 chmod 600 / is open to others: chmod 600 {path}")
            key = file.read(33)
    except OSError as error:
        raise StoreUnavailable(f"{path}: {error.strerror}; 无法读取存储密钥 / the store key cannot be read") from error
    if len(key) != 32:
        raise StoreUnavailable(
            f"{path} 不是 32 字节密钥，请从备份恢复 / is not a key of 32 bytes: restore it from backup"
        )
    return StoreKey(key, random)


def _make_key(path: Path, random: Callable[[int], bytes]) -> None:
    private_directory(path.parent)
    draft = path.with_name(f".{path.name}.{random(8).hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(random(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)  # a crash before this leaves a draft nobody reads; after it the key is whole and stays
        except FileExistsError:
            return  # another process was first; its key holds
    finally:
        draft.unlink(missing_ok=True)
    sync_directory(path.parent)


def private_directory(path: Path) -> None:
    """Make a folder, and what is missing above it, for its owner alone (``parents=True`` would let everybody look into those above)."""
    for each in (*reversed(path.parents), path):
        each.mkdir(mode=0o700, exist_ok=True)


def sync_directory(path: Path) -> None:
    """Make names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
