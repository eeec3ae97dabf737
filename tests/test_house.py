"""The laws of the house as checks, beyond the import contracts of pyproject.toml. Every exception stands here with its reason."""

import argparse
import ast
import asyncio
import logging
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from gateway import cli
from gateway.process import metrics
from gateway.store.protocol import Blobs, Store

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("gateway", "policies", "scanners", "audit")

CLOCKS = {"datetime.now", "time.time", "time.time_ns"}
ENVIRONMENT = {"os.environ", "os.getenv"}
ROOTS = {
    "gateway/process/worker.py": "composition root of a worker",
    "gateway/custody/desk.py": "composition of queue and commands: gives clock and ids to custody",
    "gateway/recording/keeper.py": "composition root of the keeper",
    "gateway/process/supervisor.py": "composition root of a gateway: says which variables children inherit",
    "gateway/process/console.py": "composition root of the console: the age of a file is compared with its clock",
    "gateway/checkup/": "what `sealgate doctor` looks at: this machine's clock is one of the things checked",
    "gateway/recording/unsealing.py": "composition of commands that open sealed fields",
    "gateway/demo/mails.py": "dates the demo's letters as a mail program does",
    "gateway/demo/stage.py": "starts a gateway as a shell does, in this environment",
    "gateway/commands/": "a command is its own composition root; it hands the time on as an argument",
}
"""Where the time of day or the environment may be read. ``time.monotonic`` handed on as a function is no reading."""

REGEXES = {
    "gateway/smtp/addresses.py": "constant patterns over command lines of at most 2 kB",
    "gateway/usage.py": "argparse's own messages about a command line",
    "gateway/commands/find.py": "splits an operator's --since",
    "scanners/numbers.py": "constant runs of ASCII digits, no alternatives",
    "scanners/attachments/sheet.py": "constant patterns, in a decoder whose alarm ends a job that takes too long",
    "scanners/text.py": "constant, character classes without nesting: linear in the text",
    "scanners/normalise.py": "constant character classes, one at a time",
    "scanners/authentication/results.py": "constant pattern for field names",
    "scanners/authentication/canonical.py": "constant classes of blanks, each followed by what they can't be",
}
"""Users of the standard library's backtracking matcher: constant patterns only. All others use RE2 or code by hand."""

DOUBTED = {"utils", "util", "helpers", "helper", "common", "misc", "tools", "manager"}


def sources(*packages: str) -> list[Path]:
    return sorted(path for package in packages or PACKAGES for path in (ROOT / package).rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def allowed(path: Path, exceptions: dict[str, str]) -> bool:
    return any(name(path) == each or (each.endswith("/") and name(path).startswith(each)) for each in exceptions)


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [path for each in listed.stdout.decode().split("\0") if each and (path := ROOT / each).is_file()]


def test_no_file_is_named_for_not_knowing_where_it_belongs() -> None:
    assert [name(path) for path in sources() if path.stem in DOUBTED] == []


def dotted(node: ast.expr) -> str:
    return ast.unparse(node) if isinstance(node, ast.Attribute) else ""


def test_time_of_day_and_environment_are_read_in_composition_roots_only() -> None:
    read = [
        f"{name(path)}:{node.lineno} {dotted(node)}"
        for path in sources()
        if not allowed(path, ROOTS)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and dotted(node) in CLOCKS | ENVIRONMENT
    ]
    assert read == []


def test_policies_and_the_verifier_have_no_clock_at_all() -> None:
    pure = [*sources("policies"), *(ROOT / "audit" / each for each in ("merkle.py", "notes.py", "keytree.py"))]
    clocks = {"time", "random", "secrets", "socket", "logging"}
    assert [f"{name(path)} {word}" for path in pure for word in imports(path) if word.partition(".")[0] in clocks] == []


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("exceptions", [ROOTS, REGEXES])
def test_every_exception_is_still_needed(exceptions: dict[str, str]) -> None:
    for each in exceptions:
        assert (ROOT / each).exists(), f"{each} is gone: take it off the list"
    for each in REGEXES:
        assert "re" in imports(ROOT / each), f"{each} no longer imports re: take it off the list"


def test_the_backtracking_matcher_is_used_on_constant_patterns_in_listed_files_only() -> None:
    users = [name(path) for path in sources() if "re" in imports(path)]
    assert [each for each in users if each not in REGEXES] == []
    for each in users:
        for outer in tree(ROOT / each).body:
            if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):  # elsewhere no mail is at hand
                for node in ast.walk(outer):
                    if (
                        isinstance(node, ast.Call)
                        and dotted(node.func).startswith("re.")
                        and dotted(node.func) != "re.escape"
                    ):
                        assert isinstance(node.args[0], ast.Constant), (
                            f"{each}:{node.lineno}: the pattern is not constant"
                        )


def test_nothing_is_swallowed_in_silence() -> None:
    """``except Exception`` (or bare) must do something; ``suppress`` must name what it suppresses."""
    silent = []
    for path in sources():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ExceptHandler) and broad(node.type):
                does = [each for each in node.body if not isinstance(each, ast.Pass | ast.Continue)]
                if not does or all(
                    isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant) for each in does
                ):
                    silent.append(f"{name(path)}:{node.lineno}")
            if isinstance(node, ast.Call) and dotted(node.func).endswith(".suppress") and any(map(broad, node.args)):
                silent.append(f"{name(path)}:{node.lineno}")
    assert silent == []


def broad(node: ast.expr | None) -> bool:
    return node is None or (isinstance(node, ast.Name) and node.id in ("Exception", "BaseException"))


def test_an_init_holds_a_docstring_and_nothing_else() -> None:
    for path in sources():
        if path.name == "__init__.py":
            body = tree(path).body
            assert ast.get_docstring(tree(path)), f"{name(path)} says nothing"
            assert len(body) == 1, f"{name(path)} holds more than a docstring: importing a package must load nothing"


def test_importing_does_nothing() -> None:
    """At module level only definitions, assignments, imports, guards for types and for being run."""
    quiet = (
        ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef, ast.Assign, ast.AnnAssign,
    )  # fmt: skip
    loud = []
    for path in sources():
        for node in tree(path).body:
            text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            guard = isinstance(node, ast.If) and any(
                word in ast.unparse(node.test)
                for word in ("__name__", "TYPE_CHECKING", "sys.version_info", "sys.platform")
            )
            optional = isinstance(node, ast.Try) and all(
                isinstance(each, ast.Import | ast.ImportFrom) for each in node.body
            )
            if not (isinstance(node, quiet) or text or guard or optional):
                loud.append(f"{name(path)}:{node.lineno} {ast.unparse(node)[:60]}")
    assert loud == []


EXPLAINED_ELSEWHERE: dict[str, type] = {
    "gateway/store/database.py SqlStore": Store,
    "gateway/store/blobs.py FolderBlobs": Blobs,
    "gateway/smtp/wire.py Wire": asyncio.Protocol,
    "gateway/process/logs.py JsonLines": logging.Formatter,
}
"""Classes that are one implementation of a documented protocol: its verbs are explained there, once."""


def test_what_is_public_is_explained() -> None:
    """Modules, classes, functions and methods whose names don't begin with an underscore have a docstring."""
    mute = []
    for path in sources():
        if not ast.get_docstring(tree(path)):
            mute.append(name(path))
        for owner, node in public(tree(path), ""):
            protocol = EXPLAINED_ELSEWHERE.get(f"{name(path)} {owner.rstrip('.')}", object)
            if not ast.get_docstring(node) and not hasattr(protocol, node.name) and node.name != "close":
                mute.append(f"{name(path)}:{node.lineno} {owner}{node.name}")
    assert mute == []


def public(
    node: ast.Module | ast.ClassDef, owner: str
) -> Iterator[tuple[str, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]]:
    for each in node.body:
        if isinstance(each, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            special = each.name.startswith("__") and each.name.endswith("__")
            if each.name.startswith("_") or special:
                continue
            yield owner, each
            if isinstance(each, ast.ClassDef):
                yield from public(each, f"{each.name}.")


def commands() -> list[str]:
    return sorted(path.stem for path in (ROOT / "gateway" / "commands").glob("*.py") if path.stem != "__init__")


PARTS_OF_COMMANDS = {
    "deliveries": "what `sealgate held` and `sealgate queue` have in common",
    "replay": "a verb of `sealgate policy`, in a file of its own",
}


def test_every_command_is_listed_once() -> None:
    assert sorted(cli.COMMANDS) == [each for each in commands() if each not in PARTS_OF_COMMANDS]


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_a_commands_help_is_in_both_languages_and_shows_an_example(command: str) -> None:
    module = import_module(f"gateway.commands.{command}")
    assert callable(module.add)
    made = argparse.ArgumentParser(prog="sealgate")
    subparsers = made.add_subparsers()
    module.add(subparsers)
    parser = subparsers.choices[command]
    text = parser.format_help()
    assert "示例" in text, "no example in the help's epilog"
    assert f"sealgate {command}" in text
    for each in (parser.description, *(help_text for _, help_text in arguments(parser))):
        assert each, f"sealgate {command}: an argument without help"
    assert chinese(parser.description or ""), "the description has no Chinese"
    for owner, help_text in arguments(parser):
        assert chinese(help_text) or help_text == argparse.SUPPRESS, f"{owner}: {help_text!r} has no Chinese"
    assert runs(parser), "no run="


def test_every_verbs_own_help_has_its_sentence_and_an_example() -> None:
    made = next(action for action in cli.parser()._actions if isinstance(action, argparse._SubParsersAction))
    for command, parser in made.choices.items():
        for verb in [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]:
            for name, inner in verb.choices.items():
                assert chinese(inner.description or ""), f"sealgate {command} {name} --help has no sentence"
                assert f"sealgate {command} {name}" in (inner.epilog or ""), (
                    f"sealgate {command} {name} --help has no example"
                )


def arguments(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    """(command and argument, help) of a command and its verbs."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from ((f"{parser.prog} {each.dest}", each.help or "") for each in action._choices_actions)
            for inner in action.choices.values():
                yield from arguments(inner)
        elif not isinstance(action, argparse._HelpAction):
            yield f"{parser.prog} {action.dest}", action.help or ""


def runs(parser: argparse.ArgumentParser) -> bool:
    verbs = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if verbs:
        return all(runs(each) for action in verbs for each in action.choices.values())
    return callable(parser.get_default("run"))


def chinese(text: str) -> bool:
    return any("\u4e00" <= character <= "\u9fff" for character in text)


def test_metrics_are_named_for_us_and_labelled_with_words_of_ours() -> None:
    found = [value for value in vars(metrics).values() if hasattr(value, "describe") and hasattr(value, "_labelnames")]
    assert len(found) > 5
    for value in found:
        assert all(family.name.startswith("sealgate_") for family in value.describe())
        assert not {"address", "sender", "recipient", "client", "ip", "user", "domain"} & set(value._labelnames)


def test_requirements_are_locked_by_hash_and_name_no_place() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert not re.search(r"(?i)https?://|index-url|find-links|@ git|file:", text)
    entries = re.split(r"\n(?=[a-z0-9])", re.sub(r"(?m)^#.*\n", "", text).strip(), flags=re.IGNORECASE)
    assert len(entries) > 40
    assert [entry.split("\n")[0] for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []
    locked = {entry.partition("==")[0].lower().replace("_", "-") for entry in entries}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(each for group in project["optional-dependencies"].values() for each in group),
    ]
    names = {re.split(r"[<>=!~;\[ ]", each)[0].lower().replace("_", "-") for each in wanted}
    assert names - locked == set(), "run: make lock"


MACHINE = re.compile(
    rb"/work/|/home/[a-z]|/Users/|/tmp/w\b|\.internal\b|devpi|artifactory|nexus\.|pypi\.tuna|mirrors?\.(?:aliyun|ustc|tuna)|files\.pythonhosted|pypi\.org"
)


def test_no_registry_and_no_machines_path_stands_in_a_tracked_file() -> None:
    found = []
    for path in tracked():
        if path == Path(__file__).resolve():
            continue
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            if match := MACHINE.search(line):
                found.append(f"{name(path)}:{number} {match.group().decode()}")
    assert found == []


def test_the_service_file_is_what_systemd_takes(tmp_path: Path) -> None:
    unit = (ROOT / "deploy" / "sealgate.service").read_text(encoding="utf-8")
    for line in ("Type=notify", "KillMode=mixed", "StateDirectory=sealgate", "ProtectSystem=strict"):
        assert f"\n{line}\n" in unit
    copy = tmp_path / "sealgate.service"
    copy.write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", unit), encoding="utf-8")
    try:
        done = subprocess.run(
            ["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, timeout=300, check=False
        )
    except FileNotFoundError:
        pytest.skip("systemd-analyze missing: apt install systemd")
    said = [line for line in done.stderr.splitlines() if "sealgate.service" in line]
    assert said == [], done.stderr


def test_the_wheel_holds_all_that_is_read_at_run_time() -> None:
    """hatchling takes whole packages; a data file that git ignores or a package not listed would be missing after an install."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == set(PACKAGES)
    known = {name(path) for path in tracked()}
    data = [p for each in PACKAGES for p in (ROOT / each).rglob("*") if p.suffix in (".toml", ".yar", ".sql", ".html")]
    assert len(data) >= 7
    assert [name(path) for path in data if name(path) not in known] == []
