"""Rule files as people, editors and enemies make them: each gives file, line and what to write, in both languages, and in little time."""

import time
from pathlib import Path

import pytest

from gateway.cli import main
from tests.gateway.commands.policy_files import configured

HEAD = """schema = 1
[[rule]]
name = "a-rule"
title = { zh = "题目", en = "Title" }
"""
TAIL = 'then = { disposition = "approve" }\n'
GOOD = HEAD + 'when.all = ["recipient.outside"]\n' + TAIL
ENTRY = 'schema = 1\n[[allow]]\nlist = "spoofed-own-domain"\nsender = "x@corp.test"\n'


def when(condition: str) -> str:
    return HEAD + f"when.all = [{condition}]\n" + TAIL


CASES = {
    "fact": (when('{ fact = "recipent.outside", is = true }'), ":5:", 'did you mean "recipient.outside"?', "是不是"),
    "finding": (
        when('{ finding = "content.dictionary.comapny" }'),
        ":5:",
        'did you mean "content.dictionary.company"?',
        "是不是",
    ),
    "key": (GOOD.replace("when.all", "wehn.all"), ":5:1:", 'did you mean "when"?', "不认识的键"),
    "disposition": (GOOD.replace("approve", "aprove"), ":6:", 'did you mean "approve"?', "是不是"),
    "treatment": (
        GOOD.replace('"approve"', '"deliver", treatments = ["encrpt"]'),
        ":6:",
        'did you mean "encrypt"?',
        "没有处理",
    ),
    "list": (when('"list.partners"'), ":5:", 'no list "list.partners"', "没有名单"),
    "wrong type": (GOOD.replace('"approve"', "5"), ":6:24:", "must be text in quotes", "应是带引号的文字"),
    "number as text": (when('{ fact = "size", min = "ten" }'), ":5:", "whole number", "应是整数"),
    "twice": (GOOD + GOOD.partition("\n")[2], ":8:8:", "is used twice, first at", "用了两次，另一处在"),
    "nested": (when("{ any = [" * 9 + '"recipient.outside"' + "] }" * 9), ":5:", "nested more than 8 deep", "嵌套超过"),
    "deep": ("schema = 1\nx = " + "[" * 5000 + "]" * 5000, ":2:", "nested more than 24 deep", "括号嵌套"),
    "dots": ("schema = 1\n" + "a." * 5000 + "a = 1", ":2:", "deep", "层"),
    "explodes": (when("{ header = 'X', matches = '(a{1,1000}){1,1000}' }"), ":5:", "bad pattern", "正则表达式有误"),
    "look-ahead": (when("{ header = 'X', matches = '(?=x)' }"), ":5:", "bad pattern", "正则表达式有误"),
    "no reason": (ENTRY + 'auth = "dmarc"\nexpires = 2030-01-01\n', ":2:", '"reason" is missing', "缺少"),
    "no expiry": (
        ENTRY + 'auth = "dmarc"\nreason = "r"\n',
        ":3:",
        "an exception needs an end: expires = 2027-01-31",
        "例外须有期限",
    ),
    "no proof": (ENTRY + 'reason = "r"\nexpires = 2030-01-01\n', ":2:", '"auth" is missing: one of ', "可用："),
    "wide quotes": (GOOD.replace('"Title"', "“Title”"), ":4:27:", 'a full-width “ stands here: write "', "请改用半角"),
    "wide comma": (GOOD.replace('",', '"，', 1), ":4:", "a full-width ， stands here: write ,", "请改用半角"),
    "not TOML": (GOOD.replace("]\n", "\n", 1).replace("[[rule]", "[[rule"), ":2:", "not valid TOML", "不是合法的 TOML"),
    "wide digit": (
        when('{ fact = "size", min = １ }'),
        ":5:36:",
        "a full-width １ stands here: write 1",
        "请改用半角 1",
    ),
    "wide colon": (GOOD.replace("name =", "name：", 1), ":3:5:", "a full-width ： stands here: write :", "请改用半角"),
    "wide blank": (GOOD.replace('"a-rule"', '"a-rule"　'), ":3:16:", "a full-width blank stands here", "全角空格"),
    "capital": (
        when('{ fact = "recipient.outside", is = True }'),
        ":5:48:",
        "yes and no are true and false",
        "是非写 true",
    ),
    "key twice": (GOOD + "name = 'x'\n", ":7:11:", "the same key is written twice", "写了两次"),
    "backslash": (
        when("""{ fact = "attachment.names", matches = "\\d" }"""),
        ":5:",
        "patterns into single quotes",
        "单引号",
    ),
    "not closed": (GOOD.replace('"a-rule"', '"a-rule'), ":3:", "quotes are not closed on this line", "没有在本行闭合"),
    "date": ("schema = 1\n[[allow]]\nexpires = 2027/01/01\n", ":3:15:", "a date such as 2027-01-31", "日期如"),
    "country": (
        when('{ fact = "recipient.country", is = "Germany" }'),
        ":5:",
        "two letters such as de or jp",
        "两个字母",
    ),
    "one title": (
        GOOD.replace('{ zh = "题目", en = "Title" }', '"题目"'),
        ":4:9:",
        "title is in both languages",
        "两种语言",
    ),
    "delay": (
        GOOD.replace('"approve"', '"delay", delay = "10分钟"'),
        ":6:",
        'delay is such as "10m" or "2h"',
        "最长 7d",
    ),
    "empty": ("", ":1:1:", "must begin with schema = 1", "第一行应写"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_bad_file_names_the_place_and_what_to_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    text, place, en, zh = CASES[case]
    config = configured(tmp_path, text or "\n")
    began = time.process_time()
    assert main(["policy", "check", "--config", str(config)]) == 1
    assert time.process_time() - began < 5, "bad files are refused before anything is run"
    said = capsys.readouterr().err
    for part in (f"10-own.toml{place}", en, zh):
        assert part in said, said


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (GOOD.encode("gb18030"), ":4:1: 不是 UTF-8 编码（像是 GBK）"),
        (GOOD.encode("utf-16"), ":1:1: 不是 UTF-8 编码（像是 UTF-16）"),
        (GOOD.encode() + b"\xff\xff\xff\x00", "binary"),
        (b"schema = 1\n" + b"# x\n" * 300_000, "split it into several files"),
    ],
)
def test_a_file_that_is_no_utf8_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes, said: str
) -> None:
    config = configured(tmp_path, "\n")
    (tmp_path / "policies.d" / "10-own.toml").write_bytes(data)
    assert main(["policy", "check", "--config", str(config)]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("data", [b"\xef\xbb\xbf" + GOOD.encode(), GOOD.replace("\n", "\r\n").encode()])
def test_what_windows_editors_do_is_no_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes) -> None:
    config = configured(tmp_path, "\n")
    (tmp_path / "policies.d" / "10-own.toml").write_bytes(data)
    assert main(["policy", "explain", "a-rule", "--config", str(config)]) == 0
    assert "题目 / Title" in capsys.readouterr().out


def test_a_bom_before_the_configuration_is_no_mistake(tmp_path: Path) -> None:
    config = configured(tmp_path, GOOD)
    config.write_bytes(b"\xef\xbb\xbf" + config.read_bytes())
    assert main(["policy", "explain", "a-rule", "--config", str(config)]) == 0


def test_a_folder_called_like_a_file_and_a_file_that_is_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configured(tmp_path, GOOD)
    (tmp_path / "policies.d" / "rules.toml.txt").write_text(GOOD, encoding="utf-8")
    assert main(["policy", "check", "--config", str(config)]) == 0
    assert "rules.toml.txt: 不以 .toml 结尾" in capsys.readouterr().err
    (tmp_path / "policies.d" / "x.toml").mkdir()
    assert main(["policy", "check", "--config", str(config)]) == 1
    assert "x.toml: 无法读取 / cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["diff", "policies.d", "nosuch"],
        ["diff", "nosuch", "policies.d"],
        ["check", "--dir", "nosuch"],
        ["explain", "--dir", "nosuch"],
        ["replay", "--draft", "nosuch"],
    ],
)
def test_a_folder_that_is_not_there_is_named_as_it_was_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    config = configured(tmp_path, GOOD)
    monkeypatch.chdir(tmp_path)
    assert main(["policy", *words, "--config", str(config)]) == 2
    assert "nosuch: 没有此目录或文件 / no such folder or file" in capsys.readouterr().err
