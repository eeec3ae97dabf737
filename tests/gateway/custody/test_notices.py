"""The mail that the gateway writes itself: what it never answers."""

import pytest

from gateway.custody.house import House, thread
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


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("Message-ID: <1.a+b@pc.corp.test>", "<1.a+b@pc.corp.test>"),
        ("message-id:\r\n <1@[192.0.2.1]>", "<1@[192.0.2.1]>"),
        ("Message-ID: <1@a>\r\nMessage-ID: <2@a>", ""),
        ("Message-ID: <1@a> x", ""),
        ("Message-ID: <1@a>\r\n <2@b>", ""),
        ("Message-ID: <1@a\x01>", ""),
        ("Message-ID: <中@a>", ""),
        ("Message-ID: <" + "x" * 300 + "@a>", ""),
        ("Subject: x", ""),
    ],
)
def test_which_mail_a_notice_stands_below(field: str, said: str) -> None:
    assert thread(f"From: a@b.example\r\n{field}\r\n\r\nMessage-ID: <3@c>\r\n".encode()) == said
