"""Any mail as it leaves, signed by us, and read by somebody else's verifier."""

from collections.abc import Iterator

import dkim
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pybase64 import b64encode

from gateway.treatments.sign import Signer
from tests.fuzz.target import Target
from tests.fuzz.targets import mime
from tests.scanners.letters import AT

_KEY = generate_private_key(65_537, 2_048)
_PUBLIC = b64encode(_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def run(data: bytes) -> None:
    """The field is one field, the same twice, and dkimpy finds the signature good wherever it reads the same header."""
    raw = data.replace(b"\0", b"").replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    raw += (
        b"" if raw.endswith(b"\r\n") else b"\r\n"
    )  # as SMTP leaves it: RFC 6376 does not say what a blank without an end is
    signer = Signer("corp.test", "s1", _KEY)
    field = signer.sign(raw, AT)
    assert field == signer.sign(raw, AT), "not the same twice"
    lines = field.split(b"\r\n")
    assert lines.pop() == b"", "the field is not ended"
    assert lines[0].startswith(b"DKIM-Signature: v=1;"), "no field"
    assert all(line[:1] == b" " for line in lines[1:]), "more than one field"
    assert max(map(len, lines)) <= 998, "a line over 998"
    if _plain(raw):
        assert dkim.DKIM(field + raw).verify(0, dnsfunc=_record), "the signature is not good"


def _record(name: bytes | str, timeout: int = 5) -> bytes:
    return b"v=DKIM1; k=rsa; p=" + _PUBLIC


def _plain(raw: bytes) -> bool:
    """Whether the header is one as RFC 5322 has it, with one From, so that every verifier reads the same fields."""
    head, blank, _ = raw.partition(b"\r\n\r\n")
    if not blank or not head.isascii():
        return False
    fields = [line for line in head.split(b"\r\n") if line[:1] not in (b" ", b"\t")]
    if head[:1] in (b" ", b"\t") or any(not line.strip() for line in head.split(b"\r\n")):
        return False
    names = [line.partition(b":")[0] for line in fields]
    if not all(
        b":" in line and name and all(33 <= byte <= 126 for byte in name)
        for line, name in zip(fields, names, strict=True)
    ):
        return False
    if any((byte < 32 and byte not in b"\t\r\n") or byte == 127 for byte in head):
        return False
    return [name.lower() for name in names].count(b"from") == 1


def seeds() -> Iterator[bytes]:
    """Mails with headers and bodies that canonicalisation changes."""
    yield b"From: a@corp.test\r\nSubject: x\r\n\r\nhello \t world  \r\n\r\n\r\n"
    yield b"From:  a@corp.test\r\nSUBJECT : y\r\n\tfolded  twice\r\nTo: b@acme.test\r\nTo: c@acme.test\r\n\r\n"
    yield b"From: a@corp.test\r\n\r\n \t\r\n\t \r\n.\r\n"
    yield b"From: a@corp.test\r\nDKIM-Signature: v=1; a=x\r\nReferences:" + b" <x@y>\r\n" * 100 + b"\r\nno end"
    yield from mime.seeds()


def target() -> Target:
    """For the runner."""
    return Target("signing", run, seeds)
