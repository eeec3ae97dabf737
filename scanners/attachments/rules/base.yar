/*
   The rules that ship with Sealgate: few, general, and cheap. Put your own beside them in the configured folder.
   meta.severity: 0 info, 1 low, 2 medium, 3 high, 4 critical (default).
   meta.gate: what every match holds, alternatives parted by |, in any case, ascii or wide, bytes as { 0A FF }. When all rules have one,
   content with none of it is not given to YARA, at an eighth of the cost. Leave it out when in doubt.
*/

rule eicar
{
    meta:
        description = "EICAR anti-virus test file"
        severity = 4
        gate = "EICAR-STANDARD-ANTIVIRUS-TEST-FILE"
    strings:
        $test = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
    condition:
        $test
}

rule powershell_dropper
{
    meta:
        description = "PowerShell that downloads or decodes, and runs what it got"
        severity = 4
        gate = "powershell"
    strings:
        $shell = "powershell" ascii wide nocase
        $encoded = /-e(nc|ncodedcommand|c)?\s{1,8}[A-Za-z0-9+\/]{60}/ ascii wide nocase
        $get1 = "DownloadString" ascii wide nocase
        $get2 = "DownloadFile" ascii wide nocase
        $get3 = "Invoke-WebRequest" ascii wide nocase
        $get4 = "FromBase64String" ascii wide nocase
        $run1 = "Invoke-Expression" ascii wide nocase
        $run2 = "Start-Process" ascii wide nocase
        $run3 = "-windowstyle hidden" ascii wide nocase
        $run4 = "-w hidden" ascii wide nocase
        $run5 = "IEX(" ascii wide nocase
        $run6 = "IEX (" ascii wide nocase
    condition:
        $shell and ($encoded or (any of ($get*) and any of ($run*)))
}

rule script_dropper
{
    meta:
        description = "Windows script that fetches, writes and runs a file"
        severity = 4
        gate = "MSXML2.XMLHTTP | WinHttp.WinHttpRequest | URLDownloadToFile"
    strings:
        $http1 = "MSXML2.XMLHTTP" ascii wide nocase
        $http2 = "WinHttp.WinHttpRequest" ascii wide nocase
        $http3 = "URLDownloadToFile" ascii wide nocase
        $write = "ADODB.Stream" ascii wide nocase
        $run1 = "WScript.Shell" ascii wide nocase
        $run2 = "Shell.Application" ascii wide nocase
        $run3 = "ShellExecute" ascii wide nocase
    condition:
        any of ($http*) and any of ($run*) and ($write or $http3)
}

rule living_off_the_land
{
    meta:
        description = "Command lines that fetch and run code with the system's own tools"
        severity = 4
        gate = "mshta | regsvr32 | certutil | bitsadmin | rundll32"
    strings:
        $mshta = /mshta(\.exe)?["']?\s{1,4}["']?(https?:|vbscript:|javascript:)/ ascii wide nocase
        $regsvr = /regsvr32(\.exe)?\s[^\r\n]{0,40}\/i:https?:/ ascii wide nocase
        $certutil = /certutil(\.exe)?\s[^\r\n]{0,60}-urlcache/ ascii wide nocase
        $bits = /bitsadmin(\.exe)?\s[^\r\n]{0,40}\/transfer/ ascii wide nocase
        $rundll = /rundll32(\.exe)?\s{1,4}javascript:/ ascii wide nocase
    condition:
        any of them
}

rule ole_equation_editor
{
    meta:
        description = "Equation Editor object, the vehicle of CVE-2017-11882"
        severity = 3
        gate = "Equation.3 | 02ce020000000000c000000000000046 | { 02 CE 02 00 00 00 00 00 C0 00 00 00 00 00 00 46 }"
    strings:
        $name = "Equation.3" ascii wide nocase
        $clsid = { 02 CE 02 00 00 00 00 00 C0 00 00 00 00 00 00 46 }
        $hex = "02ce020000000000c000000000000046" ascii nocase
        $ole = { D0 CF 11 E0 A1 B1 1A E1 }
        $rtf = "{\\rt"
    condition:
        ($ole at 0 and ($clsid or $name)) or ($rtf at 0 and ($hex or $name))
}

rule rtf_object_autoload
{
    meta:
        description = "RTF that loads an embedded object without a click"
        severity = 3
        gate = "objupdate"
    strings:
        $rtf = "{\\rt"
        $update = "\\objupdate"
        $data = "\\objdata"
    condition:
        $rtf at 0 and $update and $data
}

rule office_dde
{
    meta:
        description = "Office field that starts a program (DDE)"
        severity = 3
        gate = "DDEAUTO"
    strings:
        $auto = "DDEAUTO" ascii wide
        $program1 = "cmd.exe" ascii wide nocase
        $program2 = "powershell" ascii wide nocase
        $program3 = "mshta" ascii wide nocase
    condition:
        $auto and any of ($program*)
}

rule follina
{
    meta:
        description = "ms-msdt protocol call (CVE-2022-30190)"
        severity = 4
        gate = "ms-msdt:"
    strings:
        $call = "ms-msdt:" ascii wide nocase
        $browse = "IT_BrowseForFile" ascii wide nocase
    condition:
        all of them
}

rule pdf_launch_command
{
    meta:
        description = "PDF launch action with a shell"
        severity = 4
        gate = "/Launch"
    strings:
        $pdf = "%PDF-"
        $launch = "/Launch"
        $program1 = "cmd.exe" nocase
        $program2 = "powershell" nocase
        $program3 = "mshta" nocase
    condition:
        $pdf in (0..1024) and $launch and any of ($program*)
}

rule php_or_jsp_webshell
{
    meta:
        description = "Script page that runs what a request sends"
        severity = 3
        gate = "$_POST | $_GET | $_REQUEST | $_COOKIE | getRuntime().exec("
    strings:
        $php = /(eval|assert|system|passthru|shell_exec)\s{0,4}\(\s{0,4}\$_(POST|GET|REQUEST|COOKIE)/ nocase
        $jsp = /Runtime\.getRuntime\(\)\.exec\(\s{0,4}request\.getParameter/
    condition:
        any of them
}
