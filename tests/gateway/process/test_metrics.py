"""No dead metric: each is counted or set by a line of code, and those of the mail's way by mail."""

import re
from pathlib import Path

import pytest

from gateway.process import metrics

ROOT = Path(metrics.__file__).parents[1]
DECLARED = [
    name for name, value in vars(metrics).items() if hasattr(value, "describe") and hasattr(value, "_labelnames")
]
CODE = "\n".join(path.read_text("utf-8") for path in ROOT.rglob("*.py") if path.name != "metrics.py")


@pytest.mark.parametrize("name", DECLARED)
def test_each_is_counted_somewhere(name: str) -> None:
    bound = re.search(rf"(\w+) = cache\(metrics\.{name}\.labels\)", CODE)
    counter = rf"{bound[1]}\([^\n]*\)" if bound else rf"{name}(\.labels\([^\n]*\))?"
    assert re.search(rf"\b{counter}\.(inc|set|observe)\(", CODE), name


@pytest.mark.parametrize("name", DECLARED)
def test_named_as_ours_and_explained_in_both_languages(name: str) -> None:
    (family, *_) = getattr(metrics, name).describe()
    assert family.name.startswith("sealgate_")
    assert re.search("[\u4e00-\u9fff]", family.documentation)
    assert re.search("[A-Za-z]{3}", family.documentation)


def test_labels_are_few_and_never_personal() -> None:
    labels = {label for name in DECLARED for label in getattr(metrics, name)._labelnames}
    assert labels <= {"direction", "outcome", "scanner", "rule", "result", "listener", "code", "role", "state"}
