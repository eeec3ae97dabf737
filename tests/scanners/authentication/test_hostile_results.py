"""Forged results fields whose identifier only a person's program would decode."""

import base64

import pytest

from scanners.authentication.results import strip_forged

OURS = "gw.test"
WORD = base64.b64encode(b"gw.test; dmarc=pass").decode()


FORGED = (
    "=?utf-8?q?gw.test?=; dmarc=pass", "=?utf-8?q?gw=2Etest?=; dmarc=pass", f"=?utf-8?b?{WORD}?=",
    "\r\n =?us-ascii?Q?gw.test?=;\r\n spf=pass",
)  # fmt: skip


@pytest.mark.parametrize("value", FORGED)
def test_an_encoded_word_that_spells_our_name_goes(value: str) -> None:
    header = f"Authentication-Results: {value}\r\nFrom: a@x.test\r\n\r\n".encode()
    assert b"".join(strip_forged(header + b"hi", len(header), OURS)) == b"From: a@x.test\r\n\r\nhi"


def test_another_one_stays() -> None:
    header = b"Authentication-Results: =?utf-8?q?mx.test?=; dmarc=pass\r\n\r\n"
    assert b"".join(strip_forged(header, len(header), OURS)) == header
