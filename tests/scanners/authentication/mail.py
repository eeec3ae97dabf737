"""Mail made and signed for tests, by code that shares nothing with what is tested."""

import base64
import hashlib
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from scanners.authentication.canonical import Prepared
from scanners.message import Direction, Envelope, Header, Message, Recipient

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PLAIN = (
    b"From: Joe <joe@a.test>\r\nTo: b@corp.test\r\nSubject: hello\r\nDate: Fri, 2 Jan 2026 03:04:05 +0000\r\n"
    b"Message-ID: <1@a.test>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello  there\t\r\n\r\nbye \r\n\r\n\r\n"
)


@lru_cache
def _generate(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return _generate(bits)


@lru_cache
def ed_key() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def pem(bits: int = 2048) -> bytes:
    return rsa_key(bits).private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def record(key: Any = None, tags: str = "v=DKIM1; ") -> str:
    key = key or rsa_key()
    if isinstance(key, ed25519.Ed25519PrivateKey):
        octets = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        tags += "k=ed25519; "
    else:
        octets = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"{tags}p={base64.b64encode(octets).decode()}"


def split(raw: bytes) -> int:
    end = raw.find(b"\r\n\r\n")
    return len(raw) if end < 0 else end + 4


def prepare(raw: bytes) -> Prepared:
    return Prepared(raw, split(raw))


def sign(
    raw: bytes,
    domain: str = "a.test",
    selector: str = "s",
    h: str = "from:to:subject:date:message-id:content-type",
    key: Any = None,
    extra: str = "",
    algorithm: str = "",
    body: bytes | None = None,
) -> bytes:
    """``raw`` with a simple/simple signature in front; ``extra`` are further tags, ``body`` what is hashed instead."""
    key = key or rsa_key()
    algorithm = algorithm or ("ed25519-sha256" if isinstance(key, ed25519.Ed25519PrivateKey) else "rsa-sha256")
    at = split(raw)
    text = raw[at:] if body is None else body
    while text.endswith(b"\r\n"):
        text = text[:-2]
    bodyhash = base64.b64encode(hashlib.sha256(text + (b"\r\n" if body is None else b"")).digest()).decode()
    field = f"DKIM-Signature: v=1; a={algorithm}; d={domain}; s={selector}; {extra}h={h};\r\n bh={bodyhash}; b="
    fields = raw[: at - 2].decode("latin-1").split("\r\n")
    unfolded: list[str] = []
    for line in fields[:-1]:
        if line[:1] in " \t" and unfolded:
            unfolded[-1] += "\r\n" + line
        else:
            unfolded.append(line)
    signed = ""
    for name in h.lower().split(":"):
        for number in range(len(unfolded) - 1, -1, -1):
            if unfolded[number].split(":")[0].strip().lower() == name.strip():
                signed += unfolded.pop(number) + "\r\n"
                break
    data = signed.encode("latin-1") + field.encode()
    if isinstance(key, ed25519.Ed25519PrivateKey):
        signature = key.sign(hashlib.sha256(data).digest())
    else:
        signature = key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    return field.encode() + base64.b64encode(signature) + b"\r\n" + raw


def envelope(**changes: Any) -> Envelope:
    values: dict[str, Any] = {
        "id": "1",
        "session": "1",
        "listener": "in",
        "direction": Direction.INBOUND,
        "received_at": NOW,
        "client": "192.0.2.1",
        "hop": "127.0.0.1",
        "helo": "mx.a.test",
        "tls": "",
        "user": "",
        "sender": "joe@a.test",
        "recipients": (Recipient("b@corp.test"),),
    }
    return Envelope(**(values | changes))


def message(raw: bytes, **changes: Any) -> Message:
    headers = tuple(Header(name.decode(), value, "") for name, value in prepare(raw).headers)
    return Message(envelope(**changes), raw, headers, (), header_length=split(raw))
