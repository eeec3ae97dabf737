"""Text into normalisation, dictionaries, identifiers, impersonation and links; both engines must find the same."""

import asyncio
from collections.abc import Iterator

from scanners.dictionaries import find
from scanners.identifiers import IdentifierScanner
from scanners.impersonation import ImpersonationScanner, addresses
from scanners.normalise import normalise, skeleton
from scanners.registry import dictionaries_of
from scanners.urls import UrlScanner
from tests.fuzz.target import Target, declared
from tests.scanners.letters import AT, read
from tests.scanners.test_words import SHIPPED


class Words:
    """The scanners of words, made once."""

    def __init__(self) -> None:
        from scanners.dictionaries import load

        self._loop = asyncio.new_event_loop()
        self._lists = dictionaries_of()
        self._by_re2 = load(SHIPPED, engine="re2")
        self._identifiers = IdentifierScanner(("6222020200112233445",))
        self._others = (ImpersonationScanner(("corp.test",), ("张伟",)), UrlScanner())

    def close(self) -> None:
        """Let go of the loop."""
        self._loop.close()

    def run(self, data: bytes) -> None:
        """``sender`` LF ``subject`` LF ``text``."""
        text = data.decode("utf-8", "replace")
        folded = normalise(text)
        assert folded.data == folded.text.encode("utf-8", "replace")
        assert len(folded.text) <= 18 * len(text)
        assert 0 <= folded.place(len(folded.text)) <= max(folded.original, len(folded.text))
        sender, _, rest = data.partition(b"\n")
        subject, _, body = rest.partition(b"\n")
        skeleton(sender.decode("utf-8", "replace"))
        addresses(sender.decode("utf-8", "replace"))
        head = (
            b"From: "
            + sender.replace(b"\r", b"")
            + b"\r\nReply-To: b@acme.test\r\nSubject: "
            + subject.replace(b"\r", b"")
        )
        message = read(head + b"\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + body)
        texts = message.readings
        by_words = find(self._lists, texts)
        declared(by_words)
        assert by_words == find(self._by_re2, texts), "the engines differ"
        declared(self._identifiers.find(texts, AT))
        for scanner in self._others:
            declared(self._loop.run_until_complete(scanner.scan(message)).findings)


def seeds() -> Iterator[bytes]:
    """Numbers and words as people write and hide them."""
    for line in (
        '"张伟" <zhang@c0rp.test>\n合同总价\n本 合 同 总 價：USD 120,000.00，身份证 110101199003070014，手机 138-0013-8000',
        "a@xn--fiq228c.test\ncost price\nｃｏｓｔ ｐｒｉｃｅ сost рriсe 𝐜𝐨𝐬𝐭 到底价格 帐号 6222 0202 0011 2233 445",
        "=?utf-8?q?=E5=BC=A0?= <x@corp.tset>\n更改账户\n我司账号已变更 IBAN DE89 3704 0044 0532 0130 00 SWIFT DEUTDEFF",
        "x\n统一社会信用代码\n91350100M000100Y43 护照 E12345678 港澳 H12345678 车牌 粤B12345 http://1.2.3.4/a 1101 0119 9003 0700 14",
        "x\nx\n> 底价\n-----原始邮件-----\n成本价 机密★10年 病历 CVV 金额 壹佰贰拾万元整 1,200,000.00 元 120万 RMB1.2m",
    ):
        yield line.encode()


def target() -> Target:
    """For the runner."""
    words = Words()
    return Target("words", words.run, seeds, close=words.close)
