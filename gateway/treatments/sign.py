"""DKIM signing (RFC 6376, RFC 8463), always the last step: what a treatment changed is signed as it leaves."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import re2
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pybase64 import b64encode

from policies.facts import domain_of
from scanners.message import Direction, Envelope

SIGNED = (
    "from", "to", "cc", "reply-to", "sender", "subject", "date", "message-id", "in-reply-to", "references",
    "mime-version", "content-type", "content-transfer-encoding",
)  # fmt: skip
"""RFC 6376 5.4.1, without fields that hops rewrite. ``from`` is named once more than it stands there, so that none can be added."""
MIN_RSA_BITS = 1024
"""RFC 8301 3.2: shorter keys are not verified by anyone."""
_BLANKS = re2.compile(rb"[ \t]+")


class KeyUnusable(Exception):
    """The signing key can't be read; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs for one domain and selector."""

    domain: str
    selector: str
    key: RSAPrivateKey | Ed25519PrivateKey = field(repr=False)

    def sign(self, raw: bytes, at: datetime) -> bytes:
        """The DKIM-Signature field, ended by CRLF, to stand in front of ``raw`` (which has CRLF line ends)."""
        header, body = _parts(raw)
        names = _present(header)
        algorithm = "rsa-sha256" if isinstance(self.key, RSAPrivateKey) else "ed25519-sha256"
        body_hash = b64encode(hashlib.sha256(relaxed_body(body)).digest()).decode()
        value = (
            f" v=1; a={algorithm}; c=relaxed/relaxed; d={self.domain}; s={self.selector};\r\n"
            f" t={int(at.timestamp())}; h={_folded(names)};\r\n bh={body_hash};\r\n b="
        )
        bare = b"dkim-signature:" + _relaxed_value(value.encode())
        data = b"".join(_chosen(header, names)) + bare
        if isinstance(self.key, RSAPrivateKey):
            signature = self.key.sign(data, PKCS1v15(), hashes.SHA256())
        else:
            signature = self.key.sign(hashlib.sha256(data).digest())  # RFC 8463 3: Ed25519 over the SHA-256
        coded = b64encode(signature).decode()
        lines = "\r\n  ".join(coded[at : at + 70] for at in range(0, len(coded), 70))
        return f"DKIM-Signature:{value}{lines}\r\n".encode()


def signer_for(envelope: Envelope, signer: Signer | None) -> Signer | None:
    """Ours signs what is ours: outgoing mail whose sender is in the signing domain, and what we write ourselves."""
    if signer is None or envelope.direction is Direction.INBOUND:
        return None
    domain = domain_of(envelope.sender)
    return signer if not domain or domain == signer.domain or domain.endswith("." + signer.domain) else None


def load_signer(domain: str, selector: str, key_file: Path) -> Signer:
    """Raises KeyUnusable."""
    try:
        key = load_pem_private_key(key_file.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyUnusable(f"{key_file}: DKIM 私钥无法读取 / the DKIM key cannot be read ({error})") from error
    if isinstance(key, RSAPrivateKey) and key.key_size >= MIN_RSA_BITS:
        return Signer(domain, selector, key)
    if isinstance(key, Ed25519PrivateKey):
        return Signer(domain, selector, key)
    raise KeyUnusable(f"{key_file}: 需要 RSA 2048 或 Ed25519 私钥 / must be an RSA (2048) or Ed25519 key")


def relaxed_body(body: bytes) -> bytes:
    """RFC 6376 3.4.4."""
    if b" " in body or b"\t" in body:
        body = _BLANKS.sub(b" ", body).replace(b" \r\n", b"\r\n")
        body = body.removesuffix(b" ")
    trimmed = body.rstrip(b"\r\n")
    if not trimmed:
        return b""
    rest = body[len(trimmed) :]
    if rest and not rest.startswith(b"\r\n"):  # a lone CR or LF belongs to the line
        trimmed = body.rstrip(b"\n").rstrip(b"\r") if rest != b"\n" else body
    return trimmed + b"\r\n"


def _parts(raw: bytes) -> tuple[list[tuple[str, bytes]], bytes]:
    """Header fields (lower-case name, raw value) and body."""
    if raw.startswith(b"\r\n"):
        return [], raw[2:]
    head, _, body = raw.partition(b"\r\n\r\n")
    fields: list[tuple[str, list[bytes]]] = []
    for line in head.split(b"\r\n"):
        if line[:1] in (b" ", b"\t") and fields:
            fields[-1][1].append(line)
        else:
            name, _, value = line.partition(b":")
            fields.append((name.strip().lower().decode("latin-1"), [value]))
    return [(name, b"\r\n".join(lines)) for name, lines in fields], body


def _present(header: list[tuple[str, bytes]]) -> list[str]:
    """The names to sign: each as often as it stands there, From once more."""
    there = [name for name, _ in header]
    return [name for name in SIGNED for _ in range(there.count(name))] + ["from"]


def _chosen(header: list[tuple[str, bytes]], names: list[str]) -> list[bytes]:
    """The canonical fields in the order of ``h=``, instances from the bottom up (RFC 6376 5.4.2)."""
    below = {name: [value for each, value in header if each == name] for name in set(names)}
    return [name.encode() + b":" + _relaxed_value(below[name].pop()) + b"\r\n" for name in names if below[name]]


def _relaxed_value(value: bytes) -> bytes:
    return bytes(_BLANKS.sub(b" ", value.replace(b"\r\n", b"")).strip(b" \t"))


def _folded(names: list[str]) -> str:
    lines: list[str] = [""]
    for n, name in enumerate(names):
        word = name + (":" if n + 1 < len(names) else "")
        if len(lines[-1]) + len(word) > 70:
            lines.append("")
        lines[-1] += word
    return "\r\n  ".join(lines)
