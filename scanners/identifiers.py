"""Identity numbers, cards, accounts, phones, addresses: found by form, check digits and the words beside them.

One pass of the prefilter says which kinds may be there; RE2 and the checks do the rest on those. Of identifiers that overlap the
longest wins. Evidence is masked: at most the first four and last four characters.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from scanners import accounts, amounts, numbers
from scanners.accounts import Account
from scanners.amounts import Amounts
from scanners.base import Result, Stage
from scanners.checks import birth, cn_mobile
from scanners.data.regions import IBAN_LENGTHS
from scanners.detectors import DETECTORS, ID_WORDS, NUMBER, Detector
from scanners.dictionaries import INLINE
from scanners.finding import Code, Evidence, Finding, Severity
from scanners.message import Message
from scanners.numbers import Allowance, Number
from scanners.patterns import Prefilter, compiled, places, prefilter
from scanners.readings import Place, Reading

REACH = 24
"""Characters within which a context word must stand."""
_STRIDE = 512
"""Bytes behind a context word that are searched with it: a text full of such words is searched once, not once a word."""
_BEFORE = 4 * REACH + 160
"""Bytes before a word in which something beside it may begin: the reach and its own length."""
_BEHIND = 4 * REACH + 64
"""Bytes behind a word and its stride, the same way."""
_APART = "(?:^|[^0-9A-Za-z])"
ADULT = 18
"""Years: an identity number whose holder is younger is more often an order number with a date, and needs a context word."""

AMOUNT = Code(
    "content.amount", Severity.INFO, "出现金额", "Amounts of money; about is the currency, score the largest amount"
)
LIMIT = Code("content.limit.numbers", Severity.MEDIUM, "数字数量超过上限", "More numbers in a text than are read")
DISGUISES = Code(
    "content.limit.disguises",
    Severity.LOW,
    "拆散或编码的文字过多，未全部还原",
    "More text written as codes or taken apart than is put together",
)
CODES = (
    *(Code(one.code, one.severity, one.zh, one.en) for one in DETECTORS),
    *accounts.CODES,
    AMOUNT,
    LIMIT,
    DISGUISES,
)
"""Everything the scanner may report. ``content.amount``: one per currency, ``score`` the largest amount in whole units."""


_CUT = frozenset(("iban", "cn.uscc", "cn.address"))
"""Those whose pattern may run on into the next word: their ends are found otherwise."""
_BROKEN_BYTES = 256 * 1024
"""Bytes of a file in which numbers over several lines are looked for: columns of long tables are no broken numbers."""
_ID_NAMES = (*ID_WORDS, "证件", "身份")
_CARD_NAMES = (*accounts.ACCOUNT_WORDS, "卡号", "card")
"""A file that says none of these holds no broken number: a table of figures is not put together cell by cell."""
_HIT_COST = 20
"""What an identifier takes of the allowance, in groups of digits: keeping and sorting it costs so much."""
_LOOK_COST = 3
"""The same for a place that is looked at by RE2 or for words beside it."""


@dataclass(frozen=True, slots=True)
class _Hit:
    """One identifier at one place (bytes of the normalised text)."""

    rank: int
    value: str
    start: int
    end: int


@dataclass(slots=True)
class _Seen:
    """What was found over all readings of a message."""

    hits: dict[int, dict[str, tuple[Reading, _Hit]]] = field(default_factory=dict)
    accounts: dict[str, tuple[Reading, Account]] = field(default_factory=dict)
    changed: list[tuple[Reading, Account]] = field(default_factory=list)
    details: Reading | None = None
    amounts: dict[str, set[Decimal]] = field(default_factory=dict)
    where: dict[str, Reading] = field(default_factory=dict)
    allowance: Allowance = field(default_factory=Allowance)
    exhausted: Reading | None = None


class Finder:
    """The compiled table. Made once; safe to use from several threads."""

    def __init__(self, engine: str = "auto") -> None:
        self.amounts = Amounts.build()
        self.words = _Words.build(engine)
        self.details = compiled(accounts.DETAILS)
        self.change = compiled(accounts.CHANGE)
        self.regexes = [None if one.pattern == NUMBER else compiled(_led(one)) for one in DETECTORS]
        self.free, self.bound = _heads(with_context=False), _heads(with_context=True)
        self.places = places(numbers.TRIGGERS, engine)
        self.patterns: list[str] = []
        self.screens = [self._index(_screen(one)) for one in DETECTORS]
        self.contexts = [self._index(_any_of(one.context)) if one.context else None for one in DETECTORS]
        self.joined = self._index(numbers.JOINED)
        self.number = self._index(numbers.SCREEN)
        self.broken = self._index(numbers.BROKEN)
        self.named = self._index(_any_of((*_ID_NAMES, *_CARD_NAMES)))
        self.whole = [rank for rank, one in enumerate(DETECTORS) if one.name in ("cn.id18", "bank.card")]
        lengths = {length for rank in self.whole for length in DETECTORS[rank].lengths}
        self.pieces = {digit: tuple(sorted(lengths)) for digit in b"123456789"}
        self.account = self._index(_any_of(accounts.ACCOUNT_WORDS))
        self.detailed = self._index(accounts.DETAILS)
        self.changing = self._index(accounts.CHANGE)
        self.money = [self._index(pattern) for pattern in amounts.PATTERNS]
        # RE2 reads these in half of hyperscan's time: most of them begin with a class that is everywhere in text.
        self.prefilter: Prefilter = prefilter(self.patterns, "re2" if engine == "auto" else engine)

    def _index(self, pattern: str) -> int:
        """The pattern's number in the prefilter; equal patterns share one."""
        if pattern not in self.patterns:
            self.patterns.append(pattern)
        return self.patterns.index(pattern)

    def look(self, reading: Reading, seen: _Seen, at: datetime) -> None:
        """Everything in one text."""
        data = reading.normal.data
        present = frozenset(self.prefilter.present(data))
        if not present or seen.allowance.spent:
            return
        if self.joined not in present:
            present -= {self.broken}  # too few digits together for a number of several lines
        ranks = [
            rank
            for rank, screen in enumerate(self.screens)
            if screen in present and ((context := self.contexts[rank]) is None or context in present)
        ]
        beside = _Beside(data, self.words)
        found = list(self._written(ranks, data, beside, seen.allowance))
        if self.number in present:
            found += self._free_numbers(data, at, seen.allowance)
            found += self._bound_numbers(ranks, data, beside, seen.allowance, with_accounts=self.account in present)
        body = reading.place is Place.BODY
        if self.broken in present and (body or (self.named in present and len(data) <= _BROKEN_BYTES)):
            found += self._broken_numbers(data, body, at, seen.allowance)
        if seen.allowance.spent:
            seen.exhausted = reading
        kept = _longest(found)
        for hit in kept:
            if hit.rank >= 0:
                seen.hits.setdefault(hit.rank, {}).setdefault(hit.value, (reading, hit))
        self._money(reading, seen, present, kept)

    def _written(self, ranks: Iterable[int], data: bytes, beside: "_Beside", allowance: Allowance) -> Iterator[_Hit]:
        """Identifiers with letters or a fixed form; those that need a word beside them are looked for near such words only."""
        for rank in ranks:
            one, regex = DETECTORS[rank], self.regexes[rank]
            if regex is None:
                continue
            for lo, hi in beside.spans(one.context) if one.context else ((0, len(data)),):
                yield from self._tried(rank, one, regex, data, (lo, hi), allowance)

    def _tried(
        self, rank: int, one: Detector, regex: Any, data: bytes, span: tuple[int, int], allowance: Allowance
    ) -> Iterator[_Hit]:
        """Hits of one pattern in ``span``. After a miss it goes on behind the first character: decoys hide nothing."""
        position, stop = span
        while (match := regex.search(data, position, stop)) is not None:
            start, end = match.span(1)
            hit = None
            if one.name in _CUT or not data[end : end + 1].isalnum():
                hit = self._checked(rank, one, data, start, end)
            if not allowance.take(_LOOK_COST if hit is None else _HIT_COST):
                return
            if hit is not None:
                yield hit
            position = start + 1 if hit is None else end

    def _checked(self, rank: int, one: Detector, data: bytes, start: int, end: int) -> _Hit | None:
        text = data[start:end].decode("utf-8", "replace")
        if one.name in ("iban", "cn.uscc"):
            return _cut(rank, one, data, start, text)
        value = accounts.compact(text) if one.fold else text
        if not one.check(value) or (one.context and not near(data, start, end, one.context)):
            return None
        return _Hit(rank, value, start, end)

    def _free_numbers(self, data: bytes, at: datetime, allowance: Allowance) -> Iterator[_Hit]:
        """Identifiers that are digits and need no word beside them, in the whole text."""
        for number in numbers.numbers(self.places, data, self.free.by_head, allowance):
            if not allowance.take(_LOOK_COST):
                return
            for rank in self.free.by_length[len(number.digits)]:
                value = _number(DETECTORS[rank], number, data, at)
                if value:
                    if not allowance.take(_HIT_COST):
                        return
                    yield _Hit(rank, value, number.start, number.end)

    def _bound_numbers(
        self, ranks: list[int], data: bytes, beside: "_Beside", allowance: Allowance, *, with_accounts: bool
    ) -> Iterator[_Hit]:
        """Those that do need one, and account numbers: near such words only."""
        wanted = [rank for rank in ranks if DETECTORS[rank].pattern == NUMBER and DETECTORS[rank].context]
        words = [word for rank in wanted for word in DETECTORS[rank].context]
        spans = beside.spans((*words, *(accounts.ACCOUNT_WORDS if with_accounts else ())))
        for number in numbers.numbers_in(data, spans, self.bound.by_head, allowance) if spans else ():
            for rank in self.bound.by_length.get(len(number.digits), ()):
                if rank in wanted and (value := _number(DETECTORS[rank], number, data, None)):
                    yield _Hit(rank, value, number.start, number.end)
            if with_accounts and _is_account(number, data):
                yield _Hit(-1, number.digits, number.start, number.end)
            if not allowance.take(_LOOK_COST):
                return

    def _broken_numbers(self, data: bytes, body: bool, at: datetime, allowance: Allowance) -> Iterator[_Hit]:
        """Identity numbers over several lines or cells (in files beside a word for them), and cards beside a word for them."""
        for number in numbers.broken(data, self.pieces, allowance):
            if not allowance.take(_LOOK_COST):
                return
            for rank in self.whole:
                one = DETECTORS[rank]
                words = _ID_NAMES if one.name == "cn.id18" else _CARD_NAMES
                free = body and one.name == "cn.id18"
                value = _number(one, number, data, at)
                if value and (free or near(data, number.start, number.end, words)):
                    yield _Hit(rank, value, number.start, number.end)

    def _money(self, reading: Reading, seen: _Seen, present: frozenset[int], kept: list[_Hit]) -> None:
        data = reading.normal.data
        held = [hit for hit in kept if hit.rank < 0 or DETECTORS[hit.rank].name in ("bank.card", "iban")]
        found = [Account(hit.value, hit.start, hit.end) for hit in held]
        for account in found:
            seen.accounts.setdefault(account.number, (reading, account))
        if self.detailed in present:
            seen.details = seen.details or reading
        if self.changing in present and found:
            ends = [account.end for account in found]  # in order of place, and apart from each other
            for match in self.change.finditer(data):
                place = bisect_left(ends, match.start() - accounts.CHANGE_REACH)
                if place < len(found) and found[place].start - match.end() <= accounts.CHANGE_REACH:
                    seen.changed.append((reading, found[place]))
                    break
                if not seen.allowance.take(_LOOK_COST):
                    break
        which = [place for place, index in enumerate(self.money) if index in present]
        if which:
            found_amounts = self.amounts.find(data, which)
            if len(found_amounts) >= amounts.MAX_AMOUNTS:
                seen.exhausted = reading
            for amount in found_amounts:
                seen.amounts.setdefault(amount.currency, set()).add(amount.value)
                seen.where.setdefault(amount.currency, reading)


def _is_account(number: Number, data: bytes) -> bool:
    return (
        len(number.digits) in accounts.ACCOUNT_LENGTHS
        and number.digits.isdigit()
        and numbers.is_regular(number.groups)
        and near(data, number.start, number.end, accounts.ACCOUNT_WORDS, after=False)
    )


@dataclass(frozen=True, slots=True)
class _Heads:
    """Detectors that read digits: their places in the table by length, and the lengths by first digit."""

    by_length: dict[int, list[int]]
    by_head: numbers.Heads


def _heads(*, with_context: bool) -> _Heads:
    by_length: dict[int, list[int]] = {}
    by_head: dict[int, set[int]] = {}
    if with_context:  # an account may begin with any digit
        by_head = {digit: set(accounts.ACCOUNT_LENGTHS) for digit in b"0123456789"}
    for rank, one in enumerate(DETECTORS):
        if one.pattern == NUMBER and bool(one.context) == with_context:
            for length, heads in one.lengths.items():
                by_length.setdefault(length, []).append(rank)
                for digit in heads.encode():
                    by_head.setdefault(digit, set()).add(length)
    return _Heads(by_length, {digit: tuple(sorted(lengths)) for digit, lengths in by_head.items()})


@dataclass(frozen=True, slots=True)
class _Words:
    """Every word beside which something is looked for; one pass says which a text holds, since most hold few of the sixty."""

    words: tuple[str, ...]
    prefilter: Prefilter

    @classmethod
    def build(cls, engine: str) -> "_Words":
        """Compile once, at start."""
        words = tuple(dict.fromkeys((*(word for one in DETECTORS for word in one.context), *accounts.ACCOUNT_WORDS)))
        return cls(words, prefilter([_literal(word) for word in words], engine))

    def among(self, lower: bytes) -> frozenset[str]:
        """Those that stand in ``lower``, a text in lower case."""
        return frozenset([self.words[index] for index in self.prefilter.present(lower)])


def _literal(word: str) -> str:
    return "".join(character if character.isalnum() else f"\\x{{{ord(character):x}}}" for character in word)


class _Beside:
    """Where in a text numbers and forms stand close enough to a word."""

    __slots__ = ("_lower", "_there", "data", "words")

    def __init__(self, data: bytes, words: "_Words") -> None:
        self.data, self.words = data, words
        self._lower: bytes | None = None
        self._there: frozenset[str] = frozenset()

    def spans(self, words: Iterable[str]) -> list[tuple[int, int]]:
        """Ranges in which something beside one of ``words`` may begin; ascending and apart."""
        if self._lower is None:
            self._lower = self.data.lower()
            self._there = self.words.among(self._lower)
        marks: list[int] = []
        for word in [word.encode() for word in self._there.intersection(words)]:
            at = self._lower.find(word)
            while at >= 0:
                marks.append(at)
                at = self._lower.find(word, at + _STRIDE)
        spans: list[tuple[int, int]] = []
        for mark in sorted(marks):
            lo, hi = max(0, mark - _BEFORE), min(len(self.data), mark + _STRIDE + _BEHIND)
            if spans and lo <= spans[-1][1]:
                spans[-1] = (spans[-1][0], hi)
            else:
                spans.append((lo, hi))
        return spans


def _screen(one: Detector) -> str:
    """What the prefilter looks for. Forms stand apart from letters and digits, which tables of hexadecimal codes hardly pass."""
    if one.pattern == NUMBER:
        return numbers.SCREEN
    return one.screen or f"{_APART}(?:{one.pattern})(?:[^0-9A-Za-z]|$)"


def _led(one: Detector) -> str:
    """The pattern as group 1, where it may begin; Latin context words may stand right before the value, without a blank."""
    words = [word for word in one.context if word.isascii() and word.isalpha()]
    glued = f"(?i:{'|'.join(words)})?" if words else ""
    return f"({one.pattern})" if one.name == "cn.address" else f"{_APART}{glued}({one.pattern})"


def _any_of(words: tuple[str, ...]) -> str:
    return "(?i)" + "|".join(word.replace(".", "\\.").replace(" ", "\\s?") for word in words)


def _cut(rank: int, one: Detector, data: bytes, start: int, text: str) -> _Hit | None:
    """IBANs and credit codes may be written in groups, so a match can run into the next word: cut it where the form ends."""
    value = accounts.compact(text)
    size = 18 if one.name == "cn.uscc" else IBAN_LENGTHS.get(value[:2], 0)
    if not size or len(value) < size:
        return None
    end, count = start, 0
    while count < size:
        count += data[end : end + 1].isalnum()
        end += 1
    if data[end : end + 1].isalnum():
        return None
    value = value[:size]
    if not one.check(value):
        return None
    if (
        one.name == "cn.uscc"
        and value.isdigit()
        and not near(data, start, end, ("税号", "信用代码", "营业执照", "纳税人", "uscc", "tax"))
    ):
        return None
    return _Hit(rank, value, start, end)


def _number(one: Detector, number: Number, data: bytes, at: datetime | None) -> str:
    """The canonical value when ``number`` is a ``one``, else ``""``."""
    digits, groups = number.digits, number.groups
    if one.name == "cn.mobile":
        return _mobile(number, data)
    if len(digits) not in one.lengths or (digits[-1] == "X" and one.name not in ("cn.id18", "cn.fpr18")):
        return ""
    if one.name == "cn.landline":
        regular = len(groups) <= 3 and groups[0] in (3, 4, 10, 11, 12)
    else:
        regular = one.name in ("cn.id18", "cn.fpr18") or numbers.is_regular(groups)
    if one.name == "cn.cnaps" and digits[0] == "0":
        return ""
    if not regular or not one.check(digits):
        return ""
    if one.context and not near(data, number.start, number.end, one.context):
        return ""
    if one.name == "cn.id18" and at is not None:
        born = birth(digits[6:14])
        young = born is not None and (at.year - born.year) < ADULT
        if young and not near(data, number.start, number.end, ID_WORDS):
            return ""
    return digits


_MOBILE_GROUPS = frozenset(
    ((11,), (3, 4, 4), (3, 8), (7, 4), (4, 7), (5, 6), (3, 3, 5), (4, 4, 3), (3, 5, 3), (2, 3, 3, 3), (1, 10))
)


def _mobile(number: Number, data: bytes) -> str:
    digits, groups = number.digits, number.groups
    for prefix in ("86", "0086", "086"):
        if digits.startswith(prefix) and len(digits) == 11 + len(prefix):
            digits = digits[len(prefix) :]
            groups = groups[1:] if groups[0] == len(prefix) else (groups[0] - len(prefix), *groups[1:])
            break
    if len(digits) != 11 or not digits.isdigit() or digits[0] != "1" or data[number.end : number.end + 1] == b"@":
        return ""
    if groups not in _MOBILE_GROUPS and set(groups) != {1}:
        return ""
    if number.groups == (3, 8) and data[number.start + 3] == 0x2E and not numbers.is_phone(data, number.start):
        return ""  # 138.00138000 is a decimal more often
    return digits if cn_mobile(digits) else ""


def near(data: bytes, start: int, end: int, words: tuple[str, ...], *, after: bool = True) -> bool:
    """Does one of the words stand within REACH characters before (or after) the place?"""
    before = data[max(0, start - REACH * 4) : start].decode("utf-8", "ignore")[-REACH:].lower()
    if any(word in before for word in words):
        return True
    if not after:
        return False
    behind = data[end : end + REACH * 4].decode("utf-8", "ignore")[:REACH].lower()
    return any(word in behind for word in words)


def _longest(found: list[_Hit]) -> list[_Hit]:
    """Of overlapping hits the longest wins, then the one earlier in the table; accounts come last. In order of place."""
    kept: list[_Hit] = []
    cluster: list[_Hit] = []
    end = -1
    for hit in sorted(found, key=lambda hit: hit.start):
        if hit.start >= end:
            kept.extend(_settled(cluster))
            cluster = []
        cluster.append(hit)
        end = max(end, hit.end)
    kept.extend(_settled(cluster))
    return kept


def _settled(cluster: list[_Hit]) -> list[_Hit]:
    """The same for hits that touch each other."""
    if len(cluster) < 2:
        return cluster
    starts: list[int] = []
    kept: list[_Hit] = []
    order = sorted(
        cluster, key=lambda hit: (hit.start - hit.end, hit.rank if hit.rank >= 0 else len(DETECTORS), hit.start)
    )
    for hit in order:
        place = bisect_left(starts, hit.start)
        if (place and kept[place - 1].end > hit.start) or (place < len(kept) and kept[place].start < hit.end):
            continue
        starts.insert(place, hit.start)
        kept.insert(place, hit)
    return kept


def masked(value: str) -> str:
    """At most the first and last four characters, fewer of short ones; stars between."""
    shown = min(4, len(value) // 4)
    return value[:shown] + "*" * max(1, len(value) - 2 * shown) + (value[-shown:] if shown else "")


@dataclass(frozen=True)
class IdentifierScanner:
    """Looks for every identifier of the table, bank accounts and amounts in every reading of the message.

    ``own_accounts`` are the company's accounts, in any spelling.
    """

    own_accounts: tuple[str, ...] = ()
    engine: str = "auto"
    finder: Finder = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "finder", Finder(self.engine))
        object.__setattr__(self, "own_accounts", tuple(accounts.compact(one) for one in self.own_accounts))

    @property
    def name(self) -> str:
        """As Scanner."""
        return "identifiers"

    @property
    def stage(self) -> Stage:
        """As Scanner: texts of attachments count."""
        return Stage.OPENED

    @property
    def codes(self) -> tuple[Code, ...]:
        """As Scanner."""
        return CODES

    async def scan(self, message: Message) -> Result:
        """As Scanner; a thread does the work for long texts."""
        if sum(len(part.text or "") for part in message.parts) > INLINE:
            # readings too are made in the thread, if nobody asked for them before
            return Result(await asyncio.to_thread(lambda: self.find(message.readings, message.envelope.received_at)))
        return Result(self.find(message.readings, message.envelope.received_at))

    def find(self, texts: tuple[Reading, ...], at: datetime) -> tuple[Finding, ...]:
        """Findings over all readings; ``at`` is when the mail came (for the age of an identity number's holder)."""
        seen = _Seen()
        for reading in texts:
            self.finder.look(reading, seen, at)
        findings = [_finding(DETECTORS[rank], seen.hits[rank]) for rank in sorted(seen.hits)]
        findings += self._accounts(seen)
        for currency, values in sorted(seen.amounts.items()):
            evidence = Evidence("", len(values))
            summary, part = f"{len(values)} in {currency}", seen.where[currency].part
            findings.append(Finding(AMOUNT.code, AMOUNT.severity, summary, part, evidence, currency, int(max(values))))
        cut = next((reading for reading in texts if reading.more), None)
        if cut is not None:
            findings.append(Finding(DISGUISES.code, DISGUISES.severity, DISGUISES.en, cut.part, about="disguises"))
        if seen.exhausted is not None:
            findings.append(Finding(LIMIT.code, LIMIT.severity, LIMIT.en, seen.exhausted.part, about="numbers"))
        return tuple(findings)

    def _accounts(self, seen: _Seen) -> list[Finding]:
        found: list[Finding] = []
        own = {number: place for number, place in seen.accounts.items() if number in self.own_accounts}
        foreign = {number: place for number, place in seen.accounts.items() if number not in own}
        for code, held in ((accounts.OWN, own), (accounts.FOREIGN, foreign)):
            if held:
                reading, account = next(iter(held.values()))
                summary = f"{len(held)} bank account{'s' if len(held) > 1 else ''}"
                found.append(_account(code, summary, reading, account, len(held)))
        if seen.details is not None and not seen.accounts:
            found.append(
                Finding(accounts.FOREIGN.code, Severity.MEDIUM, "bank details are spoken of, no number seen", seen.details.part, Evidence())
            )  # fmt: skip
        changed = next(((reading, one) for reading, one in seen.changed if one.number not in self.own_accounts), None)
        if changed is not None:
            found.append(_account(accounts.CHANGED, "changed-account words next to an account", *changed, 1))
        return found


def _account(code: Code, summary: str, reading: Reading, account: Account, count: int) -> Finding:
    place, length = _place(reading, account.start, account.end)
    return Finding(
        code.code, code.severity, summary, reading.part, Evidence(masked(account.number), count, place, length)
    )


def _finding(one: Detector, held: dict[str, tuple[Reading, _Hit]]) -> Finding:
    reading, hit = next(iter(held.values()))
    place, length = _place(reading, hit.start, hit.end)
    shown = hit.value[:3] + "***" if one.name == "cn.address" else masked(hit.value)
    return Finding(
        one.code, one.severity, f"{len(held)} {one.name}", reading.part, Evidence(shown, len(held), place, length)
    )


def _place(reading: Reading, start: int, end: int) -> tuple[int, int]:
    before = len(reading.normal.data[:start].decode("utf-8", "replace"))
    return reading.normal.place(before), len(reading.normal.data[start:end].decode("utf-8", "replace"))
