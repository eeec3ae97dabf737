"""A rules engine and pool for the attachment tests."""

from pathlib import Path

import pytest

from scanners.attachments import yara
from scanners.attachments.yara import CompiledRules, YaraEngine


@pytest.fixture(scope="session")
def rules() -> CompiledRules:
    """The shipped rules."""
    return yara.compile_rules()


@pytest.fixture(scope="session")
def rules_file(rules: CompiledRules, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped rules as decoders load them."""
    return rules.save(tmp_path_factory.mktemp("rules"))


@pytest.fixture(scope="session")
def engine(rules_file: Path) -> YaraEngine:
    """The shipped rules, loaded."""
    return yara.load_rules(rules_file)
