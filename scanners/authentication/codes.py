"""The codes of the authentication scanner, one sentence each."""

from scanners.finding import Code, Severity

NO_CLIENT = Code(
    "auth.spf.no_client",
    Severity.INFO,
    "可信前置没有给出客户端地址，未判定 SPF",
    "A trusted hop named no client; SPF was not judged",
)
LENGTH = Code(
    "auth.dkim.length",
    Severity.MEDIUM,
    "DKIM 签名带 l=，其后内容未受保护，不予采信",
    "A DKIM signature with l= leaves room for unsigned content and doesn't count",
)
WEAK_KEY = Code("auth.dkim.weak_key", Severity.LOW, "DKIM 密钥短于 2048 位", "A DKIM key is shorter than 2048 bits")
UNSIGNED = Code(
    "auth.dkim.unsigned_header",
    Severity.INFO,
    "有效 DKIM 签名未覆盖主题、日期等字段",
    "A valid DKIM signature leaves fields like Subject unsigned",
)
TOO_MANY = Code(
    "auth.dkim.too_many", Severity.LOW, "DKIM 签名过多，只验证了前十个", "More DKIM signatures than are verified"
)
ARC_TRUSTED = Code(
    "auth.arc.trusted",
    Severity.INFO,
    "受信任的 ARC 转发者证明转发前作者域名已通过验证",
    "A trusted ARC sealer vouches that the author domain was authenticated",
)
FROM_AMBIGUOUS = Code(
    "auth.from.ambiguous",
    Severity.HIGH,
    "发件人（From）有歧义，读者看到的可能不是被验证的人",
    "From is ambiguous: a reader may see somebody other than who was authenticated",
)
DUPLICATE = Code(
    "header.duplicate",
    Severity.MEDIUM,
    "只应出现一次的邮件头出现了多次",
    "A header field that may occur once occurs more often",
)
FOREIGN = Code(
    "auth.from.foreign",
    Severity.MEDIUM,
    "外发邮件的 From 不是本单位域名",
    "Outgoing mail whose From is not a domain of ours",
)

_WORDS = {
    "pass": (Severity.INFO, "通过", "passed"),
    "fail": (Severity.MEDIUM, "未通过", "failed"),
    "softfail": (Severity.LOW, "软失败", "soft-failed"),
    "neutral": (Severity.INFO, "中立", "was neutral"),
    "policy": (Severity.LOW, "签名方式不可接受，不予采信", "was signed in a way that isn't accepted"),
    "none": (Severity.INFO, "未发布或没有", "found nothing to check"),
    "temperror": (Severity.LOW, "因 DNS 暂时错误未能判定", "could not be judged for a temporary DNS error"),
    "permerror": (Severity.LOW, "记录或签名有误，无法判定", "could not be judged for a permanent error"),
}


def _codes(method: str, label: str, words: str) -> list[Code]:
    made = []
    for word in words.split():
        severity, zh, en = _WORDS[word]
        made.append(Code(f"auth.{method}.{word}", severity, f"{label} {zh}", f"{label} {en}"))
    return made


BY_CODE: dict[str, Code] = {
    code.code: code
    for code in (
        *_codes("spf", "SPF", "pass fail softfail neutral none temperror permerror"),
        *_codes("dkim", "DKIM", "pass fail policy neutral none temperror permerror"),
        *_codes("arc", "ARC", "pass fail none temperror"),
        *_codes("dmarc", "DMARC", "pass fail none temperror permerror"),
        Code(
            "auth.dmarc.policy_none",
            Severity.INFO,
            "DMARC 失败，域名所有者不要求处置",
            "DMARC failed; the domain's owner asks for nothing",
        ),
        Code(
            "auth.dmarc.policy_quarantine",
            Severity.MEDIUM,
            "DMARC 失败，域名所有者要求隔离",
            "DMARC failed; the domain's owner asks for quarantine",
        ),
        Code(
            "auth.dmarc.policy_reject",
            Severity.HIGH,
            "DMARC 失败，域名所有者要求拒收",
            "DMARC failed; the domain's owner asks for rejection",
        ),
    )
}
"""The codes made of a method and a verdict."""
BY_VERDICT = {(method, verdict): code for code in BY_CODE.values() for _, method, verdict in (code.code.split("."),)}
"""The same by method and verdict."""

CODES = (
    *BY_CODE.values(),
    NO_CLIENT,
    LENGTH,
    WEAK_KEY,
    UNSIGNED,
    TOO_MANY,
    ARC_TRUSTED,
    FROM_AMBIGUOUS,
    DUPLICATE,
    FOREIGN,
)
