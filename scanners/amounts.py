"""Amounts of money in text: ``USD 120,000.00``, ``120万元``, ``人民币壹佰贰拾万元整``. Works on normalised text."""

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from scanners.patterns import compiled

MAX_AMOUNTS = 20_000
"""Amounts read from one text: the longest price lists; more is ``content.limit.numbers``."""
MAX_VALUE = Decimal(10) ** 15
"""Larger numbers are no amounts but serial numbers beside a currency sign."""

_CODES = "USD|US\\$|CNY|RMB|CNH|EUR|GBP|HKD|HK\\$|JPY|TWD|NT\\$|AUD|CAD|CHF|SGD|KRW|RUB|INR|AED"
_WORDS = "人民币|美元|美金|欧元|英镑|港币|港元|日元|新台币|台币|澳元|加元|瑞郎|卢布|韩元|新币|元|圆|块钱|dollars?|euros?|pounds?|yuan"
_NAMES = {
    "US$": "USD", "$": "USD", "美元": "USD", "美金": "USD", "DOLLAR": "USD", "DOLLARS": "USD", "RMB": "CNY", "CNH": "CNY", "¥": "CNY",
    "人民币": "CNY", "元": "CNY", "圆": "CNY", "块钱": "CNY", "YUAN": "CNY", "€": "EUR", "欧元": "EUR", "EURO": "EUR", "EUROS": "EUR",
    "£": "GBP", "英镑": "GBP", "POUND": "GBP", "POUNDS": "GBP", "HK$": "HKD", "港币": "HKD", "港元": "HKD", "日元": "JPY", "NT$": "TWD",
    "新台币": "TWD", "台币": "TWD", "澳元": "AUD", "加元": "CAD", "瑞郎": "CHF", "卢布": "RUB", "韩元": "KRW", "新币": "SGD",
}  # fmt: skip
_NUMBER = r"[0-9]{1,3}(?:[.,，' ][0-9]{3}){1,5}(?:[.,][0-9]{1,2})?|[0-9]{1,15}(?:\.[0-9]{1,4})?"
_SCALE = r"(?:[ \t]?(万亿|百万|千万|万|亿|千|million|billion|mio|mn|bn|[kKmM])(?:[^A-Za-z]|$))?"
_HAN = "零〇一二三四五六七八九十百千万亿两壹贰叁肆伍陆柒捌玖拾佰仟"

BEFORE = (
    rf"(?i)(?:^|[^A-Za-z])({_CODES}|人民币|美元|美金|欧元|港币|[$€£¥])[ \t]{{0,3}}[:：]?[ \t]{{0,3}}({_NUMBER}){_SCALE}"
)
_TIMES = "万亿|百万|千万|万|亿|千|million|billion|mn|bn"
AFTER = rf"(?i)(?:^|[^0-9.,])({_NUMBER})[ \t]{{0,3}}({_TIMES})?[ \t]{{0,3}}(?:多|余)?({_CODES}|{_WORDS})"
_ONE = "[零一二三四五六七八九壹贰叁肆伍陆柒捌玖]"
WRITTEN = rf"(人民币|美元|美金|欧元|港币)?[:：]?[ \t]{{0,3}}([{_HAN}]{{2,40}})(?:元|圆|块)(?:({_ONE})角)?零?(?:({_ONE})分)?(?:整|正)?"
_SHORT = "usd|us\\$|cny|rmb|cnh|eur|gbp|hkd|hk\\$|jpy|twd|nt\\$|aud|cad|chf|sgd|krw|rub|inr|aed"
PATTERNS = (
    r"[$€£¥]|(?i:usd|cny|rmb|eur|gbp|hkd|jpy|us dollar)|CNH|TWD|AUD|CAD|CHF|SGD|KRW|RUB|INR|AED",
    r"(?:人民币|美元|美金|欧元|港币)[ \t]{0,3}[:：]?[ \t]{0,3}[0-9]",
    rf"(?i)[0-9][ \t]{{0,3}}(?:[万亿千]|百万|million|billion|mn|bn)?[ \t]{{0,3}}[多余万亿]?(?:{_SHORT}|{_WORDS})",
    rf"[{_HAN}](?:元|圆|块)",
)
"""For a prefilter, cheaper than the patterns themselves: one of these is present where ``find()`` can find something."""

_SCALES = {
    "万": 10**4, "亿": 10**8, "万亿": 10**12, "百万": 10**6, "千万": 10**7, "千": 10**3, "million": 10**6, "billion": 10**9, "mio": 10**6,
    "mn": 10**6, "bn": 10**9, "k": 10**3, "m": 10**6,
}  # fmt: skip
_DIGITS = {
    character: value for run in ("零一二三四五六七八九", "〇壹贰叁肆伍陆柒捌玖") for value, character in enumerate(run)
} | {"两": 2}
_UNITS = {"十": 10, "拾": 10, "百": 100, "佰": 100, "千": 1000, "仟": 1000}


@dataclass(frozen=True, slots=True)
class Amount:
    """``value`` in units of ``currency`` (ISO 4217), and its place in bytes of the normalised text."""

    value: Decimal
    currency: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Amounts:
    """The compiled patterns."""

    before: Any
    after: Any
    written: Any

    @classmethod
    def build(cls) -> "Amounts":
        """Compile once, at start."""
        return cls(compiled(BEFORE), compiled(AFTER), compiled(WRITTEN))

    def find(self, data: bytes, which: Collection[int] = (0, 1, 2, 3)) -> list[Amount]:
        """Amounts in ``data`` (UTF-8 of a normalised text), at most MAX_AMOUNTS, in order of place. ``which``: indices of PATTERNS
        that a prefilter saw there."""
        found: list[Amount] = []
        ways = ((self.before, _before, (0, 1)), (self.after, _after, (2,)), (self.written, _written, (3,)))
        for pattern, read, needs in ways:
            if not any(index in which for index in needs):
                continue
            for match in pattern.finditer(data):
                amount = read(match)
                if amount is not None:
                    found.append(amount)
                if len(found) >= MAX_AMOUNTS:
                    return found
        return _distinct(found)


def _before(match: Any) -> Amount | None:
    return _amount(match, match.group(2), match.group(3), match.group(1))


def _after(match: Any) -> Amount | None:
    return _amount(match, match.group(1), match.group(2), match.group(3))


def _amount(match: Any, number: bytes, scale: bytes | None, currency: bytes) -> Amount | None:
    value = _decimal(number.decode())
    if scale:
        value *= _SCALES[scale.decode().lower()]
    name = currency.decode().upper()
    return Amount(value, _NAMES.get(name, name), match.start(), match.end()) if 0 < value < MAX_VALUE else None


def _decimal(number: str) -> Decimal:
    """``1,234.50``, ``1.234,50`` and ``1 234`` alike: the last mark followed by one or two digits is the decimal one."""
    number = number.replace(" ", "").replace("'", "").replace("，", ",")
    comma, point = number.rfind(","), number.rfind(".")
    last = max(comma, point)
    if last < 0:
        return Decimal(number)
    whole, fraction = number[:last].replace(",", "").replace(".", ""), number[last + 1 :]
    alone = point == last and number.count(".") == 1
    is_decimal = len(fraction) <= 2 or (alone and (len(fraction) > 3 or comma >= 0 or number[0] == "0"))
    return Decimal(f"{whole}.{fraction}" if is_decimal else whole + fraction)


def _written(match: Any) -> Amount | None:
    value = Decimal(han_number(match.group(2).decode()))
    for group, unit in ((3, "0.1"), (4, "0.01")):
        if match.group(group):
            value += _DIGITS[match.group(group).decode()] * Decimal(unit)
    currency = _NAMES.get((match.group(1) or b"").decode(), "CNY")
    return Amount(value, currency, match.start(), match.end()) if 0 < value < MAX_VALUE else None


def han_number(text: str) -> int:
    """The value of a Chinese numeral, both plain (一百二十万) and financial (壹佰贰拾万); digits in a row count as positional."""
    total = section = digit = 0
    for character in text:
        if character in _DIGITS:
            digit = digit * 10 + _DIGITS[character]
        elif character in _UNITS:
            section += (digit or 1) * _UNITS[character]
            digit = 0
        elif character == "万":
            total, section, digit = total + (section + digit) * 10**4, 0, 0
        elif character == "亿":
            total, section, digit = (total + section + digit) * 10**8, 0, 0
    return total + section + digit


def _distinct(found: list[Amount]) -> list[Amount]:
    """One amount per place, the one that reaches furthest; ``USD 5 元`` is not two."""
    kept: list[Amount] = []
    for amount in sorted(found, key=lambda one: (one.start, -one.end)):
        if not kept or amount.start >= kept[-1].end:
            kept.append(amount)
    return kept
