"""Country by domain: what the name tells, what it doesn't, and the border."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.context.geography import (
    COUNTRIES,
    OTHER_LABELS,
    PROVIDERS,
    SOLD_TO_ANYONE,
    UNKNOWN,
    Basis,
    Geography,
    Place,
)

NOBODY = Geography()


@pytest.mark.parametrize(
    ("domain", "country", "basis", "outside"),
    [
        ("corp.cn", "CN", Basis.NAME, False),
        ("Corp.COM.CN.", "CN", Basis.NAME, False),
        ("例子.中国", "CN", Basis.NAME, False),
        ("例子.中國", "CN", Basis.NAME, False),
        ("xn--fsqu00a.xn--fiqs8s", "CN", Basis.NAME, False),
        ("例子。中国", "CN", Basis.NAME, False),
        ("corp.com.hk", "HK", Basis.NAME, True),
        ("例子.香港", "HK", Basis.NAME, True),
        ("gov.mo", "MO", Basis.NAME, True),
        ("例子.澳門", "MO", Basis.NAME, True),
        ("例子.澳门", "MO", Basis.NAME, True),
        ("corp.tw", "TW", Basis.NAME, True),
        ("例子.台湾", "TW", Basis.NAME, True),
        ("例子.台灣", "TW", Basis.NAME, True),
        ("例子.新加坡", "SG", Basis.NAME, True),
        ("пример.рф", "RU", Basis.NAME, True),
        ("예.한국", "KR", Basis.NAME, True),
        ("corp.co.uk", "GB", Basis.NAME, True),
        ("firma.de", "DE", Basis.NAME, True),
        ("nasa.gov", "US", Basis.NAME, True),
        ("qq.com", "CN", Basis.PROVIDER, False),
        ("gmail.com", "US", Basis.PROVIDER, True),
        ("corp.com", "", Basis.UNKNOWN, None),
        ("notqq.com", "", Basis.UNKNOWN, None),
        ("mail.qq.com.evil.org", "", Basis.UNKNOWN, None),
        ("startup.io", "", Basis.UNKNOWN, None),
        ("startup.ai", "", Basis.UNKNOWN, None),
        ("europa.eu", "", Basis.UNKNOWN, None),
        ("icloud.com", "", Basis.UNKNOWN, None),
        ("corp.xx", "", Basis.UNKNOWN, None),
        ("corp.test", "", Basis.UNKNOWN, None),
        ("[192.0.2.1]", "", Basis.UNKNOWN, None),
        ("", "", Basis.UNKNOWN, None),
        (".", "", Basis.UNKNOWN, None),
        ("a..cn", "", Basis.UNKNOWN, None),
    ],
)
def test_places(domain: str, country: str, basis: Basis, outside: bool | None) -> None:
    place = NOBODY.of(domain)
    assert place == Place(country, basis)
    assert NOBODY.country(domain) == (country or None)
    assert place.outside_mainland is outside


def test_the_operator_knows_better_and_the_nearest_name_wins() -> None:
    geography = Geography({"corp.com": "DE", "cn.corp.com": "CN", "qq.com": "HK"})
    assert geography.of("mail.corp.com") == Place("DE", Basis.STATED)
    assert geography.of("mail.cn.corp.com") == Place("CN", Basis.STATED)
    assert geography.of("corp.com") == Place("DE", Basis.STATED)
    assert geography.of("qq.com").country == "HK"
    assert geography.of("xcorp.com") == UNKNOWN


@pytest.mark.parametrize(
    "stated", [{"a.test": "cn"}, {"a.test": "XX"}, {"a.test": ""}, {"A.test": "CN"}, {"例子.中国": "CN"}]
)
def test_a_list_with_mistakes_is_refused(stated: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=" / "):
        Geography(stated)


def test_tables_agree() -> None:
    assert len(COUNTRIES) == 249
    assert set(OTHER_LABELS.values()) <= COUNTRIES
    assert set(PROVIDERS.values()) <= COUNTRIES
    assert not SOLD_TO_ANYONE & {"cn", "hk", "mo", "tw"}
    for label in OTHER_LABELS:
        assert NOBODY.of(f"x.{label}").basis is Basis.NAME


@given(st.text(max_size=80))
def test_never_raises(domain: str) -> None:
    place = NOBODY.of(domain)
    assert (place.country == "") == (place.basis is Basis.UNKNOWN)
    assert place.country in COUNTRIES | {""}
