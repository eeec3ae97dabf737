"""The mail that the gateway writes itself: what it never answers."""

import pytest

from gateway.custody.house import House
from gateway.custody.notices import automatic


@pytest.mark.parametrize(
    ("field", "machine"),
    [
        ("Auto-Submitted: auto-replied", True),
        ("auto-submitted:auto-generated; x=y", True),
        ("Auto-Submitted : auto-replied", True),
        ("Auto-Submitted:\r\n auto-replied", True),
        ("Auto-Submitted: no\r\nAuto-Submitted: auto-replied", True),
        ("Auto-Submitted: no", False),
        ("Auto-Submitted: No (a person) ; x=y", False),
        ("Subject: auto-submitted: auto-replied", False),
        ("X-Long: " + "x" * 300_000 + "\r\nSubject: x", False),
    ],
)
def test_what_a_machine_sent(field: str, machine: bool) -> None:
    raw = f"From: a@b.example\r\n{field}\r\n\r\nAuto-Submitted: auto-replied\r\n".encode()
    assert automatic(raw) is machine


@pytest.mark.parametrize(
    ("address", "ours"),
    [
        ("li@例子.测试", True),
        ("li@XN--fsqu00a.xn--0zwm56d", True),
        ("li@corp.example", False),
        ("", False),
        ("例子.测试", False),
    ],
)
def test_who_is_ours_in_either_form_of_the_domain(address: str, ours: bool) -> None:
    assert House("gw.test", "p@gw.test", frozenset({"xn--fsqu00a.xn--0zwm56d"})).is_local(address) is ours
