"""What is done to a message, in which order, and what stands in the way."""

from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config import Route
from gateway.treatments import banner, surgery
from gateway.treatments.addressing import spread
from gateway.treatments.table import KINDS, UNALTERABLE, UNMET, Treated, Unmet, apply, obstacles, unmet_joined
from policies.decision import Decision, Disposition, Treatment
from tests.gateway.samples import RAW, decision, reason, share

AT = datetime(2026, 11, 22, tzinfo=UTC)
PLAIN = Route("*", "smtp://127.0.0.1:25")
VERIFIED = Route("*", "smtp://127.0.0.1:25", tls="verified")
OUTSIDE = Treatment("banner", "外部邮件 outside")


def mail(*, html=True, attachment=True, text="你好 hello\r\n"):
    made = EmailMessage(policy=policy.SMTP)
    made["From"], made["To"], made["Subject"] = "a@x.test", "b@corp.test", "s"
    made.set_content(text)
    if html:
        made.add_alternative("<!DOCTYPE html><html><body class=x><p>你好 hello</p></body></html>", subtype="html")
    if attachment:
        made.add_attachment(b"MZ\x90", maintype="application", subtype="x-msdownload", filename="价格.exe")
        made.add_attachment("note", filename="note.txt")
    return made.as_bytes()


def done(raw, *treatments, route=PLAIN, **more):
    result = apply(raw, treatments, route, message_id="M1", at=AT, **more)
    return result if isinstance(result, Unmet) else b"".join(result.pieces)


def read(raw):
    parsed = message_from_bytes(raw, policy=policy.default)
    assert not parsed.defects
    return parsed


def test_nothing_asked_gives_the_very_bytes():
    raw = mail()
    assert apply(raw, (), PLAIN, message_id="M1", at=AT) == Treated((raw,))
    assert apply(raw, (), PLAIN, message_id="M1", at=AT).pieces[0] is raw


def test_what_was_done_is_named_and_what_changed_nothing_is_not():
    wanted = (Treatment("tag", "X-Flag=1"), Treatment("banner"), Treatment("strip", ".zip"), Treatment("unbanner"))
    assert apply(mail(), wanted, PLAIN, message_id="M1", at=AT).done == ("tag", "banner", "unbanner")
    assert apply(mail(), (wanted[2],), PLAIN, message_id="M1", at=AT).done == ()
    assert apply(RAW, (Treatment("copy", "a@corp.test"),), PLAIN, message_id="M1", at=AT).done == ("copy",)


def test_a_tag_goes_in_front():
    assert done(RAW, Treatment("tag", "X-Flag=money 钱\r\nBcc: x")) == "X-Flag: money 钱 Bcc: x\r\n".encode() + RAW


@pytest.mark.parametrize("value", ["", "X-Flag", "From=x@y", "X Flag=1", "X:=1", "X-Flag=" + "x" * 999])
def test_a_tag_that_is_no_header_line_is_unmet(value):
    assert isinstance(done(RAW, Treatment("tag", value)), Unmet)


def test_a_banner_stands_above_both_bodies_and_changes_nothing_else():
    raw = mail()
    out = done(raw, OUTSIDE)
    parsed = read(out)
    text = parsed.get_body(("plain",)).get_content()
    page = parsed.get_body(("html",)).get_content()
    assert text.startswith("【外部邮件 outside · 信关 Sealgate】")
    assert "你好 hello" in text
    assert page.index("<body class=x>") < page.index("外部邮件 outside") < page.index("<p>")
    assert [part.get_filename() for part in parsed.iter_attachments()] == ["价格.exe", "note.txt"]
    tail = raw[raw.index(b"Content-Type: application/x-msdownload") :]
    assert out.endswith(tail), "the attachments are the very bytes"


@pytest.mark.parametrize("charset", ["utf-8", "gb18030", "big5"])
def test_a_banner_reads_every_charset(charset):
    raw = (
        b"From: a@x.test\r\nContent-Type: text/plain; charset="
        + charset.encode()
        + b"\r\n\r\n"
        + "總價".encode(charset)
    )
    assert "總價" in read(done(raw, OUTSIDE)).get_content()


@pytest.mark.parametrize("html", [False, True])
def test_a_banner_is_taken_off_the_reply(html):
    raw = mail(html=html, attachment=False)
    with_banner = done(raw, OUTSIDE)
    without = read(done(with_banner, Treatment("unbanner")))
    original = read(raw)
    assert without.get_body(("plain",)).get_content() == original.get_body(("plain",)).get_content()
    if html:
        assert without.get_body(("html",)).get_content() == original.get_body(("html",)).get_content()


def test_a_banner_is_found_again_when_quoted_or_renamed():
    words = "【外部邮件 · 信关 Sealgate】"
    text = f"my answer\r\n> {words}\r\n> \r\n> 你好\r\n"
    page = f'<p>my</p><blockquote><div class="x_{banner.CLASS}" style="x">{words}</div><p>old</p></blockquote>'
    made = EmailMessage(policy=policy.SMTP)
    made["From"] = "a@x.test"
    made.set_content(text)
    made.add_alternative(page, subtype="html")
    out = read(done(made.as_bytes(), Treatment("unbanner")))
    assert out.get_body(("plain",)).get_content().replace("\r", "") == "my answer\n> 你好\n"
    assert out.get_body(("html",)).get_content().strip() == "<p>my</p><blockquote><p>old</p></blockquote>"


@pytest.mark.parametrize("raw", [RAW, mail(), b"", b"\r\n\r\n" + "信关 Sealgate".encode()])
def test_a_reply_without_a_banner_keeps_its_bytes(raw):
    assert banner.off_replies(raw) == raw


def test_off_replies_takes_only_what_it_can_for_sure():
    raw = mail(attachment=False)
    shown = done(raw, OUTSIDE)
    without = read(banner.off_replies(shown))
    for kind in ("plain", "html"):
        assert "Sealgate" not in without.get_body((kind,)).get_content()
    signed = SIGNED.replace(b"text", "【外部 · 信关 Sealgate】\r\n\r\ntext".encode())
    assert banner.off_replies(signed) == signed, "what its sender vouches for stays"


def test_a_note_is_ours_alone_whatever_the_file_is_called():
    raw = mail().replace(b'filename="', b"filename*=utf-8''%E2%80%AEexe.%0D%0A%1B%5B31mopen-me.exe; x=\"")
    assert raw != mail()
    parts = read(done(raw, Treatment("strip", ".exe"))).iter_attachments()
    (note,) = [text for text in (part.get_content() for part in parts) if "open-me.exe" in text]
    assert note.replace("\r", "").replace("\n", "").isprintable()
    assert len(note.splitlines()) == len(
        next(read(done(mail(), Treatment("strip", ".exe"))).iter_attachments()).get_content().splitlines()
    )


def test_strip_takes_the_part_and_leaves_a_note():
    out = done(mail(), Treatment("strip", ".exe"))
    parsed = read(out)
    names = [part.get_filename() for part in parsed.iter_attachments()]
    assert names == ["removed.txt", "note.txt"]
    note = next(parsed.iter_attachments()).get_content()
    assert "价格.exe" in note
    assert "M1" in note
    assert b"TVqQ" not in out


@pytest.mark.parametrize(
    ("value", "left"),
    [
        ("", ["removed.txt", "removed.txt"]),
        ("application/x-msdownload", ["removed.txt", "note.txt"]),
        ("2", ["removed.txt", "note.txt"]),
        (".zip", ["价格.exe", "note.txt"]),
        (".txt,.exe", ["removed.txt", "removed.txt"]),
    ],
)
def test_strip_by_path_ending_or_type(value, left):
    parsed = read(done(mail(), Treatment("strip", value)))
    assert [part.get_filename() for part in parsed.iter_attachments()] == left


def test_strip_of_a_mail_that_is_only_a_file():
    raw = b"From: a@x.test\r\nSubject: s\r\nMIME-Version: 1.0\r\nContent-Type: application/zip; name=a.zip\r\n\r\nPK\x03\x04"
    parsed = read(done(raw, Treatment("strip")))
    assert parsed["Subject"] == "s"
    assert "a.zip" in parsed.get_content()


def test_strip_of_a_file_without_any_other_field_is_still_a_mail():
    parsed = read(done(b"Content-Type: application/zip; name=a.zip\r\n\r\nPK\x03\x04", Treatment("strip")))
    assert parsed.get_filename() == "removed.txt"
    assert "a.zip" in parsed.get_content()


def test_the_mails_of_a_digest_are_mails_and_get_no_banner():
    raw = (
        b"From: a@x.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/digest; boundary=d\r\n\r\n"
        b"--d\r\n\r\nSubject: inner\r\n\r\ntext\r\n--d--\r\n"
    )
    assert done(raw, Treatment("banner")) == raw


SIGNED = (
    b'From: a@x.test\r\nContent-Type: multipart/signed; boundary="b"\r\n\r\n--b\r\n\r\ntext\r\n--b\r\n'
    b"Content-Type: application/pkcs7-signature\r\n\r\nx\r\n--b--\r\n"
)
TWO_WAYS = (
    b'From: a@x.test\r\nContent-Type: multipart/mixed; boundary="a"; boundary="b"\r\n\r\n--a\r\n\r\nx\r\n--a--\r\n'
)
PGP = b"From: a@x.test\r\n\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\nx\r\n"


@pytest.mark.parametrize("raw", [SIGNED, TWO_WAYS, PGP], ids=["signed", "two readings", "inline PGP"])
@pytest.mark.parametrize("kind", ["banner", "strip"])
def test_what_may_not_be_altered_is_held_and_may_be_let_go_without(raw, kind):
    treatment = Treatment(kind)
    (why,) = obstacles(Decision(Disposition.DELIVER, frozenset({treatment})), raw, PLAIN)
    assert (why.rule, why.version, why.disposition, why.waivable) == (
        f"treatment.{kind}", UNALTERABLE, Disposition.APPROVE, True
    )  # fmt: skip
    assert isinstance(done(raw, treatment), Unmet)
    assert done(raw, treatment, waived=frozenset({kind})) == raw


def test_without_a_way_to_encrypt_it_is_held_and_nobody_can_waive_it():
    wanted = share(Decision(Disposition.DELIVER, frozenset({Treatment("encrypt")})))
    held = unmet_joined(wanted, RAW).decision
    assert held.disposition is Disposition.APPROVE
    assert [(r.rule, r.version, r.waivable) for r in held.reasons] == [("treatment.encrypt", UNMET, False)]
    assert unmet_joined(unmet_joined(wanted, RAW), RAW).decision == held
    assert obstacles(wanted.decision, RAW, VERIFIED) == ()
    assert isinstance(done(RAW, Treatment("encrypt")), Unmet)
    assert done(RAW, Treatment("encrypt"), route=VERIFIED) == RAW


def test_a_treatment_nobody_built_holds_the_mail():
    what = Decision(Disposition.DELIVER, frozenset({Treatment("portal")}))
    assert [r.waivable for r in obstacles(what, RAW, PLAIN)] == [False]
    assert isinstance(done(RAW, Treatment("portal")), Unmet)


def test_what_is_in_session_needs_no_custody():
    assert {kind.name for kind in KINDS.values() if kind.in_session} >= {"tag"}
    assert not any(kind.in_session and kind.name in ("redirect", "copy", "notify-sender") for kind in KINDS.values())


def test_a_copy_is_a_delivery_of_its_own_and_mx_is_one_per_domain():
    what = Decision(Disposition.DELIVER, frozenset({Treatment("copy", "boss@corp.test")}), (reason(),))
    shares = spread([share(what, ("a@x.test", "b@y.test", "c@X.test"), "mx:")])
    assert [[p.address for p in each.recipients] for each in shares] == [
        ["a@x.test", "c@X.test"],
        ["b@y.test"],
        ["boss@corp.test"],
    ]
    assert {each.decision for each in shares} == {what}
    assert spread([share(decision(), ("boss@corp.test",))]) == (share(decision(), ("boss@corp.test",)),)


@given(
    st.lists(
        st.sampled_from(
            [b"--b", b"--b--", b"\r\n", b"\n", b"Content-Type: multipart/mixed; boundary=b", b"Content-Type: text/plain",
             b"Content-Transfer-Encoding: base64", b"text", b" ", b"\r\n\r\n", b"--c", b"Content-Type: text/html; charset=gbk", b"\xff"]
        ),
        max_size=25,
    ).map(b"".join)
)  # fmt: skip
@settings(max_examples=300)
def test_surgery_never_crashes_and_never_loses_a_byte(raw):
    root = surgery.structure(raw)
    for treatment in (Treatment("banner"), Treatment("strip"), Treatment("unbanner")):
        done(raw, treatment)
    if root is not None:
        for node in root.walk():
            assert node.start <= node.body <= node.end <= len(raw)
            for child in node.children:
                assert node.body <= child.start
                assert child.end <= node.end


def test_a_multipart_without_parts_is_not_cut():
    """Some readers show its text, others nothing: the treatment falls back."""
    assert surgery.structure(b"Content-Type: multipart/mixed; boundary=b\r\n\r\ntext\r\n--b--\r\n") is None
