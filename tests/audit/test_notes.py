"""Notes against the vector printed in the specification, and against a second implementation of Ed25519."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import notes
from audit.notes import Checkpoint, NoteError
from tests.audit.events import ORIGIN, signer

VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NOTE = """If you think cryptography is the answer to your problem,
then you don't know what your problem is.

— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
""".encode()


def test_the_specification_s_vector() -> None:
    verifier = notes.parse_vkey(VKEY)
    assert str(verifier) == VKEY
    assert notes.open_note(NOTE, verifier).endswith("problem is.\n")


@pytest.mark.parametrize(
    "note",
    [
        NOTE.replace(b"answer", b"Answer"),
        NOTE.replace(b"x08go/ZJ", b"x08go/ZK"),
        NOTE.replace(b"PeterNeumann ", b"Somebody "),
        NOTE[:-1],
        NOTE.replace("—".encode(), b"-"),
        NOTE.split(b"\n\n")[0] + b"\n",
        b"\xff" + NOTE,
        b"",
        b"\n" * 70_000,
    ],
)
def test_what_is_not_signed_does_not_open(note: bytes) -> None:
    with pytest.raises(NoteError):
        notes.open_note(note, notes.parse_vkey(VKEY))


def test_unknown_signatures_are_passed_over() -> None:
    more = NOTE + "— witness.example abcdefghAAAA\n".encode()
    assert notes.open_note(more, notes.parse_vkey(VKEY))


@pytest.mark.parametrize("vkey", ["", "a+b", "a b" + VKEY[12:], VKEY.replace("c74f20a3", "c74f20a4"), VKEY[:-4]])
def test_bad_keys(vkey: str) -> None:
    with pytest.raises(NoteError):
        notes.parse_vkey(vkey)


@settings(max_examples=10)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200))
def test_ed25519_agrees_with_cryptography(seed: bytes, message: bytes) -> None:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    signature = key.sign(message)
    assert notes.verify_ed25519(public, message, signature)
    assert not notes.verify_ed25519(public, message + b"x", signature)
    flipped = bytes([signature[0] ^ 1]) + signature[1:]
    assert not notes.verify_ed25519(public, message, flipped)
    order = 2**252 + 27742317777372353535851937790883648493
    malleable = signature[:32] + ((int.from_bytes(signature[32:], "little") + order) % 2**256).to_bytes(32, "little")
    assert not notes.verify_ed25519(public, message, malleable)


def test_checkpoints() -> None:
    made = signer().checkpoint(Checkpoint(ORIGIN, 17, bytes(32)))
    assert notes.open_checkpoint(made, signer().verifier, ORIGIN) == Checkpoint(ORIGIN, 17, bytes(32))
    with pytest.raises(NoteError):
        notes.open_checkpoint(made, signer().verifier, "other/audit")
    with pytest.raises(NoteError):
        notes.open_checkpoint(made, signer(seed=bytes(32)).verifier, ORIGIN)


@pytest.mark.parametrize(
    "text", ["", "o\n", "o\n01\nAA==\n", "o\n-1\nAA==\n", f"o\n{'9' * 30}\nAA==\n", "o\n1\n!\n", "o\n1\nAA==\n"]
)
def test_malformed_checkpoints(text: str) -> None:
    with pytest.raises(NoteError):
        notes.parse_checkpoint(text)
