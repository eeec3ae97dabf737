"""YARA behind one interface: yara-python by default, yara-x when asked for. Rules are compiled once and loaded by every decoder."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from scanners.attachments.gate import gate_of

ENGINES = ("yara", "yara-x")
MAX_HITS = 64
"""Rules reported for one piece of content: more says nothing new."""
MATCH_S = 5
"""Seconds one match may take; yara stops itself then."""
RULES_DIR = Path(__file__).parent / "rules"
"""The rules that ship with Sealgate."""


class RulesError(ValueError):
    """The rules do not compile; the message holds the engine's words with file and line."""


class MatchTimeout(Exception):
    """A match took longer than ``MATCH_S``."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A rule that matched: its name, severity (its ``severity`` meta, 0 to 4, default 4), first place and number of places."""

    rule: str
    severity: int
    offset: int
    length: int
    count: int


@dataclass(frozen=True, slots=True)
class CompiledRules:
    """Compiled rules of one engine; ``version`` is a hash over engine and sources and belongs into the judge's version."""

    engine: str
    data: bytes
    version: str
    count: int

    def save(self, folder: Path) -> Path:
        """Write them where decoders can read them; the name holds engine and version. Returns the path."""
        path = folder / f"{self.engine}-{self.version}.rules"
        temporary = path.with_suffix(".tmp")
        temporary.write_bytes(self.data)
        temporary.rename(path)  # a crash before leaves a stray .tmp that the next start overwrites
        return path


class YaraEngine(Protocol):
    """Loaded rules of one engine."""

    @property
    def version(self) -> str:
        """Of the rules."""
        ...

    def match(self, data: bytes) -> tuple[Hit, ...]:
        """Every rule that matches, by name. Raises MatchTimeout."""
        ...


def read_sources(source: Path | str | Mapping[str, str] | None) -> dict[str, str]:
    """Rules as name -> text, from a folder of ``*.yar``/``*.yara``, one file, a text, a mapping, or (None) the shipped ones.

    Raises:
        RulesError: a folder or file cannot be read.
    """
    if source is None:
        source = RULES_DIR
    if isinstance(source, Mapping):
        return dict(source)
    if isinstance(source, str):
        return {"rules": source}
    try:
        files = sorted([*source.glob("*.yar"), *source.glob("*.yara")]) if source.is_dir() else [source]
        return {file.stem: file.read_text("utf-8") for file in files}
    except (OSError, UnicodeError) as error:
        raise RulesError(
            f"cannot read YARA rules from {source}: {error} / 无法读取 YARA 规则，请检查路径和编码"
        ) from None


def compile_rules(source: Path | str | Mapping[str, str] | None = None, engine: str = "yara") -> CompiledRules:
    """Compile rules for ``engine``; see ``read_sources`` for what ``source`` may be. ``include`` is refused.

    Raises:
        RulesError: unknown engine, engine not installed, or rules that do not compile.
    """
    sources = read_sources(source)
    digest = hashlib.sha256(engine.encode())
    for name in sorted(sources):
        digest.update(b"\0" + name.encode() + b"\0" + sources[name].encode())
    version = digest.hexdigest()[:16]
    if engine == "yara":
        data, count = _compile_yara(sources)
    elif engine == "yara-x":
        data, count = _compile_yara_x(sources)
    else:
        raise RulesError(f"unknown YARA engine {engine!r}; use one of {', '.join(ENGINES)} / 未知的 YARA 引擎")
    return CompiledRules(engine, data, version, count)


def load_rules(path: Path) -> YaraEngine:
    """Load what ``CompiledRules.save`` wrote.

    Raises:
        RulesError: the file is not that.
    """
    engine, _, rest = path.stem.rpartition("-")
    try:
        return _YaraX(path.read_bytes(), rest) if engine == "yara-x" else _Yara(path, rest)
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        raise RulesError(f"cannot load compiled YARA rules {path.name}: {error} / 无法加载已编译的 YARA 规则") from None


def _compile_yara(sources: Mapping[str, str]) -> tuple[bytes, int]:
    import io

    import yara

    try:
        rules = yara.compile(sources=dict(sources), includes=False)
    except yara.Error as error:
        raise RulesError(f"YARA: {error} / 规则无法编译，请修改后重试") from None
    out = io.BytesIO()
    rules.save(file=out)
    return out.getvalue(), sum(1 for _ in rules)


def _compile_yara_x(sources: Mapping[str, str]) -> tuple[bytes, int]:
    import io

    try:
        import yara_x
    except ImportError:
        raise RulesError("yara-x is not installed: pip install sealgate[yara-x] / 未安装 yara-x") from None
    compiler = yara_x.Compiler()
    try:
        compiler.enable_includes(False)
        for name, text in sources.items():
            compiler.new_namespace(name)
            compiler.add_source(text)
    except yara_x.CompileError as error:
        raise RulesError(f"YARA-X: {error} / 规则无法编译，请修改后重试") from None
    rules = compiler.build()
    out = io.BytesIO()
    rules.serialize_into(out)
    return out.getvalue(), sum(1 for _ in rules)


def _severity(meta: Mapping[str, Any]) -> int:
    value = meta.get("severity", 4)
    return min(4, max(0, value)) if isinstance(value, int) else 4


class _Yara:
    """yara-python; releases the GIL while matching, costs some 250 us per match with hundreds of rules."""

    def __init__(self, path: Path, version: str) -> None:
        import yara

        try:
            self._rules: Any = yara.load(str(path))
        except yara.Error as error:
            raise ValueError(str(error)) from None
        self._timeout: Any = yara.TimeoutError
        self._gate = gate_of(rule.meta.get("gate") for rule in self._rules if not rule.is_private)
        self.version = version

    def match(self, data: bytes) -> tuple[Hit, ...]:
        if self._gate is not None and not self._gate.opens(data):
            return ()
        try:
            matches = self._rules.match(data=data, timeout=MATCH_S)
        except self._timeout:
            raise MatchTimeout from None
        hits = []
        for match in matches[:MAX_HITS]:
            places = [(place.offset, place.matched_length) for string in match.strings for place in string.instances]
            offset, length = min(places, default=(-1, 0))
            hits.append(Hit(match.rule, _severity(match.meta), offset, length, max(1, len(places))))
        return tuple(hits)


class _YaraX:
    """yara-x; its Scanner belongs to the thread that made it, and a decoder has one."""

    def __init__(self, data: bytes, version: str) -> None:
        import io

        import yara_x

        rules = yara_x.Rules.deserialize_from(io.BytesIO(data))
        self._gate = gate_of(dict(rule.metadata).get("gate") for rule in rules)
        self._scanner: Any = yara_x.Scanner(rules)
        self._scanner.set_timeout(MATCH_S)
        self._timeout: Any = yara_x.TimeoutError
        self.version = version

    def match(self, data: bytes) -> tuple[Hit, ...]:
        if self._gate is not None and not self._gate.opens(data):
            return ()
        try:
            matches = self._scanner.scan(data).matching_rules
        except self._timeout:
            raise MatchTimeout from None
        hits = []
        for match in list(matches)[:MAX_HITS]:
            places = [(place.offset, place.length) for pattern in match.patterns for place in pattern.matches]
            offset, length = min(places, default=(-1, 0))
            hits.append(Hit(match.identifier, _severity(dict(match.metadata)), offset, length, max(1, len(places))))
        return tuple(hits)
