"""The configuration: what is read, and that every mistake is named with its line and the nearest right word."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import Config, ConfigError, load, parse, snapshot
from gateway.custody import desk

GOOD = """
[gateway]
hostname = "gw.test"
local_domains = ["Corp.Test"]
[dns]
servers = ["127.0.0.1:5353"]
timeout_s = 1
[[listener]]
name = "inbound"
bind = "127.0.0.1:2525"
direction = "inbound"
[[listener]]
name = "outbound"
bind = "127.0.0.1:2526"
direction = "outbound"
clients = ["127.0.0.0/8"]
tls = { cert_file = "c.pem", key_file = "k.pem" }
[[route]]
recipients = "corp.test"
to = "smtp://127.0.0.1:2600"
[groups]
sales = ["a@corp.test"]
[company]
own_accounts = ["GB82WEST12345698765432"]
"""


def read(text: str) -> Config:
    return parse(text.encode(), Path("/etc/s/sealgate.toml"))


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        read(text)
    return caught.value.problems


def test_a_good_file_gives_absolute_paths_and_filled_defaults() -> None:
    config = read(GOOD)
    assert config.gateway.state_dir == Path("/etc/s/state")
    assert config.gateway.authserv_id == "gw.test"
    assert config.gateway.local_domains == ("corp.test",)
    assert config.gateway.postmaster == "postmaster@corp.test"
    assert config.listeners[1].tls.cert_file == Path("/etc/s/c.pem")
    assert config.dns.timeout_s == 1.0
    assert config.groups == (("sales", ("a@corp.test",)),)
    assert config.own_accounts == ("GB82WEST12345698765432",)


def test_the_snapshot_for_the_children_reads_back_the_same(tmp_path: Path) -> None:
    config = read(GOOD)
    path = tmp_path / "snapshot.json"
    path.write_bytes(snapshot(config))
    assert load(path) == config


@pytest.mark.parametrize(
    ("change", "line", "words"),
    [
        (('hostname = "gw.test"', 'hostnam = "gw.test"'), 3, ("unknown key", "hostname")),
        (('direction = "inbound"', 'direction = "inbond"'), 11, ("must be one of", "inbound")),
        (("timeout_s = 1", 'timeout_s = "1"'), 7, ("must be float",)),
        (('servers = ["127.0.0.1:5353"]', 'servers = "x"'), 6, ("list of strings",)),
        (("[company]", "[compny]"), 23, ("unknown key", "company")),
        (('bind = "127.0.0.1:2526"', "bind = true"), 14, ("must be str",)),
    ],
)
def test_mistakes_are_named_with_their_line(change: tuple[str, str], line: int, words: tuple[str, ...]) -> None:
    found = problems(GOOD.replace(*change))
    assert any(f":{line}:" in each and all(word in each for word in words) for each in found), found


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (('clients = ["127.0.0.0/8"]', ""), "no list, no relay"),
        (('clients = ["127.0.0.0/8"]', 'clients = ["corp"]'), "not a network"),
        (('to = "smtp://127.0.0.1:2600"', 'to = "127.0.0.1:2600"'), "smtp://"),
        (('name = "outbound"', 'name = "inbound"'), "same name"),
        (('bind = "127.0.0.1:2525"', 'bind = "2525"'), "address:port"),
        ((', key_file = "k.pem"', ""), "both cert_file and key_file"),
        (('local_domains = ["Corp.Test"]', "local_domains = []"), "must not be empty"),
        (('local_domains = ["Corp.Test"]', 'local_domains = ["corp test"]'), "not a domain"),
        (('local_domains = ["Corp.Test"]', 'local_domains = ["li@corp.test"]'), "not a domain"),
    ],
)
def test_values_that_do_not_go_together(change: tuple[str, str], word: str) -> None:
    assert any(word in each for each in problems(GOOD.replace(*change)))


def test_our_domains_have_one_form() -> None:
    """Whatever form they are written in: every comparison is made in A-labels."""
    config = read(GOOD.replace('["Corp.Test"]', '["例子.测试", "Corp.Test."]'))
    assert config.gateway.local_domains == ("xn--fsqu00a.xn--0zwm56d", "corp.test")
    assert config.gateway.postmaster == "postmaster@xn--fsqu00a.xn--0zwm56d"


def test_all_mistakes_at_once() -> None:
    assert len(problems('[gatway]\nx=1\n[dns]\nserver="a"\n[[route]]\nto="smtp://x"\n')) >= 4


@pytest.mark.parametrize(("number", "said"), [(0, True), (1, False), (1000, False), (1001, True)])
def test_no_more_recipients_than_the_log_can_name(number: int, said: bool) -> None:
    text = f"{GOOD}[limits]\nrecipients = {number}\n"
    if said:
        assert "limits.recipients" in problems(text)[0]
    else:
        assert read(text).limits.recipients == number


def test_a_listener_can_not_be_called_like_the_gateways_own_mail() -> None:
    assert "此名保留" in problems(GOOD.replace('name = "inbound"', 'name = "sealgate"'))[0]


@pytest.mark.parametrize("data", [b"\xff\xfe", b"[gateway", b"", b"gateway = 1", b"[[gateway]]\nhostname='x'"])
def test_what_is_no_configuration(data: bytes) -> None:
    with pytest.raises(ConfigError):
        parse(data, Path("x.toml"))


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sealgate init"):
        load(tmp_path / "none.toml")


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    problems: tuple[str, ...] = ("none",)
    try:
        read(text)
    except ConfigError as error:
        problems = error.problems
    assert problems


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ('retrys = "1m"', "Did you mean 是否想写 retry"),
        ('retry = "1x"', "item 1 of the retry schedule"),
        ("hold_days = 0", "1 to 3650"),
        ("delay_notice_hours = -1", "delay_notice_hours"),
    ],
)
def test_queue_settings_are_checked(line: str, word: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(f"{GOOD}[queue]\n{line}\n")
    assert word in str(refused.value)


def test_queue_settings_reach_custody() -> None:
    config = read(f'{GOOD}[queue]\nretry = "1m, 1h*9"\nexpire_hours = 2\nhold_days = 7\ndelay_notice_hours = 0\n')
    assert str(desk.retries(config).schedule) == "1m, 1h, 59m"
    assert desk.times(config).hold == timedelta(days=7)
    assert desk.retries(config).delay_notice is None
    plain = read(GOOD)
    assert desk.retries(plain).delay_notice == timedelta(hours=4)
    assert desk.retries(plain).schedule.lifetime > timedelta(days=4)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"gw.test"', "“gw.test”", "a full-width “ stands here"),
        ("127.0.0.1:2525", "127.0.0.1:２５２５", "bind must be address:port"),
        ("127.0.0.1:2526", "127.0.0.1:2525", "listener outbound: bind 127.0.0.1:2525 is that of inbound"),
        ("smtp://127.0.0.1:2600", "127.0.0.1:2600", "to must begin with smtp://"),
        ('name = "inbound"', 'name = "inbound"\nname = "x"', "the same key is written twice"),
    ],
)
def test_a_slip_names_its_line(old: str, new: str, said: str) -> None:
    (problem,) = problems(GOOD.replace(old, new, 1))
    place = re.match(r"/etc/s/sealgate.toml:(\d+)", problem)
    assert said in problem
    assert place is not None, problem
    assert 0 < int(place[1]) <= GOOD.count("\n") + 1
