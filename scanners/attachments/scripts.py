# ruff: noqa: E501 - a table reads best with a row per line
"""Is this text a script, whatever its name? By its lines: what only programs of Windows or a shell would be told.

A name is changed in a moment, and a mail that says "rename it to .bat" is the oldest trick of all.
"""

from functools import cache
from typing import Any

import re2

from scanners.attachments.codes import SCRIPT
from scanners.attachments.filetype import EXECUTABLE, extension
from scanners.attachments.reading import Note, Reading
from scanners.patterns import RE2_MEMORY

_SURE: tuple[tuple[str, str], ...] = (
    ("powershell", r"(?i)New-Object\s+(?:-\w+\s+)?(?:System\.)?Net\.WebClient|\bIEX\s?\(|\bInvoke-(?:Expression|WebRequest|RestMethod)\b"
                   r"|powershell(?:\.exe)?[\"']?\s+[-/](?:nop|noni|w|ep|ex|e|en|enc|c|command|file|windowstyle|executionpolicy)"),
    ("powershell", r"(?im)^\s*(?:Set-ExecutionPolicy|Add-Type\s+-|Start-BitsTransfer|Add-MpPreference)\b"),
    ("batch", r"(?im)^\s*@echo\s+off\b"),
    ("batch", r"(?im)^\s*@?(?:start\s+\"\"\s|cmd(?:\.exe)?\s+/[ck]\s|certutil(?:\.exe)?\s+-|rundll32(?:\.exe)?\s|regsvr32(?:\.exe)?\s|mshta(?:\.exe)?\s|bitsadmin(?:\.exe)?\s+/)"),
    ("vbscript", r"(?i)CreateObject\s?\(\s?\"(?:WScript|Scripting|MSXML2|Microsoft\.XMLHTTP|WinHttp|ADODB|Shell\.Application)"),
    ("vbscript", r"(?im)^\s*(?:ExecuteGlobal\s|On\s+Error\s+Resume\s+Next\s*$)"),
    ("jscript", r"ActiveXObject\s?\(|WScript\.(?:CreateObject|Shell|Arguments|ScriptFullName|Sleep|Quit)"),
    ("vbscript", r"(?i)<script[^>]{1,80}language\s?=\s?[\"']?(?:vbscript|jscript\.encode|vbscript\.encode)"),
    ("hta", r"(?i)<hta:application"),
    ("wsf", r"(?i)<job(?:\s[^>]{0,80})?>\s*<(?:script|reference|object|runtime)|<package>\s*<job"),
    ("scriptlet", r"(?i)<scriptlet>|<registration\s[^>]{0,200}(?:progid|classid)|<(?:ms|msxsl|user):script\b"),
    ("registry", r"\A\s*(?:Windows Registry Editor Version|REGEDIT4)"),
    ("setup information", r"(?i)signature\s?=\s?\"?\$(?:chicago|windows nt|windows 95)\$"),
    ("shortcut", r"(?im)^\[(?:InternetShortcut|Desktop Entry|\{000214A0-0000-0000-C000-000000000046\})\]"),
    ("library", r"schemas\.microsoft\.com/(?:windows/2009/(?:library|searchConnector)|Search/2013/SettingContent)|<searchConnectorDescription"),
    ("remote desktop", r"(?im)^(?:full address|remoteapplicationprogram|alternate full address):s:"),
    ("java web start", r"(?i)<jnlp[\s>]"),
    ("web query", r"\AWEB\r?\n1\r?\n(?i:https?|file):"),
    ("shell", r"\A#!\s?/"),
    ("shell", r"(?im)\b(?:curl|wget)\s[^\n|]{1,300}\|\s?(?:sudo\s+)?(?:ba|z|da)?sh\b"),
    ("php", r"(?i)<\?php\s"),
)  # fmt: skip
"""One is enough."""
_LIKELY: tuple[tuple[str, str], ...] = (
    ("powershell", r"(?im)^\s*\$[a-z_]\w*\s?=\s?(?:\[|\(|New-Object|Get-|\$env:)"),
    ("powershell", r"(?i)\$env:(?:temp|appdata|userprofile|public|windir)|\bStart-Process\s|\.Download(?:File|String)\s?\(|FromBase64String\s?\("),
    ("batch", r"(?im)^\s*(?:setlocal|endlocal|goto\s+:?\w+|pause|:\w+)\s*$"),
    ("batch", r"(?im)^\s*(?:set\s+(?:/[ap]\s+)?\w+=|if\s+(?:not\s+)?exist\s|for\s+/[fdlr]\s+%%|copy\s+/y\s|del\s+/[qfs]\s|reg\s+add\s|schtasks\s+/|net\s+(?:user|use)\s|wmic\s)"),
    ("vbscript", r"(?im)^\s*Dim\s+\w+(?:\s?,\s?\w+)*\s*$"),
    ("vbscript", r"(?im)^\s*Set\s+\w+\s?=\s?(?:Create|Get)Object"),
    ("python", r"(?m)^(?:import|from)\s+(?:os|sys|socket|subprocess|ctypes|urllib|requests|base64)\b"),
    ("python", r"\b(?:subprocess\.\w+|os\.(?:system|popen|dup2|execv?)|socket\.socket|ctypes\.windll|exec)\s?\("),
    ("shell", r"(?m)^\s*(?:chmod\s+(?:\+x|[0-7]{3})|sudo\s|export\s+\w+=|echo\s.{1,200}>>?\s?/|crontab\s|nohup\s)"),
    ("shell", r"(?m)^\s*(?:if\s+\[|for\s+\w+\s+in\s|while\s+read|curl\s+-|wget\s+-|/bin/(?:ba)?sh\b|eval\s+[\"$])"),
)  # fmt: skip
"""Two of one language are: people quote single lines of these in letters."""


@cache
def _patterns() -> Any:
    """Compiled at the first use."""
    options = re2.Options()
    options.max_mem = RE2_MEMORY
    options.log_errors = False
    every = re2.Set.SearchSet(options)
    for _, pattern in (*_SURE, *_LIKELY):
        every.Add(pattern)
    every.Compile()
    return every


def language(text: str) -> str:
    """The language of the script that ``text`` is, or ``""``. One pass."""
    present: list[int] = sorted(_patterns().Match(text.encode("utf-8", "replace")) or ())
    if not present:
        return ""
    if present[0] < len(_SURE):
        return _SURE[present[0]][0]
    likely = [_LIKELY[index - len(_SURE)][0] for index in present]
    return next((one for one in likely if likely.count(one) > 1), "")


def look(text: str, reading: Reading) -> None:
    """Say that a file is a script where its name does not."""
    if extension(reading.name) in EXECUTABLE:
        return
    found = language(text)
    if found:
        reading.note(Note(SCRIPT, f"the lines of a script: {found}", about=found))
