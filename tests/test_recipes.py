"""The recipes of CONTRIBUTING.md, applied to a copy of the tree and run: what a page says to write is what works."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "CONTRIBUTING.md"
PACKAGES = ("gateway", "policies", "scanners", "audit", "tests", "tools")
FENCE = re.compile(r"^```(python|toml|diff)\n(.*?)^```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Recipe:
    """One section: whole new files, and hunks of files that exist."""

    files: tuple[tuple[str, str], ...]
    hunks: tuple[tuple[str, str, str], ...]


def recipes() -> dict[str, Recipe]:
    found = {}
    for section in PAGE.read_text(encoding="utf-8").split("\n## Recipe: ")[1:]:
        title, _, body = section.partition("\n")
        body = body.partition("\n## ")[0]
        files, hunks = [], []
        for kind, text in FENCE.findall(body):
            if kind == "diff":
                hunks += list(hunks_of(text))
            else:
                first, _, rest = text.partition("\n")
                files.append((first.removeprefix("# "), rest))
        found[title.removeprefix("a ").removeprefix("an ")] = Recipe(tuple(files), tuple(hunks))
    return found


def hunks_of(text: str):
    """(file, old lines, new lines); a hunk says what stands there, not where, so that lines added elsewhere don't matter."""
    for block in text.split("--- a/")[1:]:
        name, _, rest = block.partition("\n")
        for hunk in rest.split("\n@@\n")[1:]:
            lines = hunk.rstrip("\n").split("\n")
            yield (
                name,
                "".join(line[1:] + "\n" for line in lines if line[:1] in ("", " ", "-")),
                "".join(line[1:] + "\n" for line in lines if line[:1] in ("", " ", "+")),
            )


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """A copy of the tree with all recipes applied."""
    copy = tmp_path_factory.mktemp("tree")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    for title, recipe in recipes().items():
        for name, text in recipe.files:
            assert not (copy / name).exists(), f"{title}: {name} exists already; choose another example"
            (copy / name).write_text(text, encoding="utf-8")
        for name, old, new in recipe.hunks:
            before = (copy / name).read_text(encoding="utf-8")
            assert before.count(old) == 1, f"{title}: {name} has these lines {before.count(old)} times:\n{old}"
            (copy / name).write_text(before.replace(old, new), encoding="utf-8")
    return copy


def python(tree: Path, *arguments: str) -> str:
    """Run in the copy, whose packages come before the installed ones."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_every_kind_of_part_has_a_recipe() -> None:
    assert set(recipes()) == {
        "scanner", "built-in rule", "treatment", "storage backend", "event type", "setting", "command",
    }  # fmt: skip
    assert all(recipe.files or recipe.hunks for recipe in recipes().values())


def test_the_scanner_runs_and_is_in_the_catalogue(tree: Path) -> None:
    python(tree, "-m", "pytest", "tests/scanners/test_replies.py", "-q", "-p", "no:xdist")
    said = python(tree, "-c", "from scanners.registry import CATALOGUE; print([c.code for c in CATALOGUE])")
    assert "'impersonation.fake_reply'" in said


def test_the_rule_loads_with_its_examples(tree: Path) -> None:
    """And fails when the scanner says nothing: the example does look at the finding."""
    (tree / "sealgate.toml").write_text(
        '[gateway]\nhostname = "gw.corp.test"\nlocal_domains = ["corp.test"]\n', encoding="utf-8"
    )
    assert "good" in python(tree, "-m", "gateway.cli", "check")
    scanner = tree / "scanners" / "replies.py"
    text = scanner.read_text(encoding="utf-8")
    scanner.write_text(text.replace("if not answers or", "if True or"), encoding="utf-8")
    try:
        with pytest.raises(AssertionError, match="reply-to-nothing-about-payment"):
            python(tree, "-m", "gateway.cli", "check")
    finally:
        scanner.write_text(text, encoding="utf-8")


def test_the_treatment_is_done_once_and_rules_may_name_it(tree: Path) -> None:
    python(
        tree,
        "-c",
        """
from datetime import UTC, datetime
from gateway.config import Route
from gateway.treatments.table import apply
from policies.decision import TREATMENTS, Treatment
assert "subject" in [kind.name for kind in TREATMENTS]
wanted, route = [Treatment("subject", "[外]")], Route("*", "smtp://127.0.0.1:25")
raw = b"From: a@b.test\\r\\nSubject: hi\\r\\n\\r\\ntext\\r\\n"
once = b"".join(apply(raw, wanted, route, message_id="M", at=datetime.now(UTC)).pieces)
assert b"Subject: =?utf-8?b?W+WkllOd?= hi" in once or b"?utf-8?" in once.splitlines()[1], once
assert once.endswith(b" hi\\r\\n\\r\\ntext\\r\\n") and once.startswith(b"From: a@b.test\\r\\nSubject: =?")
assert b"".join(apply(once, wanted, route, message_id="M", at=datetime.now(UTC)).pieces) == once
""",
    )


def test_the_backend_keeps_the_contract(tree: Path) -> None:
    said = python(tree, "-m", "pytest", "tests/contracts/test_store.py", "-k", "rollback", "-q", "-p", "no:xdist")
    assert said.count(".") >= 10


def test_the_event_type_is_documented_and_the_event_is_made(tree: Path) -> None:
    python(
        tree,
        "-c",
        """
from datetime import UTC, datetime
from audit.catalogue import TYPES
from audit.event import Actor, line
from gateway.replayed import replayed
from tools.reference import events
event = replayed("0" * 26, datetime.now(UTC), Actor("operator", "li"), "abc", 3)
assert event.type in [each.name for each in TYPES]
assert "`policy.replay`" in events()
""",
    )


def test_the_setting_is_read_checked_and_documented(tree: Path, tmp_path: Path) -> None:
    head = '[gateway]\nhostname = "gw.test"\nlocal_domains = ["corp.test"]\n[console]\n'
    (tmp_path / "good.toml").write_text(head + "probe_s = 0.5\n", encoding="utf-8")
    (tmp_path / "bad.toml").write_text(head + "prob_s = 0.5\n", encoding="utf-8")
    code = "import sys; from pathlib import Path; from gateway.config import load; print(load(Path(sys.argv[1])).console.probe_s)"
    assert python(tree, "-c", code, str(tmp_path / "good.toml")).strip() == "0.5"
    with pytest.raises(AssertionError, match="probe_s"):
        python(tree, "-c", code, str(tmp_path / "bad.toml"))
    assert "`probe_s`" in python(tree, "-c", "from tools.reference import settings; print(settings())")
    python(tree, "-c", "import gateway.process.console")


def test_the_command_is_listed_and_runs(tree: Path, tmp_path: Path) -> None:
    path = tmp_path / "sealgate.toml"
    path.write_text(
        '[gateway]\nhostname = "gw.test"\nlocal_domains = ["corp.test"]\n'
        '[[route]]\nrecipients = "corp.test"\nto = "smtp://10.0.0.5:25"\n',
        encoding="utf-8",
    )
    assert "routes" in python(tree, "-m", "gateway.cli", "--help")
    asked = ("-m", "gateway.cli", "routes", "--config", str(path))
    assert python(tree, *asked, "li@corp.test").strip() == "smtp://10.0.0.5:25"
    with pytest.raises(AssertionError, match="no route"):
        python(tree, *asked, "li@elsewhere.test")
