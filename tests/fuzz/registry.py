"""The explicit list of targets with the share of the time that each gets."""

import importlib
from collections.abc import Callable, Mapping
from typing import cast

from tests.fuzz.target import Target

WEIGHTS: Mapping[str, int] = {
    "mime": 20,
    "attachments": 15,
    "charset": 4,
    "html": 4,
    "words": 5,
    "authentication": 5,
    "treatments": 4,
    "disarm": 3,
    "bounce": 1,
    "signing": 1,
    "smtp": 4,
    "policy": 1,
    "keeper": 1,
    "journal": 1,
}
"""Minutes of an hour's run. The more of the code a stranger's bytes reach, the more."""


def load(name: str) -> Target:
    """The target of that name; its module is imported here, so that the runner can instrument what it imports."""
    module = importlib.import_module(f"tests.fuzz.targets.{name}")
    return cast("Callable[[], Target]", module.target)()
