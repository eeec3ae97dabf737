"""Signatures that others verify."""

import base64
from datetime import UTC, datetime
from hashlib import sha256
from importlib.util import find_spec

import dkim
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.treatments.sign import KeyUnusable, Signer, load_signer, relaxed_body, signer_for
from scanners.message import Direction
from tests.gateway.samples import envelope

AT = datetime(2026, 11, 22, tzinfo=UTC)
MAIL = (
    b"Received: x\r\nFrom: =?utf-8?b?5byg5LiJ?= <zhang@corp.test>\r\nTo: a@x.test,\r\n\tb@x.test\r\nSubject:  two  words \r\n"
    b"Date: Sun, 22 Nov 2026 02:00:00 +0000\r\nMessage-ID: <1@corp.test>\r\n\r\nHello  \t there \r\n\r\n \r\nlast\r\n\r\n\r\n"
)


def rsa_signer():
    return Signer("corp.test", "s1", generate_private_key(65537, 2048))


@pytest.fixture(scope="module", params=["rsa", "ed25519"])
def signed_by(request):
    if request.param == "rsa":
        signer = rsa_signer()
        public = signer.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    else:
        signer = Signer("corp.test", "s1", Ed25519PrivateKey.generate())
        public = signer.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        if find_spec("nacl") is None:
            return signer, lambda *_, **__: public
    record = f"v=DKIM1; k={request.param}; p={base64.b64encode(public).decode()}".encode()
    return signer, lambda name, **_: record if name == b"s1._domainkey.corp.test." else None


def verifies(mail, dns):
    """dkimpy's word; for Ed25519 without PyNaCl its canonical forms, and the signature by cryptography."""
    record = dns(b"s1._domainkey.corp.test.")
    if record is None or record.startswith(b"v="):
        return dkim.verify(mail, dnsfunc=dns)
    head, _, body = mail.partition(b"\r\n\r\n")
    fields = dkim.rfc822_parse(head + b"\r\n\r\n")[0]
    tags = dkim.util.parse_tag_value(fields[0][1])
    canon = dkim.canonicalization.Relaxed
    if base64.b64decode(tags[b"bh"]) != sha256(canon.canonicalize_body(body)).digest():
        return False
    digest = dkim.HashThrough(sha256())
    chosen = dkim.select_headers(canon.canonicalize_headers(fields), [n.strip() for n in tags[b"h"].split(b":")])
    bare = canon.canonicalize_headers([(b"DKIM-Signature", dkim.RE_BTAG.sub(b"\\1", fields[0][1]))])
    for name, value in chosen:
        digest.update(name + b":" + value)
    digest.update(b"dkim-signature:" + bare[0][1].rstrip())
    try:
        signature = base64.b64decode(b"".join(tags[b"b"].split()))
        Ed25519PublicKey.from_public_bytes(record).verify(signature, digest.digest())
    except InvalidSignature:
        return False
    return True


def test_dkimpy_verifies_it(signed_by):
    signer, dns = signed_by
    field = signer.sign(MAIL, AT)
    assert all(len(line) <= 100 for line in field.split(b"\r\n"))
    assert verifies(field + MAIL, dns)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.replace(b"last", b"lost"),
        lambda m: m.replace(b"two", b"2"),
        lambda m: b"From: evil@x.test\r\n" + m,
    ],
    ids=["body", "subject", "second From"],
)
def test_a_change_breaks_it(signed_by, change):
    signer, dns = signed_by
    assert not verifies(signer.sign(MAIL, AT) + change(MAIL), dns)


def test_white_space_on_the_way_does_not(signed_by):
    signer, dns = signed_by
    changed = MAIL.replace(b"Hello  \t there ", b"Hello there   ").replace(b"\tb@x.test", b"      b@x.test")
    assert verifies(signer.sign(MAIL, AT) + changed, dns)


@given(body=st.lists(st.sampled_from([b"a", b" ", b"\t", b"\r\n", b".", b"\xe5"]), max_size=12).map(b"".join))
@settings(max_examples=150)
def test_any_body_is_canonical_as_dkimpy_has_it(body):
    body += b"\r\n"  # data by SMTP ends in one
    assert relaxed_body(body) == dkim.canonicalization.Relaxed.canonicalize_body(body)


@pytest.mark.parametrize("mail", [b"\r\nbody only\r\n", b"From: a@x.test\r\n", b"", b"From: a@x.test\r\n\r\n"])
def test_odd_mail_is_signed_without_a_crash(signed_by, mail):
    assert signed_by[0].sign(mail, AT).startswith(b"DKIM-Signature:")


@pytest.mark.parametrize(
    ("sender", "way", "signs"),
    [
        ("a@corp.test", Direction.OUTBOUND, True),
        ("a@mail.CORP.test", Direction.SUBMISSION, True),
        ("", Direction.OUTBOUND, True),
        ("a@acme.example", Direction.OUTBOUND, False),
        ("a@notcorp.test", Direction.SUBMISSION, False),
        ("a@corp.test", Direction.INBOUND, False),
    ],
)
def test_our_name_is_put_to_what_is_ours_only(sender, way, signs):
    signer = rsa_signer()
    assert signer_for(envelope(sender=sender, direction=way), signer) is (signer if signs else None)
    assert signer_for(envelope(sender=sender, direction=way), None) is None


def test_keys_come_from_files(tmp_path):
    path = tmp_path / "key.pem"
    key = rsa_signer().key
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert load_signer("corp.test", "s1", path).domain == "corp.test"
    path.write_bytes(b"no key")
    with pytest.raises(KeyUnusable):
        load_signer("corp.test", "s1", path)
    with pytest.raises(KeyUnusable):
        load_signer("corp.test", "s1", tmp_path / "none")
