"""TOML of an operator into the readers of rules, word lists and settings: each raises its own error and nothing else."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from gateway import config
from policies import load
from policies.problem import PolicyError
from scanners import dictionaries
from scanners.registry import CATALOGUE
from tests.fuzz.target import Target

ROOT = Path(__file__).resolve().parents[3]


def run(data: bytes) -> None:
    """The text three times: as rules, as words, as settings."""
    text = data.decode("utf-8", "replace")
    with contextlib.suppress(PolicyError):
        rules = load.load([("fuzz.toml", text)], CATALOGUE)
        assert rules.version == load.load([("fuzz.toml", text)], CATALOGUE).version
    with contextlib.suppress(dictionaries.DictionaryError):
        dictionaries.load(text)
    with contextlib.suppress(config.ConfigError):
        config.parse(data, Path("/fuzz.toml"))


def seeds() -> Iterator[bytes]:
    """The built-in rules one by one, a list, a small word list and the settings of the documentation."""
    for path in sorted((ROOT / "policies" / "builtin").glob("*.toml")):
        for rule in path.read_text("utf-8").split("[[rule]]")[1:]:
            yield f"schema = 1\n[[rule]]{rule}".encode()
    yield b'schema = 1\n[[allow]]\nlist = "a"\nsender = "a@b.test"\nauth = "dmarc"\nreason = "x"\nexpires = 2030-01-01\n'
    yield (
        '[price]\nweight = 6\nany = ["底价", "cost price"]\nexcept = ["到底价"]\n'
        'regex = ["PO-\\\\d{6}"]\ntitle = { zh = "a", en = "b" }\n'
    ).encode()
    yield (
        b'[gateway]\nhostname = "gw.test"\nlocal_domains = ["corp.test"]\nstate_dir = "s"\ntrusted_hops = ["127.0.0.1/32"]\n'
        b'[dns]\nservers = ["127.0.0.1:53"]\n[[listener]]\nname = "i"\nbind = "127.0.0.1:25"\ndirection = "inbound"\n'
        b'[[route]]\nrecipients = "*"\nto = "smtp://127.0.0.1:26"\ntls = "required"\n[limits]\nmessages_per_minute = 1\n'
    )


def target() -> Target:
    """For the runner."""
    return Target("policy", run, seeds, max_bytes=8_192)
