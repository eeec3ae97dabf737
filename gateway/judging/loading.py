"""Reads policies, words and YARA rules, and builds the Judge of a configuration."""

import hashlib
import shutil
from dataclasses import replace
from importlib.metadata import version as package_version
from pathlib import Path

from gateway.config import Config
from gateway.judging.judge import Judge
from policies import load
from policies.problem import PolicyError
from policies.rule import Ruleset
from scanners import registry
from scanners.attachments import yara
from scanners.base import Opener
from scanners.dictionaries import Dictionaries, DictionaryError
from scanners.resolver import Resolver

BUILTIN = Path(load.__file__).parent / "builtin"
MAX_POLICY_FILES = 500
MAX_POLICY_BYTES = 1 << 20
"""A rule file of a megabyte was not written by a person."""


class JudgeError(Exception):
    """Policies, dictionaries or YARA rules can't be used; the text says where and what to do, a line per problem."""


def build(config: Config, resolver: Resolver | None, opener: Opener | None) -> Judge:
    """Everything of a configuration. Raises JudgeError."""
    dictionaries = load_dictionaries(config)
    ruleset = load_ruleset(config, dictionaries)
    scanners = registry.scanners(registry_settings(config), dictionaries, resolver)
    return Judge(scanners, opener, ruleset, judge_version(config, dictionaries, ruleset))


def registry_settings(config: Config) -> registry.Settings:
    """What of the configuration the scanners need to know."""
    return registry.Settings(
        local_domains=config.gateway.local_domains,
        people=tuple(sorted({person for _, people in config.groups for person in people})),
        own_accounts=config.own_accounts,
        trusted_sealers=config.trusted_sealers,
        clamav_address=config.clamav.address,
        clamav_timeout_s=config.clamav.timeout_s,
    )


def load_dictionaries(config: Config) -> Dictionaries:
    """The shipped words and the operator's own (``dictionaries.toml`` beside the rules). Raises JudgeError."""
    own = config.policies.dir / "dictionaries.toml" if config.policies.dir else None
    try:
        return registry.dictionaries_of(read_text(own) if own and own.exists() else "")
    except DictionaryError as error:
        raise JudgeError(f"{own}: {error}") from None


def load_ruleset(config: Config, dictionaries: Dictionaries) -> Ruleset:
    """Built-in rules and those of ``policies.dir``. Raises JudgeError with a line per problem."""
    try:
        return load.load(policy_files(config), registry.CATALOGUE, dictionaries.versions)
    except PolicyError as error:
        raise JudgeError(str(error)) from None


def policy_files(config: Config) -> list[tuple[str, str]]:
    """(name, text) of every rule file, built-in ones first. Raises JudgeError."""
    folders = [BUILTIN] if config.policies.builtin else []
    if config.policies.dir:
        if not config.policies.dir.is_dir():
            raise JudgeError(f"{config.policies.dir}: no such folder; make it or remove policies.dir 目录不存在")
        folders.append(config.policies.dir)
    files = [path for folder in folders for path in sorted(folder.glob("*.toml")) if path.name != "dictionaries.toml"]
    if len(files) > MAX_POLICY_FILES:
        raise JudgeError(f"more than {MAX_POLICY_FILES} rule files 规则文件过多")
    return [(str(path) if path.parent != BUILTIN else f"builtin/{path.name}", read_text(path)) for path in files]


def ignored_files(config: Config) -> list[str]:
    """A line for each file beside the rules that is none: an editor may have saved ``rules.toml.txt``."""
    if not config.policies.dir or not config.policies.dir.is_dir():
        return []
    known = (".toml", ".yar", ".yara")
    names = (path for path in sorted(config.policies.dir.iterdir())[:MAX_POLICY_FILES] if path.is_file())
    return [
        f"{path}: 不以 .toml 结尾，未作为规则读取 / is not read as rules: its name does not end in .toml"
        for path in names
        if not path.name.startswith(".") and path.suffix.lower() not in known
    ]


def read_text(path: Path) -> str:
    """A file of rules, in UTF-8. Raises JudgeError with what to do."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise JudgeError(f"{path}: 无法读取 / cannot be read: {error.strerror}") from None
    if len(data) > MAX_POLICY_BYTES:
        raise JudgeError(
            f"{path}: 超过 {MAX_POLICY_BYTES} 字节，请拆成多个文件 / larger than {MAX_POLICY_BYTES} bytes: split it into several files"
        )
    try:
        return data.decode("utf-8-sig")  # Windows' editors begin a file with a mark
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise JudgeError(
            f"{path}:{line}:1: 不是 UTF-8 编码（像是 {_encoding(data)}）；请在编辑器中“另存为”，编码选 UTF-8 / "
            f"not UTF-8 (it looks like {_encoding(data)}): save it again with the encoding UTF-8"
        ) from None


def _encoding(data: bytes) -> str:
    """What a file that isn't UTF-8 probably is; only for the message."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "UTF-16"
    try:
        data.decode("gb18030")
    except UnicodeDecodeError:
        return "binary"
    return "GBK"


def yara_source(config: Config) -> dict[str, str]:
    """Our own small rule set and the operator's ``*.yar`` beside the rules."""
    sources = yara.read_sources(None)
    if config.policies.dir and config.policies.dir.is_dir():
        sources |= yara.read_sources(config.policies.dir)
    return sources


def prepare_rules(config: Config) -> Path:
    """Compile the YARA rules for the decoders; gives the file. Raises JudgeError."""
    folder = config.gateway.state_dir / "run" / "yara"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        return yara.compile_rules(yara_source(config)).save(folder)
    except yara.RulesError as error:
        raise JudgeError(str(error)) from None


def judge_version(config: Config, dictionaries: Dictionaries, ruleset: Ruleset) -> str:
    """A hash over rules, words, YARA sources, settings that matter and the package's version."""
    digest = hashlib.sha256()
    settings = registry_settings(config)
    for piece in (
        package_version("sealgate"),
        ruleset.version,
        dictionaries.version,
        repr(settings),
        config.gateway.mode,
        str(config.gateway.attachment_text),
        *(f"{name}\0{text}" for name, text in sorted(yara_source(config).items())),
    ):
        digest.update(hashlib.sha256(piece.encode()).digest())
    return "sha256:" + digest.hexdigest()[:16]


def keep_files(config: Config, folder: Path) -> Config:
    """Copy the operator's rules to where nobody edits them, and give the configuration that reads them from there."""
    if not config.policies.dir:
        return config
    shutil.copytree(config.policies.dir, folder, dirs_exist_ok=True)
    return replace(config, policies=replace(config.policies, dir=folder))
