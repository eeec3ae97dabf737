"""ARC: the validation suite through the pipeline's own function."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from scanners.authentication import arc
from scanners.authentication.canonical import Prepared
from scanners.authentication.keys import KeyStore
from scanners.authentication.verdicts import Verdict
from tests.fakes.resolver import FakeResolver

ROOT = Path(__file__).resolve().parents[3]
SHARED = Path(os.environ.get("SEALGATE_SHARED", ROOT.parent / "shared"))
SUITE = SHARED / "data" / "arc" / "arc-draft-validation-tests.yml"
CASES_EXPECTED = 171

HARDENED: dict[str, str] = {}
"""Cases of the suite that we answer differently on purpose: name -> the hardening. None."""


def suite() -> list[Any]:
    if not SUITE.exists():
        return []
    cases = []
    for document in yaml.safe_load_all(SUITE.read_text(encoding="utf-8")):
        zone = {name: {"TXT": [text]} for name, text in document["txt-records"].items()}
        for name, case in document["tests"].items():
            cases.append(pytest.param(zone, case["message"], case["cv"], id=f"{document['description']}-{name}"))
    return cases


def prepare(message: str) -> Prepared:
    raw = message.encode().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    end = raw.find(b"\r\n\r\n")
    return Prepared(raw, len(raw) if end < 0 else end + 4)


def test_the_suite_is_there_and_whole() -> None:
    if not SUITE.exists():
        message = f"{SUITE} missing: set SEALGATE_SHARED to the folder that holds data/"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    assert len(suite()) == CASES_EXPECTED


@pytest.mark.parametrize(("zone", "message", "cv"), suite())
async def test_validation_suite(zone: dict[str, Any], message: str, cv: str | None) -> None:
    result = await arc.verify(prepare(message), FakeResolver(zone), KeyStore())
    expected = Verdict(cv.lower()) if cv else Verdict.FAIL
    assert result.verdict is expected, result
