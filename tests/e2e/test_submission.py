"""Employees submit: STARTTLS and implicit TLS, AUTH from a users file that the command line made, and our DKIM signature on the way out."""

import asyncio
import base64
import smtplib
import ssl
from pathlib import Path

import dkim
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.demo import mails
from gateway.demo.stage import CONFIG, Stage
from tests.e2e.conftest import SECRET
from tests.fakes.certificates import Authority

LISTENERS = """
[[listener]]
name = "submission"
bind = "127.0.0.1:0"
direction = "submission"
tls = { cert_file = "gw.pem", key_file = "gw.key", required = true }

[[listener]]
name = "smtps"
bind = "127.0.0.1:0"
direction = "submission"
tls = { cert_file = "gw.pem", key_file = "gw.key", mode = "implicit" }

[auth]
users_file = "users"

[dkim]
domain = "corp.test"
selector = "s1"
key_file = "dkim.pem"
"""


async def test_submission_with_login_over_tls_is_signed_and_delivered(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    chain, private = authority.issue("127.0.0.1")
    listeners = LISTENERS.replace("gw.pem", str(chain)).replace("gw.key", str(private))
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (tmp_path / "dkim.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (tmp_path / "dkim.pem").chmod(0o600)
    (tmp_path / "users").touch(mode=0o600)
    context = ssl.create_default_context(cafile=str(authority.ca_file))
    config = CONFIG.replace("[[route]]", listeners.replace("{", "{{").replace("}", "}}") + "\n[[route]]")
    async with Stage(tmp_path, SECRET, config) as stage:
        added = await stage.command("user", "add", "li@corp.test", "--password-stdin", stdin="correct horse battery\n")
        assert added.status == 0, added.text

        def submit() -> list[int]:
            codes = []
            raw = mails.mail("li@corp.test", "zhang@corp.test", "submitted", "hello")
            with smtplib.SMTP("127.0.0.1", stage.ports["submission"], timeout=120) as client:
                client.ehlo("pc.corp.test")
                codes.append(client.docmd("MAIL FROM:<li@corp.test>")[0])
                client.starttls(context=context)
                client.ehlo("pc.corp.test")
                codes.append(client.docmd("MAIL FROM:<li@corp.test>")[0])
                try:
                    client.login("li@corp.test", "wrong horse")
                except smtplib.SMTPAuthenticationError as error:
                    codes.append(error.smtp_code)
                client.login("li@corp.test", "correct horse battery")
                client.sendmail("li@corp.test", ["zhang@corp.test"], raw)
            with smtplib.SMTP_SSL("127.0.0.1", stage.ports["smtps"], timeout=120, context=context) as client:
                client.login("li@corp.test", "correct horse battery")
                client.sendmail("li@corp.test", ["zhang@corp.test"], raw)
            return codes

        assert await asyncio.to_thread(submit) == [530, 530, 535]
        first, second = stage.delivered()
        public = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        record = b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)
        for arrived in (first, second):
            assert dkim.verify(arrived.data, dnsfunc=lambda name, timeout=5: record)
        assert b"with ESMTPSA" in first.data
        assert [event["dir"] for event in stage.events() if event["type"] == "message.decided"] == ["out", "out"]
