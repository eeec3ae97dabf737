"""Which country a recipient's domain speaks of: a guess by name, which says on what it rests and says "unknown" when it can't know.

Hong Kong (HK), Macao (MO) and Taiwan (TW) are counted as outside the mainland: the personal information law's rules on providing data
beyond the border (PIPL 38 to 43) follow the customs territory, and so does this. A name under .com may be anywhere: unknown.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

LABELS = 128
"""Labels of a name that are looked at (RFC 1035 allows 127)."""

MAINLAND = "CN"


class Basis(StrEnum):
    """What the answer rests on, the surest first."""

    STATED = "stated"
    """The operator's own list says so."""
    PROVIDER = "provider"
    """A public mailbox provider, by where it keeps its mail."""
    NAME = "name"
    """The last label of the name: who registered it is probably, not surely, there."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Place:
    """``country`` is ISO 3166-1 alpha-2 in capitals, ``""`` when unknown."""

    country: str
    basis: Basis


UNKNOWN = Place("", Basis.UNKNOWN)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


COUNTRIES = _words("""
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ
    CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO
    FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE
    JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO
    MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW
    PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM
    TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
""")
"""ISO 3166-1 alpha-2."""

SOLD_TO_ANYONE = _words("""
    ac ag ai am as bz cc cd cf co cx dj fm ga gg gl gq gs im io la lc ly me ms mu nu pw sc sh so st tk tl tm to tv vc vg ws
""")
"""Country labels sold to anyone and used as such: .io says nothing about the Indian Ocean."""

OTHER_LABELS: Mapping[str, str] = {
    "uk": "GB",
    "gov": "US",
    "mil": "US",
    "taipei": "TW",
    "xn--fiqs8s": "CN",  # 中国
    "xn--fiqz9s": "CN",  # 中國
    "xn--j6w193g": "HK",  # 香港
    "xn--mix891f": "MO",  # 澳門
    "xn--mix082f": "MO",  # 澳门
    "xn--kprw13d": "TW",  # 台湾
    "xn--kpry57d": "TW",  # 台灣
    "xn--yfro4i67o": "SG",  # 新加坡
    "xn--3e0b707e": "KR",  # 한국
    "xn--p1ai": "RU",  # рф
    "xn--j1amh": "UA",  # укр
    "xn--o3cw4h": "TH",  # ไทย
}
"""Last labels that are no ISO code."""

_MAINLAND_PROVIDERS = _words("""
    qq.com vip.qq.com foxmail.com 163.com vip.163.com 126.com yeah.net 188.com sina.com sohu.com aliyun.com 139.com 21cn.com tom.com
""")
_AMERICAN_PROVIDERS = _words("gmail.com googlemail.com outlook.com hotmail.com live.com msn.com yahoo.com aol.com")

PROVIDERS: Mapping[str, str] = {
    **dict.fromkeys(_MAINLAND_PROVIDERS, MAINLAND),
    **dict.fromkeys(_AMERICAN_PROVIDERS, "US"),
    "proton.me": "CH",
    "protonmail.com": "CH",
    "gmx.net": "DE",
    "web.de": "DE",
    "naver.com": "KR",
    "mail.ru": "RU",
    "hinet.net": "TW",
}
"""Public mailbox providers whose name doesn't tell. iCloud is missing on purpose: it keeps mail on both sides of the border."""


@dataclass(frozen=True, slots=True)
class Geography:
    """Domains to places. ``stated`` is the operator's list, domain -> country; it holds for everything below a domain as well."""

    stated: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises ValueError for a country that is no ISO code."""
        for domain, country in self.stated.items():
            if country not in COUNTRIES:
                raise ValueError(
                    f"{domain}: {country!r} 不是两位大写国家代码，如 CN、HK / is no country code such as CN, HK"
                )
            if domain != ascii_name(domain):
                raise ValueError(f"{domain!r}: 应写作小写 ASCII / must be written as {ascii_name(domain)!r}")

    def of(self, domain: str) -> Place:
        """The place of a domain (or the part after @ of an address). Never raises: what can't be read is unknown."""
        labels = ascii_name(domain).split(".")[-LABELS:]
        if not all(labels):
            return UNKNOWN
        for start in range(len(labels)):
            stated = self.stated.get(".".join(labels[start:]))
            if stated:
                return Place(stated, Basis.STATED)
        provider = PROVIDERS.get(".".join(labels))
        if provider:
            return Place(provider, Basis.PROVIDER)
        return _by_label(labels[-1])

    def country(self, domain: str) -> str | None:
        """The country alone, ``None`` when unknown: what a rule's ``recipient.country`` looks at."""
        return self.of(domain).country or None


def _by_label(label: str) -> Place:
    country = OTHER_LABELS.get(label, label.upper())
    if label in SOLD_TO_ANYONE or country not in COUNTRIES:
        return UNKNOWN
    return Place(country, Basis.NAME)


def ascii_name(domain: str) -> str:
    """Lower case, A-labels, no final dot; ``""`` for what is no name."""
    name = domain.strip().rstrip(".").replace("。", ".").lower()
    if name.isascii():
        return name
    try:
        return ".".join(label if label.isascii() else _punycode(label) for label in name.split("."))
    except UnicodeError:
        return ""


def _punycode(label: str) -> str:
    return label.encode("idna").decode("ascii")
