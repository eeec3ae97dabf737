"""Authentication-Results: ours is read by others as meant; forged ones go, and nothing else."""

import authres
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanners.authentication.domains import to_ascii
from scanners.authentication.fields import parse_results
from scanners.authentication.results import authentication_results, strip_forged
from scanners.authentication.verdicts import Arc, Authentication, Author, Disposition, Dkim, Dmarc, Spf, Verdict
from tests.scanners.authentication.mail import split

PASSED = Authentication(
    Spf(Verdict.PASS, "a.test", reason="matched ip4:192.0.2.1"),
    (
        Dkim(Verdict.PASS, "a.test", "s", algorithm="rsa-sha256", bits=2048, signature="ab/+cd=="),
        Dkim(Verdict.FAIL, "b.test", "t", reason="body hash did not verify"),
    ),
    Arc(Verdict.PASS, 2, ("l.test", "m.test"), trusted="m.test", vouched="i=2 dmarc=pass"),
    Dmarc(Verdict.PASS, "a.test", requested=Disposition.REJECT, record="v=DMARC1; p=reject"),
    Author(("a.test",), "joe@a.test"),
)


def read(field: bytes) -> authres.AuthenticationResultsHeader:
    unfolded = field.decode().replace("\r\n", "").replace("\t", " ")
    return authres.AuthenticationResultsHeader.parse(unfolded)


def test_others_read_it_as_meant() -> None:
    header = read(authentication_results(PASSED, "gw.test"))
    assert header.authserv_id == "gw.test"
    found = [(one.method, one.result) for one in header.results]
    assert found == [("spf", "pass"), ("dkim", "pass"), ("dkim", "fail"), ("dmarc", "pass"), ("arc", "pass")]
    assert header.results[0].properties[0].value == "a.test"
    assert header.results[1].header_d == "a.test"
    assert [(one.name, one.value) for one in header.results[3].properties] == [("from", "a.test")]


def test_nothing_found() -> None:
    nothing = Authentication(Spf(Verdict.NONE), (), Arc(Verdict.NONE), Dmarc(Verdict.NONE), Author())
    header = read(authentication_results(nothing, "gw.test"))
    assert [(one.method, one.result) for one in header.results] == [
        ("spf", "none"),
        ("dkim", "none"),
        ("dmarc", "none"),
        ("arc", "none"),
    ]


def test_it_is_folded_within_limits() -> None:
    field = authentication_results(PASSED, "gw.test")
    lines = field.split(b"\r\n")
    assert lines[-1] == b""
    assert all(line.startswith(b"\t") for line in lines[1:-1])
    assert max(map(len, lines)) < 998


@settings(max_examples=200)
@given(st.text(max_size=300), st.text(max_size=300))
def test_nothing_in_a_mail_can_break_out_of_our_field(reason: str, name: str) -> None:
    nasty = Authentication(
        Spf(Verdict.FAIL, name, "helo", reason=reason),
        (Dkim(Verdict.FAIL, name, name, algorithm=name, signature=name, reason=reason),),
        Arc(Verdict.FAIL, 1, (name,), reason=reason),
        Dmarc(Verdict.FAIL, name, reason=reason),
        Author(),
    )
    field = authentication_results(nasty, "gw.test")
    assert field.isascii()
    assert field.count(b"\r\n") == field.count(b"\r\n\t") + 1
    results = parse_results(field.partition(b":")[2])
    assert results.authserv_id == "gw.test"
    assert [(claim.method, claim.result) for claim in results.claims] == [
        ("spf", "fail"),
        ("dkim", "fail"),
        ("dmarc", "fail"),
        ("arc", "fail"),
    ]


REST = b"From: a@a.test\r\nSubject: Authentication-Results: gw.test; dkim=pass\r\n\r\nAuthentication-Results: gw.test; body\r\n"


@pytest.mark.parametrize(
    "field",
    [
        b"Authentication-Results: gw.test; dkim=pass\r\n",
        b"authentication-RESULTS:gw.test;dkim=pass\r\n",
        b"Authentication-Results: GW.Test; dkim=pass\r\n",
        b"Authentication-Results: gw.test. ; dkim=pass\r\n",
        b"Authentication-Results: gw.test 1; dkim=pass\r\n",
        b"Authentication-Results: gw.test\r\n",
        b"Authentication-Results:\r\n\t(a (nested) comment) gw.test;\r\n dkim=pass\r\n",
        b'Authentication-Results: "gw.test"; dkim=pass\r\n',
        b'Authentication-Results: "gw\\.te\\st"; dkim=pass\r\n',
        b'Authentication-Results: (\\)) "gw.test"; dkim=pass\r\n',
        b"Authentication-Results : gw.test; dkim=pass\r\n",
        b"Authentication-Results\t: gw.test; dkim=pass\r\n",
        b"Authentication-Results: (unterminated gw.test; dkim=pass\r\n",
        b'Authentication-Results: "gw.test; dkim=pass\r\n',
        b"Authentication-Results: gw.test; dkim=pass\n",
        b"Authentication-Results: gw.test; dkim=pass\r",
        b"\0Authentication-Results: gw.test; dkim=pass\r\n",
        b"\xef\xbb\xbfAuthentication-Results: gw.test; dkim=pass\r\n",
        b"Authentication-Results: \r\n \r\n gw.test; dkim=pass\r\n",
        b"Authentication-Results: (" + b"x" * 70_000 + b") gw.test; dkim=pass\r\n",
        b"X-Sealgate-Flag: clean\r\n",
        b"x-sealgate-MONITOR : deliver;\r\n rules=none\r\n",
        b"\xef\xbb\xbfX-Sealgate-Flag: clean\r\n",
    ],
)
@pytest.mark.parametrize("before", [b"", b"Received: x\r\n\tby y\r\n"])
def test_forged_fields_go_and_nothing_else(field: bytes, before: bytes) -> None:
    raw = before + field + REST
    assert b"".join(strip_forged(raw, split(raw), "gw.test")) == before + REST


@pytest.mark.parametrize(
    "field",
    [
        b"Authentication-Results: other.test; dkim=pass\r\n",
        b"Authentication-Results: notgw.test; dkim=pass\r\n",
        b"Authentication-Results: gw.test.evil.test; dkim=pass\r\n",
        b"Authentication-Results: other.test; dkim=pass header.d=gw.test\r\n",
        b"Authentication-Results: (gw.test) other.test; dkim=pass\r\n",
        b"ARC-Authentication-Results: i=1; gw.test; dkim=pass\r\n",
        b"X-Authentication-Results: gw.test; dkim=pass\r\n",
        b"Authentication-Results: (unterminated\r\n",
    ],
)
def test_other_fields_stay_to_the_byte(field: bytes) -> None:
    raw = field + REST
    assert strip_forged(raw, split(raw), "gw.test") == [raw]


def test_the_common_case_copies_nothing() -> None:
    raw = b"From: a@a.test\r\n\r\nbody"
    pieces = strip_forged(raw, split(raw), "gw.test")
    assert pieces[0] is raw


@pytest.mark.parametrize("ours", ["网关.test", to_ascii("网关.test")])
def test_international_identifiers(ours: str) -> None:
    raw = "Authentication-Results: 网关.test; dkim=pass\r\n".encode() + REST
    assert strip_forged(raw, split(raw), ours) == [REST]


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_stripping_any_bytes_only_removes(junk: bytes) -> None:
    raw = b"Authentication-Results: gw.test" + junk + b"\r\n" + REST
    kept = b"".join(strip_forged(raw, split(raw), "gw.test"))
    assert len(kept) <= len(raw)
    assert raw.endswith(kept[-len(REST) :])
