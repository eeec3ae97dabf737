"""Word lists: TOML text -> Dictionaries -> findings. What a hit leads to is the policies' business.

In a file each table is one dictionary::

    [price]
    weight = 6                    # what one distinct phrase says; weights add up
    any = ["合同总价", "cost price"]
    except = ["到底价格"]          # where one of these stands, the phrases inside it are no hit
    regex = ['PO-\\d{6}']         # RE2 syntax
    single_hit = true             # one hit is enough, in quoted history too
    alone = false                 # never fires alone (default for names ending in _weak)
    severity = "high"             # info, low, medium, high, critical
    title = { zh = "价格", en = "Prices" }

Any other key with a list of phrases is a group of the same dictionary, named in the finding's ``about``.
"""

import asyncio
import hashlib
import json
import tomllib
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from msgspec import Struct

from scanners.amounts import PATTERNS as AMOUNTS
from scanners.amounts import Amounts
from scanners.base import Result, Stage
from scanners.finding import Code, Evidence, Finding, Severity
from scanners.message import Message
from scanners.normalise import normalise
from scanners.patterns import MAX_SPANS, PatternError, Prefilter, compiled, prefilter
from scanners.readings import Place, Reading

MAX_PHRASES = 20_000
"""Phrases in all dictionaries: hyperscan compiles so many in about two seconds."""
MAX_PHRASE = 100
"""Characters of one phrase."""
INLINE = 64 * 1024
"""Bytes of text up to which the event loop may wait for the answer (about 0.2 ms); longer texts go to a thread."""
ENOUGH = 10
"""Places of one phrase that are looked up where nothing (exceptions, quoted history) can take a place away again."""
FOOTER_REACH = 400
"""Bytes of a footer's paragraph around its known phrase."""

CODES = (
    Code("content.dictionary.*", Severity.MEDIUM, "命中词库", "Phrases of a word list; score adds up their weights"),
)
"""What any list may report; a scanner's own ``codes`` name its lists."""

_SCALARS = {"weight": int, "single_hit": bool, "alone": bool, "severity": str, "title": dict}
_HAN = "㐀-鿿〇"


class DictionaryError(ValueError):
    """A word list that can't be used; the message names the table and key, in Chinese and English."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """One thing to look for: ``index`` in the set of patterns, ``group`` inside its dictionary."""

    index: int
    group: str
    regex: Any
    exact: bool
    """Written as a phrase; False for a regular expression, whose distinct matches are counted."""


@dataclass(frozen=True, slots=True)
class Dictionary:
    """One list with its settings. ``footers`` are exceptions that hold no phrase of it themselves: notices at the end of mail."""

    name: str
    weight: int
    single_hit: bool
    alone: bool
    severity: Severity
    zh: str
    en: str
    phrases: tuple[Phrase, ...]
    exceptions: tuple[Phrase, ...]
    footers: tuple[Phrase, ...]

    def among(self, present: frozenset[int]) -> list[Phrase]:
        """Its phrases that are ``present``, in order: those of one list are numbered without a gap."""
        first = self.phrases[0].index
        return [self.phrases[index - first] for index in sorted(present) if 0 <= index - first < len(self.phrases)]


@dataclass(frozen=True, slots=True)
class Dictionaries:
    """All lists, compiled into one pass. ``version`` is a hash over what they say."""

    lists: tuple[Dictionary, ...]
    version: str
    prefilter: Prefilter
    owners: tuple[int, ...]
    """For each pattern the index of its dictionary; -1 for amounts."""
    versions: Mapping[str, str]
    """Name of each list -> hash over what it says."""
    amounts: Amounts


def load(*texts: str, engine: str = "auto") -> Dictionaries:
    """Read TOML texts; a table in a later text replaces the one of that name. Raises DictionaryError."""
    tables: dict[str, dict[str, Any]] = {}
    for text in texts:
        try:
            tables.update(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise DictionaryError(
                f"词库不是有效的 TOML，请更正所示行 not valid TOML, correct the line shown: {error}"
            ) from None
    builder = _Builder()
    lists = tuple(builder.dictionary(name, table) for name, table in tables.items())
    builder.patterns.extend(AMOUNTS)
    builder.owners.extend([-1] * len(AMOUNTS))
    try:
        screen = prefilter(builder.patterns, engine)
    except PatternError as error:
        raise DictionaryError(str(error)) from None
    versions = {name: _digest(table) for name, table in tables.items()}
    return Dictionaries(
        lists, _digest(versions), screen, tuple(builder.owners), MappingProxyType(versions), Amounts.build()
    )


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False, default=str).encode()).hexdigest()


class _Builder:
    """Collects the patterns of all lists under running numbers."""

    def __init__(self) -> None:
        self.patterns: list[str] = []
        self.owners: list[int] = []
        self.lists = 0

    def dictionary(self, name: str, table: object) -> Dictionary:
        """One table. Raises DictionaryError."""
        if not isinstance(table, dict):
            raise DictionaryError(f"[{name}] 应为表 must be a table: [{name}] any = [...]")
        settings = {key: self._scalar(name, key, table[key], kind) for key, kind in _SCALARS.items() if key in table}
        groups = {key: _words(name, key, value) for key, value in table.items() if key not in _SCALARS}
        exceptions, patterns = groups.pop("except", []), groups.pop("regex", [])
        if not groups and not patterns:
            raise DictionaryError(f"[{name}] 没有词语，请加 any = [...] has no phrases, add any = [...]")
        phrases = [
            self._add(name, "" if group == "any" else group, word)
            for group, words in groups.items()
            for word in dict.fromkeys(words)
        ]
        phrases += [self._add_regex(name, pattern) for pattern in patterns]
        plain = [_fold(word) for words in groups.values() for word in words]
        inside = [word for word in exceptions if any(one in _fold(word) for one in plain)]
        footers = [word for word in exceptions if word not in inside]
        made = Dictionary(
            name,
            settings.get("weight", 1),
            settings.get("single_hit", False),
            settings.get("alone", not name.endswith("_weak")),
            _severity(name, settings),
            *_titles(name, settings),
            tuple(phrases),
            tuple(self._add(name, "", word) for word in inside),
            tuple(self._add(name, "", word) for word in footers),
        )
        self.lists += 1
        return made

    def _scalar(self, name: str, key: str, value: object, kind: type) -> Any:
        if not isinstance(value, kind) or (
            kind is int and (isinstance(value, bool) or not 0 <= int(str(value)) <= 1000)
        ):
            raise DictionaryError(
                f"[{name}] {key}: 应为 {kind.__name__} must be of type {kind.__name__} (0 to 1000), not {value!r}"
            )
        return value

    def _add(self, name: str, group: str, word: str) -> Phrase:
        try:
            return self._pattern(group, phrase_pattern(word), exact=True)
        except PatternError as error:
            raise DictionaryError(f"[{name}] {word!r}: {error}") from None

    def _add_regex(self, name: str, pattern: str) -> Phrase:
        try:
            found = compiled(pattern)
        except PatternError as error:
            raise DictionaryError(f"[{name}] regex: {error}") from None
        if found.match(b"") is not None:
            raise DictionaryError(f"[{name}] regex 会匹配空文本，请改写 matches the empty text, rewrite it: {pattern}")
        return self._pattern("", pattern, exact=False)

    def _pattern(self, group: str, pattern: str, *, exact: bool) -> Phrase:
        index = len(self.patterns)
        if index >= MAX_PHRASES:
            raise PatternError(f"词语超过 {MAX_PHRASES} 个 more than {MAX_PHRASES} phrases")
        regex = compiled(pattern)
        self.patterns.append(pattern)
        self.owners.append(self.lists)
        return Phrase(index, group, regex, exact)


def _words(name: str, key: str, value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(word, str) and word.strip() for word in value):
        known = ", ".join((*_SCALARS, "any", "except", "regex"))
        raise DictionaryError(f"[{name}] {key}: 应为词语列表 must be a list of phrases (known keys: {known})")
    if key != "regex":
        for word in value:
            if len(word) > MAX_PHRASE:
                raise DictionaryError(f"[{name}] {key}: 词语过长（上限 {MAX_PHRASE} 字）phrase too long: {word[:30]}…")
    return value


def _severity(name: str, settings: dict[str, Any]) -> Severity:
    word = settings.get("severity", "medium").upper()
    if word not in Severity.__members__:
        raise DictionaryError(f"[{name}] severity: 应为 must be one of info, low, medium, high, critical")
    return Severity[word]


def _titles(name: str, settings: dict[str, Any]) -> tuple[str, str]:
    title = settings.get("title", {})
    zh, en = title.get("zh", name), title.get("en", name)
    return f"命中词库：{zh}", f"Phrases of the list: {en}"


def _fold(word: str) -> str:
    return normalise(word).text.lower()


def phrase_pattern(word: str) -> str:
    """The RE2 pattern of a phrase, for normalised text: any case, a line break between Han characters, any blanks or underscores
    between Latin words, and no letter or digit next to a Latin end. Group 1 is the phrase."""
    text = " ".join(_fold(word).split())
    pieces: list[str] = []
    for place, character in enumerate(text):
        before = text[place - 1] if place else ""
        if character == " ":
            pieces.append(r"[\s_]+")
            continue
        if before and before != " " and _is_han(character) | _is_han(before):
            pieces.append(r"\n?" if _is_han(character) and _is_han(before) else r"\s?")
        pieces.append(r"[-\x{2010}-\x{2015}\s]" if character == "-" else _quoted(character))
    body = "".join(pieces)
    start = "" if _is_han(text[0]) else r"(?:^|[^0-9A-Za-z])"
    end = "" if _is_han(text[-1]) else r"(?:$|[^0-9A-Za-z])"
    return f"(?i){start}({body}){end}"


def _is_han(character: str) -> bool:
    return "\u3400" <= character <= "\u9fff" or character == "\u3007"


def _quoted(character: str) -> str:
    return character if character.isalnum() else f"\\x{{{ord(character):x}}}"


class _Hit(Struct, frozen=True):
    """One phrase at one place."""

    phrase: int
    group: str
    words: bytes
    start: int
    end: int
    reading: Reading
    quoted: bool


@dataclass(frozen=True, slots=True)
class DictionaryScanner:
    """Looks for all lists in every reading of the message, in one pass each."""

    dictionaries: Dictionaries

    @property
    def name(self) -> str:
        """As Scanner."""
        return "dictionaries"

    @property
    def stage(self) -> Stage:
        """As Scanner: texts of attachments count."""
        return Stage.OPENED

    @property
    def codes(self) -> tuple[Code, ...]:
        """One per list."""
        return tuple(
            Code(f"content.dictionary.{one.name}", one.severity, one.zh, one.en) for one in self.dictionaries.lists
        )

    async def scan(self, message: Message) -> Result:
        """As Scanner; a thread does the work for long texts."""
        if sum(len(part.text or "") for part in message.parts) > INLINE:
            # readings too are made in the thread, which asks for them first
            return Result(await asyncio.to_thread(lambda: find(self.dictionaries, message.readings)))
        return Result(find(self.dictionaries, message.readings))


def find(dictionaries: Dictionaries, texts: tuple[Reading, ...]) -> tuple[Finding, ...]:
    """Findings over all readings of one message, in the order of the lists."""
    seen = [
        (reading, frozenset(present))
        for reading in texts
        if (present := dictionaries.prefilter.present(reading.normal.data))
    ]
    strong = _firing(dictionaries, seen, alone=True)
    found = {index: _finding(dictionaries.lists[index], hits) for index, hits in strong.items()}
    if strong or _speaks_of_money(dictionaries, seen):  # the lists that never fire alone are read only beside something
        others = [hit for hits in strong.values() for hit in hits]
        for index, hits in _firing(dictionaries, seen, alone=False).items():
            outside = _outside(hits, others)
            if outside:
                found[index] = _finding(dictionaries.lists[index], outside)
    return tuple(found[index] for index in sorted(found))


def _firing(
    dictionaries: Dictionaries, seen: list[tuple[Reading, frozenset[int]]], *, alone: bool
) -> dict[int, list[_Hit]]:
    """Hits of the lists that may (or may not) fire alone, for those that fire."""
    hits: dict[int, list[_Hit]] = {}
    for reading, present in seen:
        owners = {dictionaries.owners[number] for number in present} - {-1}
        chosen = [index for index in owners if dictionaries.lists[index].alone == alone]
        if chosen:
            _collect(dictionaries, reading, present, chosen, hits)
    return {index: found for index, found in hits.items() if _fires(dictionaries.lists[index], found)}


def _speaks_of_money(dictionaries: Dictionaries, seen: list[tuple[Reading, frozenset[int]]]) -> bool:
    """Is there an amount, in a message that also holds phrases of a list that never fires alone?"""
    first = len(dictionaries.owners) - len(AMOUNTS)
    weak = {index for index, one in enumerate(dictionaries.lists) if not one.alone}
    if not any(dictionaries.owners[number] in weak for _, present in seen for number in present):
        return False
    return any(
        dictionaries.amounts.find(reading.normal.data, which)
        for reading, present in seen
        if (which := [number - first for number in present if number >= first])
    )


def _fires(one: Dictionary, found: list[_Hit]) -> bool:
    return bool(found) and (one.single_hit or not all(hit.quoted for hit in found))


def _collect(
    dictionaries: Dictionaries,
    reading: Reading,
    present: frozenset[int],
    chosen: list[int],
    hits: dict[int, list[_Hit]],
) -> None:
    data = reading.normal.data
    quotes: list[tuple[int, int]] | None = None
    for index in chosen:
        one = dictionaries.lists[index]
        quotes = _quoted_ranges(reading) if quotes is None else quotes
        doubtful = bool(quotes) or any(
            phrase.index in present for held in (one.exceptions, one.footers) for phrase in held
        )
        raw = [
            (phrase, start, end)
            for phrase in one.among(present)
            for start, end in _spans(phrase, data, MAX_SPANS if doubtful or not phrase.exact else ENOUGH)
        ]
        if not raw:
            continue
        barred = [span for phrase in one.exceptions if phrase.index in present for span in _spans(phrase, data)]
        notices = [
            _paragraph(data, span) for phrase in one.footers if phrase.index in present for span in _spans(phrase, data)
        ]
        for phrase, start, end in _longest(raw):
            if any(first < end and start < last for first, last in barred):
                continue
            quoted = any(first <= start < last for first, last in quotes) or any(
                first <= start < last for first, last in notices
            )
            words = data[start:end].lower() if not phrase.exact else b""
            hits.setdefault(index, []).append(_Hit(phrase.index, phrase.group, words, start, end, reading, quoted))


def _spans(phrase: Phrase, data: bytes, limit: int = MAX_SPANS) -> Iterator[tuple[int, int]]:
    group = 1 if phrase.exact else 0
    for count, match in enumerate(phrase.regex.finditer(data)):
        if count >= limit:
            return
        yield match.span(group)


def _longest(raw: list[tuple[Phrase, int, int]]) -> list[tuple[Phrase, int, int]]:
    """Of overlapping hits the longest stays; in order of place."""
    starts: list[int] = []
    kept: list[tuple[Phrase, int, int]] = []
    for phrase, start, end in sorted(raw, key=lambda one: (one[1] - one[2], one[1])):
        at = bisect_right(starts, start)
        if (at and kept[at - 1][2] > start) or (at < len(kept) and kept[at][1] < end):
            continue
        starts.insert(at, start)
        kept.insert(at, (phrase, start, end))
    return kept


def _outside(found: list[_Hit], others: list[_Hit]) -> list[_Hit]:
    """Hits that are no part of another list's phrase: 总价 inside 合同总价 says nothing of its own."""
    return [
        hit
        for hit in found
        if not any(o.reading is hit.reading and o.start <= hit.start and hit.end <= o.end for o in others)
    ]


def _finding(one: Dictionary, found: list[_Hit]) -> Finding:
    distinct = {(hit.phrase, hit.words) for hit in found}
    first = next((hit for hit in found if not hit.quoted), found[0])
    normal = first.reading.normal
    words = normal.data[first.start : first.end].decode("utf-8", "replace")
    before = len(normal.data[: first.start].decode("utf-8", "replace"))
    evidence = Evidence(masked(words), len(distinct), normal.place(before), len(words))
    groups = sorted({hit.group for hit in found if hit.group})
    count = f"{len(distinct)} phrase{'s' if len(distinct) > 1 else ''} of {one.name}"
    return Finding(
        f"content.dictionary.{one.name}", one.severity, count, first.reading.part, evidence,
        ",".join(groups) or one.name, one.weight * len(distinct),
    )  # fmt: skip


def masked(words: str) -> str:
    """The first half of a phrase, at most six characters."""
    shown = min(6, max(1, len(words) // 2))
    return words[:shown] + "*" * min(6, len(words) - shown)


def _paragraph(data: bytes, span: tuple[int, int]) -> tuple[int, int]:
    """The paragraph around a footer's phrase, as far as a footer reaches."""
    start = max(data.rfind(b"\n\n", 0, span[0]), span[0] - FOOTER_REACH, 0)
    end = data.find(b"\n\n", span[1])
    return start, min(end if end >= 0 else len(data), span[1] + FOOTER_REACH)


_HISTORY = (
    b"-----original message", b"-----\xe5\x8e\x9f\xe5\xa7\x8b\xe9\x82\xae\xe4\xbb\xb6", b"---original---",
    b"------------------ original", b"------------------ \xe5\x8e\x9f\xe5\xa7\x8b", b"-------- forwarded message",
    b"begin forwarded message",
)  # fmt: skip
"""Lines after which all is quoted history (原始邮件 in UTF-8 among them); forwarded text counts as history too."""


def _quoted_ranges(reading: Reading) -> list[tuple[int, int]]:
    """Byte ranges of quoted history in a body: lines that begin with ``>``, and all after a client's separator."""
    if reading.place is not Place.BODY:
        return []
    data = reading.normal.data
    ranges: list[tuple[int, int]] = []
    lower = data.lower()
    known = _HISTORY if b"---" in data else _HISTORY[-1:]  # only the last one has no hyphens
    marks = [at for at in (lower.find(mark) for mark in known) if at > 0]
    end = min(marks, default=len(data))
    if b"\n>" in data[:end] or data.startswith(b">"):
        position = 0
        for line in data[:end].split(b"\n"):
            if line.lstrip(b" ").startswith(b">"):
                ranges.append((position, position + len(line) + 1))
            position += len(line) + 1
    if marks:
        ranges.append((end, len(data)))
    return ranges
