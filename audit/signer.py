"""The log's signing key. Apart from the verifying side, which needs the standard library only."""

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from audit.files import write_durable
from audit.notes import Checkpoint, Verifier, sign_note


class Signer:
    """Signs checkpoints in the name of one log."""

    __slots__ = ("_key", "verifier")

    def __init__(self, name: str, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = Verifier(name, self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def checkpoint(self, checkpoint: Checkpoint) -> bytes:
        """The signed note."""
        text = checkpoint.text()
        return sign_note(text, self.verifier, self._key.sign(text.encode()))


def load_secret(path: Path, fresh: bytes | None) -> bytes:
    """32 secret bytes from a file only its owner may read; made from ``fresh`` when there is none yet and one may be made.

    Raises FileNotFoundError (``fresh`` is None and the file is missing), ValueError (too open, or not 32 bytes).
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        if fresh is None:
            raise
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A crash here leaves no key, or all of it: nothing has been signed or wrapped with it yet.
        write_durable(path, fresh, 0o600)
        return fresh
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        secret = file.read(33)
    if mode & 0o077:
        raise ValueError(f"{path}: others may read this key; chmod 600 it 密钥文件权限过宽，请 chmod 600")
    if len(secret) != 32:
        raise ValueError(f"{path}: not a key of 32 bytes; restore it from backup 密钥文件损坏，请从备份恢复")
    return secret
