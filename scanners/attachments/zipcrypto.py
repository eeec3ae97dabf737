"""The two encryptions of ZIP: PKWARE's classic one (APPNOTE 6.1) and WinZip's AES (AE-1, AE-2), opened with candidate passwords."""

import hashlib
import hmac
from collections.abc import Callable

MAX_CLASSIC = 8_000_000
"""Bytes deciphered by the classic method, in Python at some 3 MB a second."""
_CHECK = 12
_SALT = {1: 8, 2: 12, 3: 16}
_ROUNDS = 1_000
_MAC = 10


def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ 0xEDB88320 if value & 1 else value >> 1
        table.append(value)
    return tuple(table)


def decrypt_classic(
    packed: bytes, check: int, words: tuple[str, ...], fits: Callable[[bytes], bool], tick: Callable[[], None]
) -> bytes | None:
    """The member's compressed bytes, or None. ``check`` is the byte its header must end with; ``fits`` settles collisions."""
    if len(packed) < _CHECK or len(packed) > MAX_CLASSIC:
        return None
    table = _crc_table()
    for word in words:
        for password in _spellings(word):
            tick()
            keys = _keys(password, table)
            head, keys = _stream(packed[:_CHECK], keys, table)
            if head[-1] != check:
                continue
            plain, _ = _stream(packed[_CHECK:], keys, table)
            if fits(plain):
                return plain
    return None


def _spellings(word: str) -> tuple[bytes, ...]:
    """A password's bytes as different programs write them."""
    if word.isascii():
        return (word.encode(),)
    return tuple(dict.fromkeys((word.encode("utf-8"), word.encode("gb18030"))))


def _keys(password: bytes, table: tuple[int, ...]) -> tuple[int, int, int]:
    key0, key1, key2 = 0x12345678, 0x23456789, 0x34567890
    for byte in password:
        key0 = (key0 >> 8) ^ table[(key0 ^ byte) & 0xFF]
        key1 = ((key1 + (key0 & 0xFF)) * 134775813 + 1) & 0xFFFFFFFF
        key2 = (key2 >> 8) ^ table[(key2 ^ (key1 >> 24)) & 0xFF]
    return key0, key1, key2


def _stream(data: bytes, keys: tuple[int, int, int], table: tuple[int, ...]) -> tuple[bytes, tuple[int, int, int]]:
    key0, key1, key2 = keys
    out = bytearray(len(data))
    for place, byte in enumerate(data):
        mask = key2 | 2
        byte ^= ((mask * (mask ^ 1)) >> 8) & 0xFF
        out[place] = byte
        key0 = (key0 >> 8) ^ table[(key0 ^ byte) & 0xFF]
        key1 = ((key1 + (key0 & 0xFF)) * 134775813 + 1) & 0xFFFFFFFF
        key2 = (key2 >> 8) ^ table[(key2 ^ (key1 >> 24)) & 0xFF]
    return bytes(out), (key0, key1, key2)


def decrypt_aes(packed: bytes, strength: int, words: tuple[str, ...]) -> bytes | None:
    """The member's compressed bytes, or None. ``strength`` 1 to 3 is AES 128, 192, 256; the MAC is checked."""
    salt_length = _SALT.get(strength, 0)
    if not salt_length or len(packed) < salt_length + 2 + _MAC:
        return None
    key_length = 8 + 8 * strength
    salt, verifier = packed[:salt_length], packed[salt_length : salt_length + 2]
    body, mac = packed[salt_length + 2 : -_MAC], packed[-_MAC:]
    for word in words:
        for password in _spellings(word):
            derived = hashlib.pbkdf2_hmac("sha1", password, salt, _ROUNDS, 2 * key_length + 2)
            if derived[-2:] != verifier:
                continue
            if hmac.digest(derived[key_length:-2], body, "sha1")[:_MAC] == mac:
                return _aes_counter(body, derived[:key_length])
    return None


def _aes_counter(data: bytes, key: bytes) -> bytes:
    """AES-CTR with WinZip's little-endian counter from 1: the key stream is ECB over the counters."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    blocks = (len(data) + 15) // 16
    counters = b"".join(number.to_bytes(16, "little") for number in range(1, blocks + 1))
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - the key stream of WinZip's counter mode
    stream = encryptor.update(counters)[: len(data)]
    mixed = int.from_bytes(data, "little") ^ int.from_bytes(stream, "little")
    return mixed.to_bytes(len(data), "little")
