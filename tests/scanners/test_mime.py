# ruff: noqa: E501 - tables read best with a row per line
"""Reading mail: structure, second readings, bounds. The secret stands where only some clients look; it must be seen, and said."""

import base64
import email
import tracemalloc
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanners import mime
from scanners.mime_reader import MAX_DEPTH, MAX_PARTS
from tests.cost import least_s
from tests.scanners.letters import envelope, everything, kinds, read

SECRET = "合同总价-SECRET"
B64 = base64.b64encode(SECRET.encode()).decode()
HEAD = "From: a@acme.test\nMIME-Version: 1.0\n"


def mixed(body: str, boundary: str = "b1", more: str = "") -> str:
    return f'{HEAD}Content-Type: multipart/mixed; boundary="{boundary}"{more}\n\n{body}'


def part(text: str, kind: str = "text/plain; charset=utf-8", more: str = "") -> str:
    return f"Content-Type: {kind}\n{more}\n{text}\n"


ATTACHMENT = part(
    B64, "application/zip", 'Content-Transfer-Encoding: base64\nContent-Disposition: attachment; filename="x.zip"\n'
)


def test_an_ordinary_message_has_imap_paths_and_no_doubts() -> None:
    alternative = f'Content-Type: multipart/alternative; boundary="in"\n\n--in\n{part("你好")}--in\n{part("<b>你</b>好", "text/html; charset=utf-8")}--in--\n'
    message = read(
        mixed(f"This is a multi-part message in MIME format.\n--b1\n{alternative}--b1\n{ATTACHMENT}--b1--\n")
    )
    assert [(one.path, one.media_type, one.is_body) for one in message.parts] == [
        ("1.1", "text/plain", True), ("1.2", "text/html", True), ("2", "application/zip", False)
    ]  # fmt: skip
    assert [one.text for one in message.parts] == ["你好", "你好", None]
    assert message.parts[2].content == SECRET.encode()
    assert message.parts[2].filename == "x.zip"
    assert message.defects == ()
    assert message.raw[message.header_length - 4 : message.header_length] == b"\r\n\r\n"


def test_headers_keep_their_bytes_and_decode() -> None:
    raw = "合同".encode("gbk")
    message = read(
        b"Subject: =?gb2312?B?us/Nr7a=?= =?gb2312?B?pvus=?=\r\nX-Raw: " + raw + b"\r\nX-Fold: a\r\n b\r\n\r\nx"
    )
    assert message.headers[0].raw == b" =?gb2312?B?us/Nr7a=?= =?gb2312?B?pvus=?="
    assert message.first("x-raw") == "合同"
    assert message.first("x-fold") == "a b"
    assert message.headers[2].raw == b" a\r\n b"


AMBIGUOUS = {
    "duplicate type": (f'Content-Type: text/plain\nContent-Type: multipart/mixed; boundary="b1"\n\n--b1\n{ATTACHMENT}--b1--\n', "duplicate_field"),
    "duplicate encoding": (f"Content-Type: application/zip; name=a.zip\nContent-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: base64\n\n{B64}\n", "duplicate_field"),
    "two boundaries, last counts": (mixed(f"--b2\n{ATTACHMENT}--b2--\n", more="; boundary=b2"), ""),
    "two boundaries, both occur": (mixed(f"--b1\n{part('x')}--b2\n{ATTACHMENT}--b2--\n--b1--\n", more="; boundary=b2"), "two_boundaries"),
    "boundary is the start of the line": (mixed(f"--b1\n{part('x')}--b1extra\n{ATTACHMENT}--b1--\n"), "boundary_prefix"),
    "no end boundary": (mixed(f"--b1\n{ATTACHMENT}"), "missing_end"),
    "preamble with a part": (mixed(f"{ATTACHMENT}\n--b1\n{part('x')}--b1--\n"), "preamble"),
    "epilogue with text": (mixed(f"--b1\n{part('x')}--b1--\n{SECRET}\n"), "epilogue"),
    "parts after the end": (mixed(f"--b1\n{part('x')}--b1--\n--b1\n{ATTACHMENT}--b1--\n"), "after_end"),
    "junk in base64": (f"Content-Type: application/zip\nContent-Transfer-Encoding: base64\n\n!{B64[:8]}*\n{B64[8:]}\n", "base64"),
    "padding inside base64": (f"Content-Type: application/zip\nContent-Transfer-Encoding: base64\n\nQQ==\n{B64}\n", "base64"),
    "no padding": (f"Content-Type: application/zip\nContent-Transfer-Encoding: base64\n\n{B64.rstrip('=')}\n", ""),
    "unknown encoding": (f"Content-Type: application/zip\nContent-Transfer-Encoding: x-base64\n\n{B64}\n", "encoding"),
    "encoding with a blank": (f"Content-Type: application/zip\nContent-Transfer-Encoding: base 64\n\n{B64}\n", "encoding"),
    "base64 multipart": (f'Content-Type: multipart/mixed; boundary="b1"\nContent-Transfer-Encoding: base64\n\n--b1\n{ATTACHMENT}--b1--\n', "encoding"),
    "no boundary given": (f"Content-Type: multipart/mixed\n\n--zz\n{ATTACHMENT}--zz--\n", "content_type"),
    "wrong boundary given": (mixed(f"--zz\n{ATTACHMENT}--zz--\n"), "content_type"),
    "type without slash": (f'Content-Type: multipart; boundary="b1"\n\n--b1\n{ATTACHMENT}--b1--\n', "content_type"),
    "text with a boundary": (f'Content-Type: text/plain; boundary="b1"\n\n--b1\n{ATTACHMENT}--b1--\n', "content_type"),
    "comment in the boundary": (f"Content-Type: multipart/mixed; boundary=b1(c)\n\n--b1\n{ATTACHMENT}--b1--\n", "comment"),
    "missing semicolon": (f"Content-Type: multipart/mixed boundary=b1\n\n--b1\n{ATTACHMENT}--b1--\n", "missing_semicolon"),
    "blank before the colon": (f'Content-Type : multipart/mixed; boundary="b1"\n\n--b1\n{ATTACHMENT}--b1--\n', "header_line"),
    "bare words in the header": (f'Hello there\nContent-Type: multipart/mixed; boundary="b1"\n\n--b1\n{ATTACHMENT}--b1--\n', "header_line"),
    "no blank line": (mixed(f"--b1\nContent-Type: text/plain; charset=utf-8\n{SECRET}\n--b1--\n"), "header_line"),
    "blank line made of blanks": (f"Subject: x\n \nContent-Type: text/html; charset=utf-8\n\n{SECRET}\n", "header_line"),
    "leading blank line": (f'\nContent-Type: multipart/mixed; boundary="b1"\n\n--b1\n{ATTACHMENT}--b1--\n', "leading_blank"),
    "NUL in a field": (f'Content-Type: multipart/mi\0xed; boundary="b1"\n\n--b1\n{ATTACHMENT}--b1--\n', "nul"),
    "names that differ": (part("x", 'application/octet-stream; name="a.exe"', 'Content-Disposition: attachment; filename="a.txt"\n'), "filename"),
    "continuation twice": (part("x", "application/zip", "Content-Disposition: attachment; filename*0=a; filename*0=b; filename*1=.exe\n"), "parameter_twice"),
}  # fmt: skip


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_what_any_client_could_extract_is_seen_and_said(name: str) -> None:
    text, kind = AMBIGUOUS[name]
    message = read(text)
    if B64[:20] in text or SECRET in text:
        seen = everything(message)
        assert SECRET in seen or SECRET.encode().decode("latin-1") in seen
    assert message.defects, "a doubt must be said"
    if kind:
        assert kind in kinds(message)


def test_names_that_differ_are_both_kept() -> None:
    assert {one.filename for one in read(AMBIGUOUS["names that differ"][0]).parts} == {"a.exe", "a.txt"}


def test_a_lone_cr_may_break_a_line() -> None:
    raw = f'Subject: x\rContent-Type: multipart/mixed; boundary="b1"\r\n\r\n--b1\r\n{ATTACHMENT}--b1--\r\n'.encode()
    message = read(raw)
    assert "bare_cr" in kinds(message)
    assert SECRET.encode().decode("latin-1") in everything(message)


def test_three_doubts_at_once_are_read_in_every_combination() -> None:
    text = f'Content-Type: text/plain\nContent-Type: multipart/mixed; boundary="no"; boundary="b1"\n\n--b1x\n{ATTACHMENT}--b1--\n'
    message = read(text)
    assert {"duplicate_field", "two_boundaries"} <= kinds(message)
    assert SECRET.encode().decode("latin-1") in everything(message)


@pytest.mark.parametrize("encoding", ["7bit", "base64", "quoted-printable"])
def test_a_message_inside_is_read_whatever_its_encoding(encoding: str) -> None:
    inner = f"Subject: {SECRET}\nContent-Type: text/plain; charset=utf-8\n\nin {SECRET}\n"
    body = inner
    if encoding == "base64":
        body = base64.b64encode(inner.encode()).decode()
    if encoding == "quoted-printable":
        body = inner.replace("=", "=3D")
    message = read(
        mixed(f"--b1\n{part(body, 'message/rfc822', f'Content-Transfer-Encoding: {encoding}' + chr(10))}--b1--\n")
    )
    by_path = {one.path: one for one in message.parts}
    assert SECRET in (by_path["1"].text or "")
    assert SECRET in (by_path["1.1"].text or "")
    assert not by_path["1"].is_body


def test_digest_parts_are_messages() -> None:
    message = read(f'Content-Type: multipart/digest; boundary="b1"\n\n--b1\n\nSubject: in\n\n{SECRET}\n--b1--\n')
    assert [one.media_type for one in message.parts] == ["message/rfc822", "text/plain"]


def test_a_nested_boundary_that_begins_like_the_outer_one_is_no_doubt() -> None:
    inner = f'Content-Type: multipart/alternative; boundary="b1_in"\n\n--b1_in\n{part("x")}--b1_in--\n'
    assert read(mixed(f"--b1\n{inner}--b1--\n")).defects == ()


@pytest.mark.parametrize(
    "text",
    [
        "begin 644 x.exe\n#0V%T\n`\nend\n",
        "begin-base64 644 x.exe\nQ2F0\n====\n",
        "=ybegin line=128 size=3 name=x.exe\n" + "".join(chr((ord(c) + 42) % 256) for c in "Cat") + "\n=yend size=3\n",
    ],
)  # fmt: skip
def test_files_in_text_are_parts(text: str) -> None:
    message = read(b"Content-Type: text/plain\r\n\r\nhello\r\n" + text.replace("\n", "\r\n").encode("latin-1"))
    found = message.parts[-1]
    assert (found.path, found.filename, found.content) == ("1~embedded1", "x.exe", b"Cat")


NAMES = {
    "encoded word": ('filename="=?gb2312?B?us/NrA==?=.pdf"', "合同.pdf"),
    "2231": ("filename*=utf-8''%E5%90%88%E5%90%8C.pdf", "合同.pdf"),
    "2231 gb, split inside a character": ("filename*0*=gb18030''%BA%CF%CD; filename*1*=%AC.pdf", "合同.pdf"),
    "continued": ('filename*0="long"; filename*1=".exe"', "long.exe"),
    "raw GBK": ('filename="合同.pdf"'.encode("gbk").decode("latin-1"), "合同.pdf"),
    "unquoted with blanks": ("filename=my file.pdf", "my file.pdf"),
    "escaped quote": ('filename="a\\"b.pdf"', 'a"b.pdf'),
    "no end quote": ('filename="a.exe', "a.exe"),
    "upper case": ('FILENAME="a.exe"', "a.exe"),
    "control characters": ('filename="a\x08.exe"', "a.exe"),
}


@pytest.mark.parametrize("name", NAMES)
def test_file_names(name: str) -> None:
    parameter, expected = NAMES[name]
    raw = (
        b"Content-Type: application/x-y\r\nContent-Disposition: attachment; "
        + parameter.encode("latin-1")
        + b"\r\n\r\nx"
    )
    assert read(raw).parts[0].filename == expected


BOMBS = {
    "depth": (b"".join(b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (n, n) for n in range(2000)), "depth"),
    "messages in messages": (b"Content-Type: message/rfc822\r\n\r\n" * 5000, "depth"),
    "parts": (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 100_000, "parts"),
    "header": (b"Subject: " + b"a" * 1_000_000 + b"\r\n\r\nx", "header_bytes"),
    "folded header": (b"Subject: a\r\n" + b" b\r\n" * 300_000 + b"\r\nx", "header_bytes"),
    "fields": (b"A: b\r\n" * 20_000 + b"\r\nx", "header_fields"),
    "parameters": (b"Content-Type: text/plain" + b"; a=b" * 10_000 + b"\r\n\r\nx", "parameters"),
    "pieces": (b"Content-Type: a/b; " + b"; ".join(b"n*%d=x" % n for n in range(5_000)) + b"\r\n\r\nx", "parameter_pieces"),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_every_bound_is_named(name: str) -> None:
    raw, limit = BOMBS[name]
    assert f"content.limit.{limit}" in {one.code for one in read(raw).defects}
    assert least_s(lambda: read(raw), 5) < 5


HARMLESS = {
    "base64 garbage": b"Content-Transfer-Encoding: base64\r\n\r\n" + b"!@#$" * 500_000,
    "boundaries that are none": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"\r\n--b x" * 200_000,
    "encoded words": b"Subject: " + b"=?utf-8?q?a?= " * 4_000 + b"\r\n\r\nx",
    "half encoded words": b"Subject: " + b"=?" * 30_000 + b"\r\n\r\nx",
    "open comments": b"Content-Type: text/plain" + b"(" * 60_000 + b"\r\n\r\nx",
    "open quotes": b'Content-Type: text/plain; a="' + b'\\"' * 30_000 + b"\r\n\r\nx",
    "html depth": b"Content-Type: text/html\r\n\r\n" + b"<div>" * 100_000 + b"x" + b"</div>" * 100_000,
    "html entities": b"Content-Type: text/html\r\n\r\n<p>" + b"&lt;&#x41;&#0000;" * 50_000,
    "html open tags": b"Content-Type: text/html\r\n\r\n" + b"<a b='" * 100_000,
    "html digits": b"Content-Type: text/html\r\n\r\n<p>&#" + b"9" * 100_000,
    "qp": b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + b"= \r\n" * 200_000,
    "uuencode without end": b"\r\n" + b"begin 644 a\r\n" * 50_000,
}  # fmt: skip


@pytest.mark.parametrize("name", HARMLESS)
def test_hostile_input_is_read_fast_and_flat(name: str) -> None:
    raw = HARMLESS[name]
    assert least_s(lambda: read(raw), 5) < 5
    tracemalloc.start()
    read(raw)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000_000


def test_the_deepest_content_is_handed_on_when_the_bound_is_met() -> None:
    nested = b"".join(
        b'Content-Type: multipart/mixed; boundary="x%d"\r\n\r\n--x%d\r\n' % (n, n) for n in range(MAX_DEPTH + 5)
    )
    message = read(nested + b"\r\nSECRET")
    assert b"SECRET" in message.parts[-1].content


def test_as_many_parts_as_the_bound_are_kept() -> None:
    assert len(read(BOMBS["parts"][0]).parts) == MAX_PARTS


@settings(max_examples=400)
@given(st.binary(max_size=600))
def test_parse_never_raises(raw: bytes) -> None:
    message = read(raw)
    assert message.raw == raw
    assert not any(one.about == "reader" for one in message.defects)


PIECES = st.sampled_from(
    [
        b"Content-Type: multipart/mixed; boundary=b", b"Content-Type: text/html; charset=gb2312", b"Content-Transfer-Encoding: base64",
        b"Content-Transfer-Encoding: quoted-printable", b"Content-Disposition: attachment; filename*0*=utf-8''%41; filename*1=b",
        b"Content-Type: message/rfc822", b"\r\n", b"\n", b"\r", b"--b", b"--b--", b" ", b"\t", b"QUJD", b"=?utf-8?B?QQ==?=", b"begin 644 a",
        b"=ybegin name=a", b"\0", b"\x80\xff", b"<p style='display:none'>", b"<!--", b"&#x41;", b"=ybegin", b"From a", b": ", b";", b'"', b"(",
    ]
)  # fmt: skip


@settings(max_examples=400)
@given(st.lists(PIECES, max_size=40).map(b"".join))
def test_structured_rubbish_never_raises(raw: bytes) -> None:
    assert not any(one.about == "reader" for one in read(raw).defects)


@settings(max_examples=60)
@given(
    st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=200),
    st.binary(max_size=300),
    st.sampled_from(["utf-8", "gb18030"]),
)
def test_what_the_library_writes_is_read_back(text: str, content: bytes, charset: str) -> None:
    made = EmailMessage()
    made["Subject"] = "x"
    made.set_content(text, charset=charset)
    made.add_attachment(content, maintype="application", subtype="octet-stream", filename="名单.bin")
    message = mime.parse(envelope(), made.as_bytes(policy=email.policy.SMTP))
    assert [one.content for one in message.parts][1] == content
    assert message.parts[1].filename == "名单.bin"
    assert (message.parts[0].text or "").splitlines() == [*text.splitlines()]
    assert not kinds(message)


def test_messages_in_messages_have_paths_of_their_own() -> None:
    inner = "Content-Type: message/rfc822\n\nSubject: c\n\ndeep\n"
    message = read(f"{HEAD}Content-Type: message/rfc822\n\nSubject: b\n{inner}")
    assert [part.path for part in message.parts] == ["1", "1.1", "1.1.1"]
    assert message.parts[2].text == "deep\r\n"


def test_what_stands_before_both_the_outer_and_the_first_inner_part_is_read() -> None:
    inner = f'Content-Type: multipart/mixed; boundary="in"\n\ninner 底价\n--in\n{part("x")}--in--\nafter inner\n'
    message = read(mixed(f"outer {SECRET}\n--b1\n{inner}--b1--\nafter outer\n"))
    seen = everything(message)
    assert all(text in seen for text in (f"outer {SECRET}", "inner 底价", "after inner", "after outer"))


def test_uuencoded_lines_that_promise_more_than_they_hold_are_bounded() -> None:
    bomb = b"begin 644 a\n" + b"M!\n" * 200_000 + b"`\nend\n"
    message = read(b"Subject: x\r\n\r\n" + bomb)
    assert sum(len(one.content) for one in message.parts if "embedded" in one.path) <= 2 * len(bomb) + 63
    assert "embedded" in kinds(message)
    encoded = read(b"Content-Type: application/x\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\n" + bomb)
    assert len(encoded.parts[0].content) <= 2 * len(bomb) + 63
    assert "encoding" in kinds(encoded)
