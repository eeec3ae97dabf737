"""Check digits, dates and formats of identifiers. Pure; each takes the compact form (no separators, upper case)."""

from collections.abc import Callable
from datetime import date

from scanners.data.regions import COUNTRIES, IBAN_LENGTHS, PROVINCES

Check = Callable[[str], bool]

_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_USCC = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_ORG = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_VIN = dict(
    zip("ABCDEFGHJKLMNPRSTUVWXYZ", (1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 7, 9, 2, 3, 4, 5, 6, 7, 8, 9), strict=True)
)
_VIN_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
_TW = dict(zip("ABCDEFGHJKLMNPQRSTUVXYWZIO", range(10, 36), strict=True))
_CITIES = frozenset(f"{number:02}" for number in (*range(71), 90))


def luhn(number: str) -> bool:
    """ISO/IEC 7812-1 annex B."""
    total = 0
    for place, character in enumerate(reversed(number)):
        digit = ord(character) - 48
        if place % 2:
            digit = digit * 2 - 9 if digit > 4 else digit * 2
        total += digit
    return total % 10 == 0


def birth(text: str) -> date | None:
    """``yyyymmdd`` as a date a living or lately dead person may have been born on."""
    try:
        found = date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return None
    return found if found.year >= 1850 else None


def mod11_2(number: str) -> bool:
    """ISO 7064 MOD 11-2 as in GB 11643."""
    total = sum((ord(character) - 48) * weight for character, weight in zip(number, _ID_WEIGHTS, strict=False))
    return "10X98765432"[total % 11] == number[17]


def region(code: str) -> bool:
    """A GB/T 2260 region of which province and prefecture can be."""
    return code[:2] in PROVINCES and code[2:4] in _CITIES


def cn_id18(number: str) -> bool:
    """GB 11643, and the residence permits of Hong Kong, Macau and Taiwan residents (81, 82, 83)."""
    return region(number) and birth(number[6:14]) is not None and number[14:17] != "000" and mod11_2(number)


def cn_id15(number: str) -> bool:
    """The identity number as before 1999: region, yymmdd, sequence, no check digit."""
    return region(number) and number[:2] < "80" and birth("19" + number[6:12]) is not None and number[12:] != "000"


def cn_fpr18(number: str) -> bool:
    """Foreigners' permanent residence card of 2023: 9, province, ISO numeric country, birth, sequence, MOD 11-2."""
    return (
        number[0] == "9"
        and number[1:3] in PROVINCES
        and "004" <= number[3:6] <= "894"
        and birth(number[6:14]) is not None
        and mod11_2(number)
    )


def cn_fpr15(number: str) -> bool:
    """The older card: three letters, region, yymmdd, two digits (their rule is not public)."""
    return number[3:5] in PROVINCES and birth("19" + number[7:13]) is not None


def cn_uscc(number: str) -> bool:
    """GB 32100: 18 characters of base 31, weights 3^(i-1) mod 31."""
    if number[0] not in "123456789ANY" or (number[2:4] not in PROVINCES and number[2:4] != "10"):
        return False
    total, weight = 0, 1
    for character in number[:17]:
        value = _USCC.find(character)
        if value < 0:
            return False
        total += value * weight
        weight = weight * 3 % 31
    return _USCC[(31 - total % 31) % 31] == number[17]


def cn_org(number: str) -> bool:
    """GB 11714: eight characters and a check digit."""
    total = sum(_ORG.index(c) * w for c, w in zip(number[:8], (3, 7, 9, 10, 5, 8, 4, 2), strict=True))
    rest = 11 - total % 11
    return number[8] == ("0" if rest == 11 else "X" if rest == 10 else str(rest))


def bank_card(number: str) -> bool:
    """A payment card: the scheme's prefix and length, and Luhn."""
    size, two, four = len(number), number[:2], number[:4]
    scheme = (
        (two == "62" and 16 <= size <= 19)
        or ("810" <= number[:3] <= "817" and 16 <= size <= 19)
        or (number[0] == "4" and size in (13, 16, 19))
        or (size == 16 and ("51" <= two <= "55" or "2221" <= four <= "2720" or "3528" <= four <= "3589"))
        or (size == 16 and (four == "6011" or two == "65"))
        or (size == 15 and two in ("34", "37"))
        or (four == "9558" and size in (16, 19))
    )
    return scheme and len(set(number)) > 1 and luhn(number)


def imei(number: str) -> bool:
    """3GPP TS 23.003: 15 digits, Luhn."""
    return number[:2] != "00" and luhn(number)


def cn_mobile(number: str) -> bool:
    """Mainland mobile prefixes in use, 11 digits; a leading 86 or 0086 is cut off by the caller."""
    two, three = number[:2], number[:3]
    if two == "14":
        return three[2] in "56789"
    if two == "15":
        return three[2] != "4"
    if two == "16":
        return three[2] in "2567" or number[:4] == "1610"
    if two == "17":
        return three[2] != "9"
    if two == "19":
        return three[2] != "4"
    return two in ("13", "18")


def cn_landline(number: str) -> bool:
    """Area code and 7 or 8 digits that begin with 2 to 8."""
    area = 3 if number[1] in "12" else 4
    if number[0] != "0" or number[1] == "0" or (number[1] == "1" and number[2] != "0"):
        return False
    local = number[area:]
    return len(local) in (7, 8) and local[0] in "2345678"


def iban(number: str) -> bool:
    """ISO 13616: the country's length, and mod 97 = 1."""
    if IBAN_LENGTHS.get(number[:2]) != len(number):
        return False
    return int("".join(str(int(c, 36)) for c in number[4:] + number[:4])) % 97 == 1


def bic(code: str) -> bool:
    """ISO 9362: letters 5 and 6 are a country."""
    return code[4:6] in COUNTRIES and code[6] not in "0"


def vin(number: str) -> bool:
    """GB 16735 / ISO 3779: check digit at place 9; all-digit numbers are something else."""
    if number.isdigit() or number.isalpha() or not number[13:].isdigit():
        return False
    total = sum((int(c) if c.isdigit() else _VIN[c]) * w for c, w in zip(number, _VIN_WEIGHTS, strict=True))
    return "0123456789X"[total % 11] == number[8]


def container(number: str) -> bool:
    """ISO 6346."""
    values = [int(character) if character.isdigit() else _container_letter(character) for character in number[:10]]
    return sum(value << place for place, value in enumerate(values)) % 11 % 10 == int(number[10])


def _container_letter(character: str) -> int:
    """A is 10; multiples of 11 are skipped: B is 12, L 23, V 34."""
    value = ord(character) - 55
    return value + (value > 10) + (value > 20) + (value > 30)


def hk_id(number: str) -> bool:
    """Hong Kong: one or two letters, six digits, check digit or A."""
    text = number if len(number) == 9 else " " + number
    values = [36 if c == " " else int(c, 36) for c in text[:8]]
    rest = 11 - sum(value * weight for value, weight in zip(values, range(9, 1, -1), strict=True)) % 11
    return text[8] == ("0" if rest == 11 else "A" if rest == 10 else str(rest))


def tw_id(number: str) -> bool:
    """Taiwan: letter, 1 2 8 or 9, eight digits, weights 1 9 8 7 6 5 4 3 2 1 1."""
    letter = _TW[number[0]]
    digits = (letter // 10, letter % 10, *map(int, number[1:]))
    return sum(d * w for d, w in zip(digits, (1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1), strict=True)) % 10 == 0


def mrz(line: str) -> bool:
    """ICAO 9303 part 4, second line of a TD3 passport: five check digits."""
    return (
        _mrz_digit(line[:9]) == line[9]
        and _mrz_digit(line[13:19]) == line[19]
        and _mrz_digit(line[21:27]) == line[27]
        and (line[42] == "<" or _mrz_digit(line[28:42]) == line[42])
        and _mrz_digit(line[:10] + line[13:20] + line[21:43]) == line[43]
    )


def _mrz_digit(text: str) -> str:
    total = sum((0 if c == "<" else int(c, 36)) * (7, 3, 1)[place % 3] for place, c in enumerate(text))
    return str(total % 10)


def anything(_: str) -> bool:
    """No check beyond the format."""
    return True
