"""DKIM key records (RFC 6376 3.6.1, RFC 8301, RFC 8463): parsed once, kept by content, so that a key lives as long as its record does."""

import binascii
from collections import OrderedDict
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from dkim.util import InvalidTagValueList, parse_tag_value

MIN_RSA_BITS = 1024
"""Below, a signature is worthless (RFC 8301 3.2)."""
GOOD_RSA_BITS = 2048
"""Below, worth a remark (RFC 8301 3.2)."""
MAX_RSA_BITS = 8192
"""Above, verification costs milliseconds; nobody publishes such keys."""
MAX_EXPONENT_BITS = 32
"""A large exponent makes verification as slow as signing."""
MAX_RECORD = 8192
"""Octets of a key record: an 8192-bit key in base64 is 1,400."""
MAX_KEYS = 2048
"""Parsed keys kept; about 1 kB each."""

_PADDING = PKCS1v15()
_HASH = Prehashed(SHA256())


@dataclass(frozen=True, slots=True)
class Key:
    """A usable public key and what its record allows."""

    public: RSAPublicKey | Ed25519PublicKey
    bits: int
    hashes: frozenset[bytes]
    """h=; empty: all."""
    strict: bool
    """t=s: i= must be the very domain."""
    testing: bool
    """t=y."""

    @property
    def kind(self) -> str:
        """``rsa`` or ``ed25519``."""
        return "rsa" if isinstance(self.public, RSAPublicKey) else "ed25519"

    def verifies(self, digest: bytes, signature: bytes) -> bool:
        """Whether ``signature`` is ours over the SHA-256 ``digest``."""
        try:
            if isinstance(self.public, RSAPublicKey):
                self.public.verify(signature, digest, _PADDING, _HASH)
            else:
                self.public.verify(signature, digest)
        except (InvalidSignature, ValueError, UnsupportedAlgorithm):
            return False
        return True


@dataclass(frozen=True, slots=True)
class BadKey:
    """A record that gives no key, and why."""

    reason: str


class KeyStore:
    """Parsed keys by the bytes of their record, least recently used dropped. The record's own TTL is the resolver's business."""

    def __init__(self, max_keys: int = MAX_KEYS) -> None:
        self._max = max_keys
        self._keys: OrderedDict[bytes, Key | BadKey] = OrderedDict()

    def get(self, record: bytes) -> Key | BadKey:
        """The key of this record."""
        key = self._keys.get(record)
        if key is None:
            key = self._keys[record] = parse(record)
            if len(self._keys) > self._max:
                self._keys.popitem(last=False)
        else:
            self._keys.move_to_end(record)
        return key


def parse(record: bytes) -> Key | BadKey:
    """Read one key record; never raises."""
    if len(record) > MAX_RECORD:
        return BadKey("key record too long")
    try:
        tags = parse_tag_value(record)
    except InvalidTagValueList:
        return BadKey("malformed key record")
    if tags.get(b"v", b"DKIM1") != b"DKIM1" or (b"v" in tags and next(iter(tags)) != b"v"):
        return BadKey("key record is not DKIM1")
    services = _list(tags.get(b"s", b"*"))
    if not services & {b"*", b"email"}:
        return BadKey("key is not for mail (s=)")
    if b"p" not in tags:
        return BadKey("key record without p=")
    material = b"".join(tags[b"p"].split())
    if not material:
        return BadKey("key revoked")
    public = _public(tags.get(b"k", b"rsa").lower(), material)
    if isinstance(public, BadKey):
        return public
    flags = _list(tags.get(b"t", b""))
    bits = public.key_size if isinstance(public, RSAPublicKey) else 256
    return Key(public, bits, frozenset(_list(tags.get(b"h", b""))), b"s" in flags, b"y" in flags)


def _list(value: bytes) -> set[bytes]:
    return {item.strip().lower() for item in value.split(b":")} - {b""}


def _public(kind: bytes, material: bytes) -> RSAPublicKey | Ed25519PublicKey | BadKey:
    try:
        octets = binascii.a2b_base64(material, strict_mode=True)
        if kind == b"ed25519":
            return Ed25519PublicKey.from_public_bytes(octets)
        if kind != b"rsa":
            return BadKey("unknown key type")
        public = load_der_public_key(octets)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return BadKey("unreadable public key")
    if not isinstance(public, RSAPublicKey):
        return BadKey("not an RSA key")
    if public.key_size > MAX_RSA_BITS or public.public_numbers().e.bit_length() > MAX_EXPONENT_BITS:
        return BadKey("public key too large")
    return public
