"""TOML with positions: what tomllib reads, and where each key and value stands in the text.

tomllib checks the syntax; the walker below only has to find its way through text that is known to be good.
"""

import tomllib
import unicodedata
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

from policies.problem import Problem

Path = tuple[str | int, ...]

MAX_TEXT = 1_000_000
"""Characters of one file: thousands of rules; more is a mistake."""
MAX_DEPTH = 24
"""Brackets inside brackets: far beyond any rule, far below Python's stack."""
MAX_DOTS = 200
"""Dots outside strings in one line: a dotted key that long is a bomb."""


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file. ``keys`` and ``values`` map a path such as ``("rule", 0, "when", "all", 2)`` to an offset in the text."""

    name: str
    data: Mapping[str, object]
    keys: Mapping[Path, int]
    values: Mapping[Path, int]
    starts: tuple[int, ...]

    def place(self, path: Path, *, key: bool = False) -> tuple[int, int]:
        """Line and column (from 1) of the value at ``path``, or of its key; of the nearest parent when the path isn't in the text."""
        tables = (self.keys, self.values) if key else (self.values, self.keys)
        while path:
            for table in tables:
                offset = table.get(path)
                if offset is not None:
                    line = bisect_right(self.starts, offset)
                    return line, offset - self.starts[line - 1] + 1
            path = path[:-1]
        return 1, 1


def parse(name: str, text: str) -> Document | Problem:
    """Read one file; text that isn't TOML gives the Problem instead."""
    if len(text) > MAX_TEXT:
        return Problem(name, 0, 0, f"文件超过 {MAX_TEXT} 个字符", f"the file is longer than {MAX_TEXT} characters")
    deep = _too_deep(text)
    if deep:
        return Problem(name, deep, 1, f"括号嵌套超过 {MAX_DEPTH} 层", f"brackets are nested more than {MAX_DEPTH} deep")
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what, line, column = _where(str(error), text)
        wide = _wide(text, line)
        if wide is not None:
            column, letter, plain = wide
            if plain == " ":
                return Problem(
                    name,
                    line,
                    column,
                    "此处有全角空格，请改用半角空格",
                    "a full-width blank stands here: write a plain one",
                )
            return Problem(
                name,
                line,
                column,
                f"此处有全角符号 {letter}，请改用半角 {plain}",
                f"a full-width {letter} stands here: write {plain}",
            )
        zh, en = _hint(what)
        return Problem(name, line, column, f"不是合法的 TOML：{zh}", f"not valid TOML: {en}")
    walker = _Walker(text)
    walker.document()
    starts = [0]
    position = text.find("\n")
    while position >= 0:
        starts.append(position + 1)
        position = text.find("\n", position + 1)
    return Document(name, data, walker.keys, walker.values, tuple(starts))


def _too_deep(text: str) -> int:
    """Line where brackets outside strings go deeper than MAX_DEPTH, or a key has that many dots; 0 when none does.

    tomllib and the walker recurse for each bracket, so this has to be known before.
    """
    depth = dots = at = 0
    while at < len(text):
        letter = text[at]
        if letter in "\"'":
            at = _after_string(text, at)
            continue
        if letter == "#":
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
            continue
        if letter in "[{":
            depth += 1
        elif letter in "]}":
            depth = max(0, depth - 1)
        elif letter == ".":
            dots += 1
        elif letter == "\n":
            dots = 0
        if depth > MAX_DEPTH or dots > MAX_DOTS:
            return text.count("\n", 0, at) + 1
        at += 1
    return 0


def _after_string(text: str, at: int) -> int:
    """Offset after the string that begins at ``at``; an unclosed one-line string ends with its line, any other with the text."""
    quote = text[at]
    triple = text.startswith(quote * 3, at)
    close = quote * 3 if triple else quote
    at += len(close)
    while at < len(text) and not text.startswith(close, at):
        if text[at] == "\n" and not triple:
            return at
        at += 2 if text[at] == "\\" and quote == '"' else 1
    at += len(close)
    extra = 0
    while (
        triple and extra < 2 and at < len(text) and text[at] == quote
    ):  # two quotes may stand before the closing three
        at, extra = at + 1, extra + 1
    return min(at, len(text))


HINTS = (
    (
        "Invalid value",
        "这里应是一个值：文字加引号，是非写 true 或 false（小写），数字用 0-9，日期如 2027-01-31",
        "no value: words stand in quotes, yes and no are true and false, digits are 0-9, a date is such as 2027-01-31",
    ),
    ("Cannot overwrite", "同一个键写了两次，请删去一个", "the same key is written twice: keep one"),
    (
        "Cannot declare",
        "同一个表写了两次；规则、例子、名单用两对方括号 [[ ]]",
        "the same table is written twice; rules, examples and lists have two brackets: [[ ]]",
    ),
    ("Unclosed array", "列表没有写完：缺少 ] 或一个逗号", "a list is not finished: ] or a comma is missing"),
    ("Unclosed inline table", "表没有写完：缺少 } 或一个逗号", "a table is not finished: } or a comma is missing"),
    (
        "Unescaped",
        "双引号里的 \\ 须写两次；正则表达式请用单引号",
        "in double quotes a \\ is written twice; put patterns into single quotes",
    ),
    ("Illegal character '\\n'", "引号没有在本行闭合", "the quotes are not closed on this line"),
    ("Unterminated string", "引号没有闭合", "the quotes are not closed"),
    ("Expected '='", "键之后应是 =", "= must follow the name"),
    ("Expected ']", "方括号没有闭合：[[rule]]", "the brackets are not closed: [[rule]]"),
    (
        "Invalid initial character",
        "这里应是一个键；{ } 须写在一行内，末尾不加逗号",
        "a name must stand here; { } stays on one line and ends without a comma",
    ),
    ("Invalid statement", "这里应是 键 = 值，或 [[rule]]", "NAME = VALUE must stand here, or [[rule]]"),
    (
        "Expected newline",
        "值到此应已结束：一行只写一项，文字要加引号，日期如 2027-01-31",
        "the value should have ended here: one entry a line, words in quotes, a date such as 2027-01-31",
    ),
)
"""How tomllib begins its messages, and what to do about each."""


def _hint(what: str) -> tuple[str, str]:
    """tomllib's message in both languages, with what to do; a message that is not known stays as it is."""
    return next(((zh, en) for start, zh, en in HINTS if what.startswith(start)), (what, what))


WIDE = {
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
    "「": '"',
    "」": '"',
    "【": "[",
    "】": "]",
    "《": '"',
    "》": '"',
    "。": ".",
    "、": ",",
}
"""Punctuation of Chinese keyboards that stands where TOML wants its own; full-width forms are known by Unicode (NFKC)."""


def _plain(letter: str) -> str:
    """What a full-width sign should be; empty for every other letter."""
    if letter.isascii():
        return ""
    folded = WIDE.get(letter) or unicodedata.normalize("NFKC", letter)
    return folded if len(folded) == 1 and folded.isascii() else ""


def _wide(text: str, line: int) -> tuple[int, str, str] | None:
    """The first full-width sign outside strings and comments in that line: its column, the sign, and what to write."""
    start = 0
    for _ in range(line - 1):
        start = text.find("\n", start) + 1
    at = start
    while at < len(text) and text[at] not in "\n#":
        if text[at] in "\"'":
            at = _after_string(text, at)
            continue
        if plain := _plain(text[at]):
            return at - start + 1, text[at], plain
        at += 1
    return None


def _where(message: str, text: str) -> tuple[str, int, int]:
    """tomllib's message with its place taken out: "Expected '=' (at line 3, column 5)"."""
    what, _, place = message.rpartition(" (at ")
    numbers = [int(word) for word in place.replace(",", " ").replace(")", " ").split() if word.isdigit()]
    if what and len(numbers) == 2:
        return what, numbers[0], numbers[1]
    return (what or message), text.count("\n") + 1, 1


class _Walker:
    """Walks good TOML once, left to right, noting offsets."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.keys: dict[Path, int] = {}
        self.values: dict[Path, int] = {}
        self.arrays: dict[Path, int] = {}

    def document(self) -> None:
        table: Path = ()
        while True:
            self.blank()
            if self.at >= len(self.text):
                return
            if self.text.startswith("[[", self.at):
                table = self.header(2)
            elif self.text[self.at] == "[":
                table = self.header(1)
            else:
                self.pair(table)

    def header(self, brackets: int) -> Path:
        offset = self.at
        self.at += brackets
        names = self.key()
        self.at = self.text.index("]", self.at) + brackets
        path: Path = ()
        for name in names[:-1]:
            path = (*path, name)
            if path in self.arrays:
                path = (*path, self.arrays[path])
        path = (*path, names[-1])
        if brackets == 2:
            self.arrays[path] = self.arrays.get(path, -1) + 1
            self.keys.setdefault(path, offset)
            path = (*path, self.arrays[path])
        self.keys.setdefault(path, offset)
        return path

    def blank(self) -> None:
        """Skip blanks, line ends, commas and comments."""
        text, size = self.text, len(self.text)
        while self.at < size:
            letter = text[self.at]
            if letter == "#":
                end = text.find("\n", self.at)
                self.at = size if end < 0 else end
            elif letter in " \t\r\n,":
                self.at += 1
            else:
                return

    def key(self) -> list[str]:
        names: list[str] = []
        while True:
            self.blank()
            start = self.at
            if self.text[start] in "\"'":
                self.string()
                names.append(str(next(iter(tomllib.loads(self.text[start : self.at] + "=0")))))
            else:
                while self.text[self.at] not in " \t.=]":
                    self.at += 1
                names.append(self.text[start : self.at])
            self.blank()
            if self.text[self.at] != ".":
                return names
            self.at += 1

    def pair(self, table: Path) -> None:
        offset = self.at
        path = table
        for name in self.key():
            path = (*path, name)
            self.keys.setdefault(path, offset)
        self.at = self.text.index("=", self.at) + 1
        self.value(path)

    def value(self, path: Path) -> None:
        self.blank()
        self.values[path] = self.at
        letter = self.text[self.at]
        if letter in "\"'":
            self.string()
        elif letter == "[":
            self.at += 1
            self.blank()
            index = 0
            while self.text[self.at] != "]":
                self.value((*path, index))
                index += 1
                self.blank()
            self.at += 1
        elif letter == "{":
            self.at += 1
            self.blank()
            while self.text[self.at] != "}":
                self.pair(path)
                self.blank()
            self.at += 1
        else:
            while self.at < len(self.text) and self.text[self.at] not in ",]}\n#":
                self.at += 1

    def string(self) -> None:
        self.at = _after_string(self.text, self.at)
