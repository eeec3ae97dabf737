"""Every code that opening attachments may report, for the catalogue that policies are checked against."""

from scanners.finding import Code, Severity

UNREADABLE = Code(
    "content.unreadable",
    Severity.MEDIUM,
    "内容无法解读，未被扫描",
    "The content could not be decoded and so was not scanned",
)
ENCRYPTED = Code(
    "content.encrypted", Severity.MEDIUM, "内容已加密，未被扫描", "The content is encrypted and so was not scanned"
)
DECRYPTED = Code(
    "content.decrypted",
    Severity.LOW,
    "已用邮件中的口令打开加密内容",
    "Encrypted content was opened with a password found in the mail itself",
)
CRASHES = Code(
    "content.crashes",
    Severity.HIGH,
    "解码此内容会使解码器崩溃，未被扫描",
    "Decoding this content crashes the decoder; it was not scanned",
)
LIMIT = Code(
    "content.limit.*",
    Severity.HIGH,
    "达到解码上限，其余内容未被扫描",
    "A decoding limit was met; the rest was not scanned",
)
YARA = Code("malware.yara.*", Severity.CRITICAL, "YARA 规则命中", "A YARA rule matched")
CLAMAV = Code("malware.clamav", Severity.CRITICAL, "ClamAV 发现恶意代码", "ClamAV found malware")
DANGEROUS = Code(
    "attachment.dangerous_type",
    Severity.HIGH,
    "附件是可执行或危险类型",
    "The attachment is an executable or otherwise dangerous type",
)
SCRIPT = Code(
    "attachment.script",
    Severity.MEDIUM,
    "文件内容是脚本，名称却看不出",
    "The lines of the file are a script, which its name does not say; about is the language",
)
DOUBLE_EXTENSION = Code(
    "attachment.double_extension",
    Severity.HIGH,
    "文件名伪装扩展名（双扩展名、从右到左字符或大量空格）",
    "The file name disguises its extension (two extensions, right-to-left override, many blanks)",
)
MISMATCH = Code(
    "attachment.type_mismatch",
    Severity.MEDIUM,
    "附件的真实类型与名称或声明不符",
    "The true type is not what the name or the declared type says",
)
MACRO = Code("attachment.macro", Severity.HIGH, "Office 文档含宏", "The office document contains macros")
TEMPLATE = Code(
    "attachment.remote_template",
    Severity.HIGH,
    "文档会加载远程模板或外部对象",
    "The document loads a remote template or external object",
)
ACTIVE_PDF = Code(
    "attachment.pdf_action",
    Severity.HIGH,
    "PDF 含脚本、启动动作或内嵌文件",
    "The PDF contains a script, a launch action or an embedded file",
)
SMUGGLING = Code(
    "attachment.html_smuggling",
    Severity.HIGH,
    "HTML 用脚本在本地拼出文件（HTML 走私）",
    "The HTML builds a file by script (HTML smuggling)",
)
AMBIGUOUS = Code(
    "attachment.archive_ambiguous",
    Severity.MEDIUM,
    "压缩包自相矛盾，不同程序会看到不同内容",
    "The archive contradicts itself: different programs see different contents",
)
EMBEDDED = Code("attachment.ole_object", Severity.MEDIUM, "文档内嵌 OLE 对象", "The document embeds an OLE object")
QR = Code("url.qr", Severity.LOW, "图片中的二维码", "A QR code in an image")

CODES = (
    UNREADABLE, ENCRYPTED, DECRYPTED, CRASHES, LIMIT, YARA, DANGEROUS, DOUBLE_EXTENSION, MISMATCH, MACRO, TEMPLATE, ACTIVE_PDF,
    SMUGGLING, AMBIGUOUS, EMBEDDED, QR, SCRIPT,
)  # fmt: skip
"""What the opener puts into ``Message.defects``; ``malware.clamav`` is declared by ClamavScanner itself."""
