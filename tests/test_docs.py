"""The documents are true: paths exist, modules are named, links lead somewhere, commands parse, and no command is unknown."""

import argparse
import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP

from gateway import cli
from gateway.custody.delivery import TRANSITIONS
from gateway.smtp.connection import Connection

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
TOP = ("ARCHITECTURE.md", "CONTRIBUTING.md", "README.md", "README.zh.md", "SECURITY.md")
PACKAGES = ("audit", "scanners", "policies", "gateway")
ROOMS = (*PACKAGES, *(f"gateway/{each}" for each in ("judging", "recording", "custody", "process")))
FOLDERS = (*PACKAGES, "tests", "docs", "tools", "deploy", "bench")
TREES = re.compile(rf"(?<![\w/.-])((?:{'|'.join(FOLDERS)}|\.ci)/[\w./*-]+)")
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    """Without the recipes' files and diffs: those name what does not exist yet."""
    return re.sub(r"(?ms)^```(?:diff|python|toml)\n.*?^```", "", text(page))


@pytest.mark.parametrize("page", TOP)
def test_every_path_that_is_named_exists(page: str) -> None:
    named = {each.rstrip(".,:;") for each in TREES.findall(prose(ROOT / page))}
    missing = [each for each in sorted(named) if not list(ROOT.glob(each.rstrip("/")))]
    assert [each for each in missing if each not in MADE_LATER] == []


MADE_LATER = {"audit/checkpoint"}
"""Paths of a state folder, which look like ours."""


@pytest.mark.parametrize("page", [page for page in PAGES if "decisions" in page.parts], ids=name)
def test_a_decision_names_code_that_exists(page: Path) -> None:
    named = {each.rstrip(".,:;") for each in TREES.findall(prose(page))} - MADE_LATER
    assert [each for each in sorted(named) if not list(ROOT.glob(each.rstrip("/")))] == []


def rooms() -> dict[str, str]:
    """Package -> its block under ## Rooms."""
    return dict(re.findall(r"(?ms)^### ([\w/]+)/\n```\n(.*?)^```", text(ROOT / "ARCHITECTURE.md")))


@pytest.mark.parametrize("room", ROOMS)
def test_every_module_has_its_place_in_the_architecture(room: str) -> None:
    block = rooms()[room]
    modules = {path.name for path in (ROOT / room).glob("*.py")} - {"__init__.py"}
    assert modules - set(re.findall(r"\b\w+\.py\b", block)) == set(), f"{room}: give it a line in ARCHITECTURE.md"
    assert set(re.findall(r"\b\w+\.py\b", block)) - modules == set(), f"{room}: ARCHITECTURE.md names what is gone"
    folders = {path.name for path in (ROOT / room).iterdir() if path.is_dir() and path.name != "__pycache__"}
    folders = {each for each in folders if any((ROOT / room / each).glob("*.*"))}
    assert folders == set(re.findall(r"\b(\w+)/(?=\s)", block))


def test_functions_that_the_architecture_names_are_there() -> None:
    """`Name.method` or `function` in `path.py`, and `function` in `path.py`, as the page writes them."""
    named = re.findall(r"`([A-Za-z_]+(?:\.[a-z_]+)?)` in `([\w/]+\.py)`", text(ROOT / "ARCHITECTURE.md"))
    assert len(named) > 12
    for words, path in named:
        defined = set(definitions(ROOT / path))
        assert words in defined, f"{path} has no {words}"


def definitions(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            yield node.name
            yield from (
                f"{node.name}.{each.name}"
                for each in node.body
                if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
            )
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"(?m)^#+ (.+)$", text(page))
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in LINK.findall(text(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        aim = (page.parent / path).resolve() if path else page
        if not aim.exists() or (anchor and aim.suffix == ".md" and anchor not in anchors(aim)):
            broken.append(target)
    assert broken == []


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = {target for target in LINK.findall(text(folder / "README.md")) if "/" not in target}
    assert listed == {page.name for page in folder.glob("*.md")} - {"README.md"}


def test_every_page_is_reached_from_the_docs_index() -> None:
    index = ROOT / "docs" / "README.md"
    listed = {
        (index.parent / target).resolve() for target in LINK.findall(text(index)) if not target.startswith("http")
    }
    decisions = ROOT / "docs" / "decisions"
    wanted = {page for page in (ROOT / "docs").rglob("*.md") if page.parent != decisions} | {decisions / "README.md"}
    assert {name(page) for page in wanted - {index} - listed} == set()


def shown() -> list[tuple[str, str]]:
    """(page, command) of every `sealgate ...` line in a fence, and of every one between backticks."""
    found = []
    for page in PAGES:
        for block in re.findall(r"(?ms)^```(?:sh|bash|console|)\n(.*?)^```", text(page)):
            for line in block.splitlines():
                line = line.strip().removeprefix("$ ").removeprefix(".venv/bin/")
                if line.startswith("sealgate "):
                    found.append((name(page), line))
        inline = re.findall(r"`((?:\.venv/bin/)?sealgate [^`]+)`", text(page))
        found += [(name(page), each.removeprefix(".venv/bin/")) for each in inline]
    return found


ELLIPSIS = re.compile(r"\s*(?:\.\.\.|…).*$|\s+(?:#|\s{2,}[A-Z\u4e00-\u9fff]).*$|\s{3,}.*$")


@pytest.mark.parametrize(("page", "line"), shown(), ids=lambda word: word[:60])
def test_a_command_that_is_shown_parses(page: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    short = "..." in line or "…" in line
    words = shlex.split(ELLIPSIS.sub("", line), comments=True)[1:]
    words = words[: words.index("<")] if "<" in words else words
    if words in (["--help"], ["-h"]):
        return
    assert words, f"{page}: {line}"
    if len(words) == 1 or short or words[-1] == "--code":  # a name in running text: the command or verb must exist
        assert words[0] in cli.COMMANDS, f"{page}: {line}"
        verbs = verbs_of(words[0])
        assert not verbs or len(words) < 2 or words[1].partition("/")[0] in verbs or words[1].startswith("-"), (
            f"{page}: {line}"
        )
        return
    status = 0
    try:
        cli.parser().parse_args(words)
    except SystemExit as stopped:
        status = int(stopped.code or 0)
    said = capsys.readouterr().err
    names_a_verb = len(words) == 2 and words[1] in verbs_of(words[0]) and "arguments are required" in said
    assert status == 0 or names_a_verb, f"{page}: {line}\n{said}"


def examples_in_help() -> list[tuple[str, str]]:
    made = next(action for action in cli.parser()._actions if isinstance(action, argparse._SubParsersAction))
    epilogs = [(command, parser.epilog or "") for command, parser in made.choices.items()]
    lines = [(command, line) for command, epilog in epilogs for line in epilog.splitlines() if "sealgate " in line]
    return [(f"{command} --help", line[line.find("sealgate ") :]) for command, line in lines]


@pytest.mark.parametrize(("page", "line"), examples_in_help())
def test_an_example_of_a_help_text_parses(page: str, line: str) -> None:
    cli.parser().parse_args(shlex.split(ELLIPSIS.sub("", line).partition(" < ")[0])[1:])


def verbs_of(command: str) -> set[str]:
    parser = next(
        action for action in cli.parser()._actions if isinstance(action, argparse._SubParsersAction)
    ).choices.get(command)
    actions = parser._actions if parser else []
    return {verb for action in actions if isinstance(action, argparse._SubParsersAction) for verb in action.choices}


def test_enough_commands_are_shown() -> None:
    assert len(shown()) > 25


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_is_documented(command: str) -> None:
    assert any(line.split()[1].strip("`,.;") == command for _, line in shown() if len(line.split()) > 1), (
        f"sealgate {command} is in no page: docs/commands.md"
    )


def test_make_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"(?m)^([a-z-]+):", text(ROOT / "Makefile")))
    named = {
        each for page in PAGES for each in re.findall(r"`make ([a-z-]+)|^make ([a-z-]+)", text(page), re.MULTILINE)
    }
    assert {first or second for first, second in named} - targets == set()


def test_what_the_decision_about_aiosmtpd_says_still_holds() -> None:
    """The base class gives nothing at run time; when that changes, docs/decisions/aiosmtpd-in-name.md must say so."""
    assert issubclass(Connection, SMTP)
    path = ROOT / "gateway" / "smtp" / "connection.py"
    (node,) = (
        each
        for each in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(each, ast.ClassDef) and each.name == "Connection"
    )
    attributes = [
        each for each in ast.walk(node) if isinstance(each, ast.Attribute) and ast.unparse(each.value) == "self"
    ]
    own = {each.attr for each in attributes if isinstance(each.ctx, ast.Store)}
    own |= {each.name for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
    used = {each.attr for each in attributes if isinstance(each.ctx, ast.Load)}
    assert used - own == set()
    assert "super()" not in ast.unparse(node)


def test_the_states_of_a_delivery_are_those_the_page_draws() -> None:
    page = text(ROOT / "docs" / "deliveries.md")
    for state, verb in TRANSITIONS:
        assert state.value.replace("-", "_") in page or state.value in page
        assert verb.value in page


def test_both_readmes_say_the_same_steps() -> None:
    """The Chinese page is no abridgement: the same commands, settings and links to pages of code."""
    english, chinese = text(ROOT / "README.md"), text(ROOT / "README.zh.md")
    for kind in (
        r"`((?:\.venv/bin/)?sealgate [^`]+)`",
        r"(?m)^(?:make|sealgate|swaks|export|git|kill) .*?(?=\s{2,}#|\s*$)",
    ):
        assert sorted(re.findall(kind, english)) == sorted(re.findall(kind, chinese))
