# ruff: noqa: E501 - a table reads best with a row per line
"""The table of identifiers: how each is written, what checks it, and which word must stand near those that have no check digit."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from scanners import checks
from scanners.checks import Check
from scanners.data.regions import IBAN_LENGTHS
from scanners.finding import Severity

NUMBER = "number"
"""Pattern of detectors that read runs of digits, whatever separates them; their ``lengths`` say which."""

_SIX = "[0-9]{6}"
"""Screen of those that hold six digits in a row."""
_C = "[0-9A-HJ-NPQRTUWXY]"
_USCC = f"(?i:[1-9ANY]{_C}(?:[0-9]{{6}}{_C}{{10}}|[0-9]{{2}}[ -][0-9]{{4}}(?:[ -]{_C}{{4}}){{2}}[ -]{_C}{{2}}|[ -][0-9]{{6}}[ -]{_C}{{9}}[ -]?{_C}))"
_PROVINCE = "京津冀晋蒙辽吉黑沪苏浙皖闽赣鲁豫鄂湘粤桂琼渝川贵云藏陕甘青宁新"
_PLATE = f"[{_PROVINCE}][A-HJ-NP-Z]\\s?[·.•-]?\\s?"
_ROAD = "路|街|道|巷|弄|园|里|村|胡同|小区|广场|大厦|工业区|开发区"
_NUMBERED = "(?:[0-9]{1,5}(?:[-之][0-9]{1,4})?|[一二三四五六七八九十百]{1,5}|[A-Z])(?:号|弄|栋|幢|座|室|单元|楼)"


@dataclass(frozen=True, slots=True)
class Detector:
    """One kind of identifier.

    ``pattern`` is RE2 without boundaries (none: NUMBER with ``lengths``); ``context`` holds words of which one must stand within
    24 characters, in lower case; ``screen`` a cheaper pattern for the prefilter where ``pattern`` is too rich for it.
    """

    name: str
    severity: Severity
    zh: str
    en: str
    pattern: str
    check: Check = checks.anything
    context: tuple[str, ...] = ()
    lengths: Mapping[int, str] = field(default_factory=dict)
    """Of NUMBER: how many digits, and which may come first."""
    screen: str = ""
    fold: bool = True
    """Separators are dropped and letters raised before the check."""

    @property
    def code(self) -> str:
        """``content.identifier.`` and the name with underscores."""
        return "content.identifier." + self.name.replace(".", "_")


_HIGH, _MEDIUM, _LOW = Severity.HIGH, Severity.MEDIUM, Severity.LOW
ID_WORDS = ("身份证", "证件号", "身份证号", "公民身份", "居住证", "id card", "id no", "identity", "idno", "id number")


def _vin() -> str:
    """Seventeen characters with a letter among them: at least one, so that tables of long fractions are no candidates."""
    letter, either = "[A-HJ-NPR-Z]", "[A-HJ-NPR-Z0-9]"

    def times(some: str, count: int) -> str:
        return f"{some}{{{count}}}" if count else ""  # hyperscan knows no {0}

    before = [f"{times('[0-9]', place)}{letter}{times(either, 7 - place)}[0-9X]{either}{{4}}" for place in range(8)]
    behind = [f"[0-9]{{{place}}}{letter}{times(either, 12 - place)}" for place in range(9, 13)]
    return f"(?:{'|'.join([*before, f'[0-9]{{8}}X{either}{{4}}', *behind])})[0-9]{{4}}"


_ANY = "0123456789"
_NOT_ZERO = "123456789"
_CARD = {13: "4", 15: "3", 16: "2345689", 17: "68", 18: "68", 19: "4689"}
_COUNTRY = "|".join(IBAN_LENGTHS)
_MOBILE = {11: "1", 13: "8", 14: "0", 15: "0"}
"""Bare, and with 86, 086 or 0086."""


DETECTORS: tuple[Detector, ...] = (
    Detector("cn.id18", _HIGH, "居民身份证号", "Chinese resident identity number", NUMBER, checks.cn_id18, lengths={18: _NOT_ZERO}),
    Detector("cn.fpr18", _HIGH, "外国人永久居留身份证号（新）", "Chinese permanent residence card number (2023)", NUMBER, checks.cn_fpr18, lengths={18: "9"}),
    Detector("cn.uscc", _LOW, "统一社会信用代码", "Chinese unified social credit code", _USCC, checks.cn_uscc),
    Detector("bank.card", _HIGH, "银行卡号", "Payment card number", NUMBER, checks.bank_card, lengths=_CARD),
    Detector("icao.mrz", _HIGH, "护照机读码", "Machine-readable line of a passport", "[A-Z0-9<]{9}[0-9][A-Z<]{3}[0-9]{7}[MFX<][0-9]{7}[A-Z0-9<]{14}[0-9<][0-9]", checks.mrz, fold=False, screen="<<"),
    Detector("iban", _MEDIUM, "国际银行账号 IBAN", "International bank account number", f"(?i:(?:{_COUNTRY})[0-9]{{2}}(?:[ -]?[A-Z0-9]){{11,30}})", checks.iban),
    Detector("vin", _LOW, "车辆识别代号", "Vehicle identification number", _vin(), checks.vin),
    Detector("container", Severity.INFO, "集装箱号", "Freight container number", "[A-Z]{3}[UJZ][ -]?[0-9]{6}[ -]?[0-9]", checks.container),
    Detector("tw.id", _HIGH, "台湾身份证号", "Taiwan identity number", "(?i:[A-Z])[1289][0-9]{8}", checks.tw_id),
    Detector("cn.mobile", _MEDIUM, "手机号", "Chinese mobile number", NUMBER, checks.cn_mobile, lengths=_MOBILE),
    Detector("cn.plate", _LOW, "车牌号", "Chinese vehicle plate", f"{_PLATE}(?:[DF][A-HJ-NP-Z0-9][0-9]{{4}}|[0-9]{{5}}[DF]|[A-HJ-NP-Z0-9]{{4}}[A-HJ-NP-Z0-9警学挂港澳试超])", screen=f"[{_PROVINCE}][A-HJ-NP-Z]\\s?[·.•-]?\\s?[A-Z0-9]{{4}}"),
    Detector("imei", _LOW, "手机串号 IMEI", "Mobile device number (IMEI)", NUMBER, checks.imei, ("imei", "串号", "入网"), {15: _ANY}),
    Detector("cn.id15", _HIGH, "居民身份证号（15 位）", "Chinese resident identity number (15 digits)", NUMBER, checks.cn_id15, ID_WORDS, {15: _NOT_ZERO}),
    Detector("cn.fpr15", _HIGH, "外国人永久居留证号（旧）", "Chinese permanent residence card number (old)", "(?i:[A-Z]{3})[0-9]{12}", checks.cn_fpr15, ("永久居留", "永居", "permanent residen", "pr card"), screen=_SIX),
    Detector("cn.org", Severity.INFO, "组织机构代码", "Chinese organisation code", "[0-9A-Z]{8}[- ]?[0-9X]", checks.cn_org, ("组织机构代码", "机构代码", "organization code", "organisation code"), screen="[0-9A-Z]{7}"),
    Detector("hk.id", _HIGH, "香港身份证号", "Hong Kong identity card number", "(?i:[A-Z]{1,2})[0-9]{6}\\s?[(（]?(?i:[0-9A])[)）]?", checks.hk_id, ("香港身份证", "香港", "hkid", "hk id", "hong kong id"), screen=_SIX),
    Detector("mo.id", _HIGH, "澳门身份证号", "Macau identity card number", "[157]/[0-9]{6}/[0-9]|[157][0-9]{6}[(（][0-9][)）]", context=("澳门", "macau", "macao", "bir"), screen=_SIX),
    Detector("cn.passport", _HIGH, "中国护照号", "Chinese passport number", "(?i:E[0-9A-HJ-NP-Z][0-9]{7}|[GDSP][0-9]{8}|(?:DE|SE|PE)[0-9]{7})", context=("护照", "passport"), screen=_SIX),
    Detector("cn.hmpermit", _HIGH, "港澳居民来往内地通行证号", "Home return permit (Hong Kong and Macau)", "(?i:[HM])[0-9]{8}(?:[0-9]{2})?", context=("回乡证", "来往内地通行证", "通行证", "home return", "home visit"), screen=_SIX),
    Detector("cn.twpermit", _HIGH, "台湾居民来往大陆通行证号", "Mainland travel permit (Taiwan)", "[0-9]{10}[(（](?i:[A-Z])[)）]|[0-9]{8}", context=("台胞证", "来往大陆通行证", "mtp", "taiwan compatriot"), screen=_SIX),
    Detector("cn.hmgo", _HIGH, "往来港澳通行证号", "Exit permit for Hong Kong and Macau", "(?i:C[0-9]{8}|C[A-HJ-NP-Z][0-9]{7}|W[0-9]{8})", context=("港澳通行证", "往来港澳", "hong kong and macau"), screen=_SIX),
    Detector("cn.twgo", _HIGH, "往来台湾通行证号", "Exit permit for Taiwan", "(?i:[LT])[0-9]{8}", context=("大通证", "往来台湾", "台湾通行证"), screen=_SIX),
    Detector("cn.cnaps", Severity.INFO, "联行号", "Chinese bank clearing number", NUMBER, checks.anything, ("联行号", "行号", "cnaps"), {12: _NOT_ZERO}),
    Detector("cn.landline", _LOW, "固定电话", "Chinese landline number", NUMBER, checks.cn_landline, ("电话", "座机", "传真", "tel", "phone", "fax", "热线"), {10: "0", 11: "0", 12: "0"}),
    Detector("bic", Severity.INFO, "银行识别代码 BIC", "Bank identifier code", "[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?", checks.bic, ("swift", "bic"), screen="[A-Z]{6}"),
    Detector("cn.address", _MEDIUM, "地址", "Postal address in China", f"\\p{{Han}}{{2,10}}?(?:省|自治区|市|区|县|旗|镇|乡)[\\p{{Han}}0-9A-Za-z]{{2,30}}?(?:{_ROAD})[\\p{{Han}}]{{0,8}}?{_NUMBERED}", screen="[0-9A-Z一二三四五六七八九十百](?:号|弄|栋|幢|座|室|单元|楼)", fold=False),
)  # fmt: skip
"""In order of precedence where two read the same characters."""
