"""sealgate doctor: our own domains in good and bad order."""

from typing import Any

import pytest

from gateway.commands import doctor
from gateway.commands.doctor import Health
from tests.fakes.resolver import SERVFAIL, FakeResolver
from tests.scanners.authentication.mail import record, rsa_key

GOOD: dict[str, Any] = {
    "corp.test": {"MX": [(10, "mx.corp.test")], "TXT": ["v=spf1 mx -all", "other text"]},
    "mx.corp.test": {"A": ["192.0.2.1"]},
    "_dmarc.corp.test": {"TXT": ["v=DMARC1; p=reject; rua=mailto:d@corp.test"]},
    "s._domainkey.corp.test": {"TXT": [record()]},
}


async def health(changes: dict[str, Any]) -> dict[str, Health]:
    checks = await doctor.examine(FakeResolver(GOOD | changes), ("corp.test",), "s")
    return {check.subject: check.health for check in checks}


async def test_good_order() -> None:
    assert set((await health({})).values()) == {Health.GOOD}


def txt(*texts: str) -> dict[str, Any]:
    return {"MX": [(10, "mx.corp.test")], "TXT": list(texts)}


@pytest.mark.parametrize(
    ("changes", "subject", "expected"),
    [
        ({"corp.test": SERVFAIL}, "corp.test MX", Health.WRONG),
        ({"corp.test": {"TXT": ["v=spf1 -all"]}}, "corp.test MX", Health.WRONG),
        ({"mx.corp.test": {}}, "corp.test MX", Health.WRONG),
        ({"corp.test": txt()}, "corp.test SPF", Health.WRONG),
        ({"corp.test": txt("v=spf1 -all", "v=spf1 mx")}, "corp.test SPF", Health.WRONG),
        ({"corp.test": txt("v=spf1 mxx -all")}, "corp.test SPF", Health.WRONG),
        ({"corp.test": txt("v=spf1 ip4:300.1.1.1 -all")}, "corp.test SPF", Health.WRONG),
        ({"corp.test": txt("v=spf1 include:none.test -all")}, "corp.test SPF", Health.WRONG),
        ({"corp.test": txt("v=spf1 +all")}, "corp.test SPF", Health.WRONG),
        ({"corp.test": txt("v=spf1 mx ?all")}, "corp.test SPF", Health.REMARK),
        ({"_dmarc.corp.test": {}}, "corp.test DMARC", Health.WRONG),
        ({"_dmarc.corp.test": SERVFAIL}, "corp.test DMARC", Health.WRONG),
        ({"_dmarc.corp.test": txt("v=DMARC1; p=rejct")}, "corp.test DMARC", Health.WRONG),
        ({"_dmarc.corp.test": txt("v=DMARC1; p=reject", "v=DMARC1; p=none")}, "corp.test DMARC", Health.WRONG),
        ({"_dmarc.corp.test": txt("v=DMARC1; p=none; rua=mailto:d@corp.test")}, "corp.test DMARC", Health.REMARK),
        ({"_dmarc.corp.test": txt("v=DMARC1; p=reject")}, "corp.test DMARC", Health.REMARK),
        ({"s._domainkey.corp.test": {}}, "s._domainkey.corp.test", Health.WRONG),
        ({"s._domainkey.corp.test": txt("v=DKIM1; p=")}, "s._domainkey.corp.test", Health.WRONG),
        ({"s._domainkey.corp.test": txt(record(rsa_key(1024)))}, "s._domainkey.corp.test", Health.REMARK),
    ],
)
async def test_bad_order(changes: dict[str, Any], subject: str, expected: Health) -> None:
    assert (await health(changes))[subject] is expected


async def test_what_is_no_domain() -> None:
    (check,) = await doctor.examine(FakeResolver({}), ("not a domain",), "")
    assert check.health is Health.WRONG
