"""Trace fields, loops, and the client behind a trusted hop."""

import ipaddress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import stamp
from scanners.message import Direction, Envelope, Header, Recipient

AT = datetime(2026, 11, 22, 2, 10, 31, tzinfo=UTC)
HOPS = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")]


def envelope(**changes: object) -> Envelope:
    values: dict[str, object] = {
        "id": "01KM", "session": "01KS", "listener": "inbound", "direction": Direction.INBOUND, "received_at": AT,
        "client": "198.18.0.7", "hop": "127.0.0.1", "helo": "mx.partner.example", "tls": "TLSv1.3", "user": "",
        "sender": "a@partner.example", "recipients": (Recipient("b@corp.test"),),
    }  # fmt: skip
    return Envelope(**{**values, **changes})  # type: ignore[arg-type]


def received(text: str) -> Header:
    return Header("Received", text.encode(), text)


def test_a_received_field() -> None:
    assert stamp.received(envelope(), "gw.test", AT) == (
        b"Received: from mx.partner.example ([198.18.0.7])\r\n by gw.test with ESMTPS id 01KM\r\n"
        b" for <b@corp.test>;\r\n Sun, 22 Nov 2026 02:10:31 +0000\r\n"
    )


def test_recipients_do_not_learn_of_each_other() -> None:
    assert b"for <" not in stamp.received(envelope(recipients=(Recipient("b@c"), Recipient("d@c"))), "gw.test", AT)


@given(st.text(max_size=600))
def test_whatever_the_client_calls_itself_stays_one_field(helo: str) -> None:
    field = stamp.received(envelope(helo=helo, tls="", client="2001:db8::1"), "gw.test", AT)
    assert all(line.startswith((b"Received:", b" ")) for line in field[:-2].split(b"\r\n"))
    assert b"\n" not in field.replace(b"\r\n", b"")
    assert b"([IPv6:2001:db8::1])" in field


@pytest.mark.parametrize(("total", "ours", "loop"), [(50, 0, False), (51, 0, True), (3, 2, False), (3, 3, True)])
def test_loops(total: int, ours: int, loop: bool) -> None:
    fields = [received("from a by GW.test with SMTP")] * ours + [received("from a by other with SMTP")] * (total - ours)
    assert stamp.loops(fields, "gw.test") is loop


@pytest.mark.parametrize(
    ("fields", "client"),
    [
        ([], None),
        (["from a (b [198.18.0.7]) by edge"], "198.18.0.7"),
        (["from a ([10.1.1.1]) by x", "from b ([IPv6:2001:db8::9]) by y"], "2001:db8::9"),
        (["from a ([10.1.1.1]) by x"], None),
        (["from a ([10.1.1.1]) by x", "by y with local", "from c ([198.18.0.1]) by z"], None),
        (["from a by edge ([198.18.0.7])"], None),
        (["from a ([not an address]) by edge"], None),
        (["from a ([198.18.0.7]) by edge", "from a ([198.18.9.9]) by forged"], "198.18.0.7"),
        (["by edge; from a ([198.18.0.7])"], None),
        (["from [192.0.2.9] (dsl.example [198.18.0.7]) by edge"], "198.18.0.7"),
        (["from [198.18.0.7] (helo=[192.0.2.9]) by edge"], "198.18.0.7"),
        (["from [198.18.0.7] (port=4711 helo=mx.example)\r\n by edge with esmtp"], "198.18.0.7"),
        (["from a (b [198.18.0.7] (may be forged))\r\n\tby edge"], "198.18.0.7"),
        (['from a (b [198.18.0.7]) (using TLSv1.3 (256/256 bits)) (Client CN "c") by edge'], "198.18.0.7"),
        (["from evil [192.0.2.9] by x (unknown [198.18.0.7]) by edge"], None),
        (["from evil ([192.0.2.9]) by x (unknown [198.18.0.7]) by edge"], None),
        (["from a (x [192.0.2.9]) (unknown [198.18.0.7]) by edge"], None),
        (['from a (b [198.18.0.7]) (Client CN "[192.0.2.9]") by edge'], None),
        (['from a (b [198.18.0.7]) by edge for <"x by [192.0.2.9]"@corp.test>'], None),
        (["from a (b [::ffff:198.18.0.7]) by edge"], "198.18.0.7"),
        (["from a (b [fe80::1%[192.0.2.9]]) by edge"], None),
    ],
)
def test_the_client_a_trusted_hop_did_not_name(fields: list[str], client: str | None) -> None:
    assert stamp.client_behind([received(each) for each in fields], HOPS) == client
