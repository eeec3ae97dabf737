"""A TOML table read with its place in mind: each access that fails adds a Problem and goes on, so that one look shows every error."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from policies.problem import MAX_PROBLEMS, PolicyError, Problem, nearest
from policies.toml_text import Document, Path


@dataclass(slots=True)
class Report:
    """Collects problems; at most MAX_PROBLEMS are kept, the others counted."""

    problems: list[Problem] = field(default_factory=list)
    more: int = 0

    def add(self, problem: Problem) -> None:
        """Note one."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)
        else:
            self.more += 1

    def close(self) -> None:
        """Raise PolicyError if anything was noted."""
        if self.problems:
            found = sorted(self.problems, key=lambda problem: (problem.file, problem.line, problem.column))
            raise PolicyError(tuple(found), self.more)


def meant(word: str, known: frozenset[str]) -> tuple[str, str]:
    """The tails of a message that name what was probably meant, in both languages; else all words when they are few."""
    guess = nearest(word, known)
    if guess:
        return f"；是不是 “{guess}”？", f'; did you mean "{guess}"?'
    if len(known) <= 12:
        words = ", ".join(sorted(known))
        return f"；可用：{words}", f"; known: {words}"
    return "", ""


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a document and where it stands."""

    document: Document
    path: Path
    data: Mapping[str, object]
    report: Report

    def problem(self, zh: str, en: str, *path: str | int, key: bool = False) -> None:
        """Note that something is wrong at ``path`` below this table."""
        line, column = self.document.place((*self.path, *path), key=key)
        self.report.add(Problem(self.document.name, line, column, zh, en))

    def allow(self, keys: Sequence[str]) -> None:
        """Every other key is a mistake."""
        for key in self.data:
            if key not in keys:
                zh, en = meant(key, frozenset(keys))
                self.problem(f"不认识的键 “{key}”{zh}", f'unknown key "{key}"{en}', key, key=True)

    def has(self, key: str) -> bool:
        """Whether the key is written."""
        return key in self.data

    def text(self, key: str, *, required: bool = False, choices: Sequence[str] = ()) -> str:
        """A string, ``""`` when absent or wrong."""
        value = self.data.get(key)
        if value is None:
            if required:
                words = ", ".join(choices)
                zh, en = (f"；可用：{words}", f": one of {words}") if choices else ("", "")
                self.problem(f"缺少 “{key}”{zh}", f'"{key}" is missing{en}')
            return ""
        if not isinstance(value, str):
            self.problem(f"“{key}” 应是带引号的文字", f'"{key}" must be text in quotes', key)
            return ""
        if choices and value not in choices:
            zh, en = meant(value, frozenset(choices))
            self.problem(f"“{key}” 不能是 “{value}”{zh}", f'"{key}" can\'t be "{value}"{en}', key)
            return ""
        if required and not value.strip():
            self.problem(f"“{key}” 是空的", f'"{key}" is empty', key)
        return value

    def boolean(self, key: str, default: bool) -> bool:
        """true or false."""
        value = self.data.get(key, default)
        if not isinstance(value, bool):
            self.problem(f"“{key}” 应是 true 或 false", f'"{key}" must be true or false', key)
            return default
        return value

    def integer(self, key: str, default: int, low: int = 0, high: int = 10**12) -> int:
        """A whole number within bounds."""
        value = self.data.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.problem(
                f"“{key}” 应是 {low} 到 {high} 的整数", f'"{key}" must be a whole number from {low} to {high}', key
            )
            return default
        return value

    def strings(self, key: str, *, single: bool = False) -> tuple[str, ...]:
        """A list of strings; ``single`` also takes one string."""
        value = self.data.get(key, [])
        if single and isinstance(value, str):
            return (value,)
        if not isinstance(value, list):
            self.problem(f'“{key}” 应是列表，如 ["a", "b"]', f'"{key}" must be a list such as ["a", "b"]', key)
            return ()
        found: list[str] = []
        for number, one in enumerate(value):
            if isinstance(one, str):
                found.append(one)
            else:
                self.problem(
                    f"“{key}” 里的每一项应是带引号的文字", f'each item of "{key}" must be text in quotes', key, number
                )
        return tuple(found)

    def day(self, key: str) -> date | None:
        """A date such as 2027-01-31, without quotes."""
        value = self.data.get(key)
        if isinstance(value, date) and not isinstance(value, datetime):
            return value
        if value is not None:
            self.problem(
                f"“{key}” 应是日期，如 2027-01-31，不加引号",
                f'"{key}" must be a date such as 2027-01-31, without quotes',
                key,
            )
        return None

    def moment(self, key: str) -> datetime | None:
        """A local time such as 2026-11-20T10:00:00, without quotes."""
        value = self.data.get(key)
        if value is not None and not isinstance(value, datetime):
            self.problem(
                f"“{key}” 应是时间，如 2026-11-20T10:00:00", f'"{key}" must be a time such as 2026-11-20T10:00:00', key
            )
            return None
        return value

    def table(self, key: str, *, required: bool = False) -> "Table | None":
        """A table inside this one."""
        value = self.data.get(key)
        if isinstance(value, dict):
            return Table(self.document, (*self.path, key), value, self.report)
        if value is not None:
            self.problem(f"“{key}” 应是表，如 {{ a = 1 }}", f'"{key}" must be a table such as {{ a = 1 }}', key)
        elif required:
            self.problem(f"缺少 “{key}”", f'"{key}" is missing')
        return None

    def tables(self, key: str) -> "list[Table]":
        """An array of tables inside this one."""
        value = self.data.get(key, [])
        if isinstance(value, dict):
            return [Table(self.document, (*self.path, key), value, self.report)]
        if not isinstance(value, list):
            self.problem(f"“{key}” 应写作 [[{key}]]", f'"{key}" must be written as [[{key}]]', key)
            return []
        found: list[Table] = []
        for number, one in enumerate(value):
            if isinstance(one, dict):
                found.append(Table(self.document, (*self.path, key, number), one, self.report))
            else:
                self.problem(f"“{key}” 的每一项应是表", f'each item of "{key}" must be a table', key, number)
        return found


def root(document: Document, report: Report) -> Table:
    """The file itself as a table."""
    return Table(document, (), document.data, report)
