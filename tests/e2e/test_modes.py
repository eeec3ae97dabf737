"""Monitor mode, and the client that a trusted hop names, from end to end."""

import asyncio
import smtplib
from pathlib import Path

from gateway.demo import mails
from gateway.demo.stage import CONFIG, Stage
from tests.e2e.conftest import SECRET

INSIDE = "zhang@corp.test"
MONITOR = CONFIG.replace('mode = "enforce"', 'mode = "monitor"').replace("proxy_protocol = true", "xclient = true")


def head(data: bytes) -> bytes:
    return data[: data.find(b"\r\n\r\n")].replace(b"\r\n\t", b" ").replace(b"\r\n ", b" ")


async def test_monitor_delivers_everything_says_what_would_have_been(tmp_path: Path) -> None:
    async with Stage(tmp_path, SECRET, MONITOR) as stage:
        eicar = mails.mail("li@corp.test", INSIDE, "invoice", "see", {"a.zip": mails.zipped("b.com", mails.EICAR)})
        held = mails.mail("li@corp.test", "buyer@acme.example", "合同", "本合同总价：USD 120,000")
        for to, raw, would in ((INSIDE, eicar, "refuse"), ("buyer@acme.example", held, "hold")):
            answer = await stage.send("outbound", "li@corp.test", [to], raw)
            assert answer.code == 250, answer
            (decided, relayed) = stage.events(answer.message_id)
            assert (decided["outcome"], decided["would"], relayed["type"]) == ("relay", would, "message.relayed")
            assert decided["policy"]["matched"]
            assert b"X-Sealgate-Monitor: " in head(stage.delivered()[-1].data)
            assert stage.delivered()[-1].data.endswith(raw)


async def test_the_client_an_xclient_hop_names_is_judged_by_spf(tmp_path: Path) -> None:
    async with Stage(tmp_path, SECRET, MONITOR) as stage:

        def send(client: str) -> None:
            raw = mails.signed(mails.mail(f"Ann <ann@{mails.PARTNER}>", INSIDE, "Quotation", "Dear Zhang"), stage.keys)
            with smtplib.SMTP("127.0.0.1", stage.ports["inbound"], timeout=180, local_hostname="hop.example") as smtp:
                smtp.ehlo()
                assert "xclient" in smtp.esmtp_features
                assert smtp.docmd("XCLIENT", f"ADDR={client} HELO=mx.partner.example")[0] == 220
                smtp.ehlo()
                smtp.sendmail(f"ann@{mails.PARTNER}", [INSIDE], raw)

        await asyncio.to_thread(send, mails.PARTNER_IP)
        await asyncio.to_thread(send, "198.18.99.99")
        first, second = (head(each.data) for each in stage.delivered())
        assert b"spf=pass" in first
        assert mails.PARTNER_IP.encode() in first
        assert b"spf=fail" in second
        assert b"198.18.99.99" in second
