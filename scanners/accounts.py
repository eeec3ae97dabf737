"""Bank accounts: ours or someone else's, and words that ask to pay into a new one."""

from dataclasses import dataclass

from scanners.finding import Code, Severity

OWN = Code("content.account.own", Severity.INFO, "出现本公司银行账号", "A bank account of our own")
FOREIGN = Code(
    "content.account.foreign",
    Severity.HIGH,
    "出现他方银行账号或银行资料",
    "A bank account that is not ours, or bank details",
)
CHANGED = Code(
    "impersonation.changed_account",
    Severity.HIGH,
    "账号附近有变更收款账户的说法",
    "Words about a changed account next to an account number",
)
CODES = (OWN, FOREIGN, CHANGED)

ACCOUNT_WORDS = (
    "账号", "账户", "卡号", "开户行", "account no", "account number", "account:", "a/c", "acct", "acc no", "acc. no", "iban", "beneficiary",
)  # fmt: skip
"""One of these within 24 characters makes a number of 9 to 22 digits an account."""
ACCOUNT_LENGTHS = range(9, 23)
CHANGE_REACH = 300
"""Bytes between an account number and the words that say it is new: the same paragraph."""

DETAILS = "(?i)银行账[号户]|收款账[号户]|对公账户|开户银?行|beneficiary (?:account|bank)|bank (?:account|details)|wire instructions"
"""Bank details are spoken of, with or without a number."""
CHANGE = (
    "(?i)(?:变更|更换|更改|修改|更新|启用|改为|换成?)[^。\\n]{0,12}(?:账[号户]|银行|收款)|(?:账[号户]|银行资料|收款信息)[^。\\n]{0,12}(?:变更|更换|更改|变动|已换|停用|冻结|审计)"
    "|新(?:的)?(?:收款|银行)?账[号户]|原账[号户]|(?:new|updated|changed?|revised)[^.\\n]{0,30}(?:bank|account|beneficiary)"
    "|(?:bank|account|beneficiary)[^.\\n]{0,30}(?:has|have|was|were|been|is) (?:been )?(?:changed|updated|under audit|closed|frozen)"
    "|(?:not|stop|no longer)[^.\\n]{0,20}(?:old|previous|former|earlier)[^.\\n]{0,15}account|新(?:しい)?口座|口座[^。\\n]{0,12}変更"
    "|(?:neue?n?|geändert\\w*)[^.\\n]{0,40}(?:iban|konto|bankverbindung)|(?:konto|bankverbindung)[^.\\n]{0,40}geändert"
    "|(?:nuev[ao]|cambi\\w+)[^.\\n]{0,30}(?:iban|cuenta)|cuenta[^.\\n]{0,30}cambi\\w+"
    "|(?:nouve(?:l|au|lle)s?|chang\\w+)[^.\\n]{0,30}(?:iban|compte|bancaires)|(?:compte|bancaires)[^.\\n]{0,30}chang\\w+"
)
"""Words that ask to pay elsewhere from now on."""


@dataclass(frozen=True, slots=True)
class Account:
    """One account number in a text: compact form and place in bytes."""

    number: str
    start: int
    end: int


def compact(number: str) -> str:
    """Letters and digits only, upper case: how accounts are compared."""
    return "".join(character for character in number.upper() if character.isalnum())
