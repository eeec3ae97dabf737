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
    ("domain", "country", "basis"),
    [
        ("corp.cn", "CN", Basis.NAME),
        ("Corp.COM.CN.", "CN", Basis.NAME),
        ("例子.中国", "CN", Basis.NAME),
        ("例子.中國", "CN", Basis.NAME),
        ("xn--fsqu00a.xn--fiqs8s", "CN", Basis.NAME),
        ("例子。中国", "CN", Basis.NAME),
        ("corp.com.hk", "HK", Basis.NAME),
        ("例子.香港", "HK", Basis.NAME),
        ("gov.mo", "MO", Basis.NAME),
        ("例子.澳門", "MO", Basis.NAME),
        ("例子.澳门", "MO", Basis.NAME),
        ("corp.tw", "TW", Basis.NAME),
        ("例子.台湾", "TW", Basis.NAME),
        ("例子.台灣", "TW", Basis.NAME),
        ("例子.新加坡", "SG", Basis.NAME),
        ("пример.рф", "RU", Basis.NAME),
        ("예.한국", "KR", Basis.NAME),
        ("corp.co.uk", "GB", Basis.NAME),
        ("firma.de", "DE", Basis.NAME),
        ("nasa.gov", "US", Basis.NAME),
        ("qq.com", "CN", Basis.PROVIDER),
        ("gmail.com", "US", Basis.PROVIDER),
        ("corp.com", "", Basis.UNKNOWN),
        ("notqq.com", "", Basis.UNKNOWN),
        ("mail.qq.com.evil.org", "", Basis.UNKNOWN),
        ("startup.io", "", Basis.UNKNOWN),
        ("startup.ai", "", Basis.UNKNOWN),
        ("europa.eu", "", Basis.UNKNOWN),
        ("icloud.com", "", Basis.UNKNOWN),
        ("corp.xx", "", Basis.UNKNOWN),
        ("corp.test", "", Basis.UNKNOWN),
        ("[192.0.2.1]", "", Basis.UNKNOWN),
        ("", "", Basis.UNKNOWN),
        (".", "", Basis.UNKNOWN),
        ("a..cn", "", Basis.UNKNOWN),
    ],
)
def test_places(domain: str, country: str, basis: Basis) -> None:
    place = NOBODY.of(domain)
    assert place == Place(country, basis)
    assert NOBODY.country(domain) == (country or None)


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
