"""The configuration: one frozen tree, read here and nowhere else. The docstrings become docs/reference/settings.md."""

import difflib
import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints
from urllib.parse import parse_qs, urlsplit

import msgspec

from gateway import schedule
from gateway.context.geography import Geography
from policies import toml_text
from policies.facts import fold_domain
from policies.problem import Problem


@dataclass(frozen=True, slots=True)
class Gateway:
    """Who we are and how we run."""

    hostname: str
    """In the 220 greeting, Received fields and our HELO."""
    local_domains: tuple[str, ...]
    """Domains whose mail is ours."""
    authserv_id: str = ""
    """RFC 8601 identity; incoming Authentication-Results that claim it are removed. Default: hostname."""
    state_dir: Path = Path("state")
    """Log, custody, keys and spool. Relative to the configuration file."""
    mode: str = "enforce"
    """enforce, or monitor: deliver everything, stamp headers, log what would have happened."""
    workers: int = 2
    """SMTP worker processes."""
    decoders: int = 2
    """Sandboxed processes that open attachments."""
    attachment_text: bool = True
    """Read the text of attachments; off, they are typed and scanned by YARA and ClamAV only."""
    attachment_cache_mb: int = 16
    """Verdicts and texts of attachments remembered by hash, per worker; 0: none."""
    next_hop_down: str = "tempfail"
    """When the next hop can't be reached: tempfail (451) or custody (250, and our queue tries again)."""
    trusted_hops: tuple[str, ...] = ()
    """Networks whose PROXY header, XCLIENT or XFORWARD is believed."""
    user: str = ""
    """Started as root: the account to become once the ports are bound."""
    postmaster: str = ""
    """Where undeliverable notices go; default postmaster@ the first local domain."""


@dataclass(frozen=True, slots=True)
class Dns:
    """Where names are looked up."""

    servers: tuple[str, ...] = ()
    """address:port each; UDP, then TCP when truncated. Default: the system's."""
    timeout_s: float = 2.0
    """Per attempt."""


@dataclass(frozen=True, slots=True)
class ListenerTls:
    """Certificate of a listener."""

    cert_file: Path | None = None
    """PEM chain."""
    key_file: Path | None = None
    """PEM key."""
    mode: str = "starttls"
    """starttls, or implicit."""
    required: bool = False
    """MAIL before STARTTLS is answered 530."""


MAX_RECIPIENTS = 1000
"""Of one message: one event of the log names them all, and more than some 3000 long addresses do not fit."""
HOUSE_LISTENER = "sealgate"
"""The listener of mail that the gateway itself writes; none that is configured can be called so."""


@dataclass(frozen=True, slots=True)
class Listener:
    """One SMTP port."""

    name: str
    """Cited in events and rules."""
    bind: str
    """address:port."""
    direction: str
    """inbound, outbound or submission."""
    clients: tuple[str, ...] = ()
    """outbound: networks that may relay; no list, no relay."""
    proxy_protocol: bool = False
    """Every connection begins with a PROXY v1 or v2 header, from a trusted hop only."""
    xclient: bool = False
    """XCLIENT and XFORWARD offered to trusted hops."""
    tls: ListenerTls = field(default_factory=ListenerTls)
    """Certificate; none, no STARTTLS."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where mail goes on."""

    recipients: str
    """A domain, or "*"; a recipient without a route is refused."""
    to: str
    """smtp://host:port, smtps://, lmtp:// or mx:."""
    tls: str = "opportunistic"
    """opportunistic, required or verified."""
    ca_file: Path | None = None
    """Trust anchors for verified; default the system's."""
    connections: int = 20
    """At most this many at once from this node."""
    recipients_list: Path | None = None
    """File with the known recipients, one a line; others are refused at RCPT."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what a client may ask for."""

    messages_per_minute: int = 0
    """Per client address; 0: no limit."""
    connections_per_client: int = 50
    """At once, per client address."""
    connections: int = 2000
    """At once, per worker."""
    refusals_per_client: int = 0
    """Refused commands and messages in ten minutes, per client address, before its connections get 421; 0: no limit."""
    message_bytes: int = 60_000_000
    """SIZE offered in EHLO."""
    recipients: int = 100
    """Per message, at most 1000; then 452."""
    command_s: float = 300.0
    """Wait for the next command (RFC 5321 4.5.3.2.7)."""
    data_s: float = 900.0
    """For the whole of DATA."""
    idle_data_s: float = 180.0
    """Without a byte inside DATA."""
    inflight_mb: int = 96
    """DATA in memory per worker; beyond it MAIL gets 452."""
    reply_budget_s: float = 240.0
    """From the end of data to our answer; 50 on submission."""
    errors: int = 20
    """Bad commands before 421."""


@dataclass(frozen=True, slots=True)
class Queue:
    """Mail in custody: when it is tried again, and how long it waits."""

    retry: str = schedule.DEFAULT
    """Pauses between attempts, <number><s|m|h|d> and *times: 1m, 5m*2, 1h*3. Used up, the sender gets a bounce."""
    expire_hours: int = 0
    """Give up after so long even if the schedule goes on; 0: when the schedule is used up (about five days)."""
    delay_notice_hours: int = 4
    """Tell the sender once that mail is late, if the sender may be told; 0: never."""
    hold_days: int = 30
    """Held mail that nobody answered expires after this, and a sender of ours is told."""
    id_days: int = 30
    """Ids of finished messages are remembered so long, so that none is taken twice."""


@dataclass(frozen=True, slots=True)
class Store:
    """Where deliveries in custody are kept. The bytes of mail and the log stay in state_dir."""

    url: str = ""
    """postgresql://user@host/database, without a password; empty: SQLite in state_dir. A database belongs to one gateway."""
    password_file: Path | None = None
    """File with the database password, mode 0600; none: the server knows us by socket, certificate or .pgpass."""


@dataclass(frozen=True, slots=True)
class Policies:
    """Rules of your own."""

    dir: Path | None = None
    """TOML files added to the built-in rules."""
    builtin: bool = True
    """Load the built-in rules."""


@dataclass(frozen=True, slots=True)
class Console:
    """Health, metrics and (later) pages."""

    bind: str = "127.0.0.1:8080"
    """address:port."""


@dataclass(frozen=True, slots=True)
class Auth:
    """SMTP AUTH on submission listeners."""

    users_file: Path | None = None
    """login:argon2-hash per line; made by sealgate user add."""


@dataclass(frozen=True, slots=True)
class Dkim:
    """Signing of what leaves."""

    domain: str = ""
    """d=; empty: nothing is signed."""
    selector: str = ""
    """s=."""
    key_file: Path | None = None
    """PEM private key, RSA 2048 or Ed25519."""


@dataclass(frozen=True, slots=True)
class Clamav:
    """ClamAV by clamd's socket."""

    address: str = ""
    """unix:/path or host:port; empty: not used."""
    timeout_s: float = 20.0
    """Per message."""


@dataclass(frozen=True, slots=True)
class Operator:
    """A person who may answer held mail on the command line."""

    name: str
    """Cited in events."""
    address: str = ""
    """Mail address; nobody releases their own mail."""
    roles: tuple[str, ...] = ("approver",)
    """approver, auditor, admin."""
    groups: tuple[str, ...] = ()
    """Groups that rules name in approvers."""
    totp_file: Path | None = None
    """File with the base32 TOTP secret, mode 0600."""


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration."""

    gateway: Gateway
    dns: Dns = field(default_factory=Dns)
    listeners: tuple[Listener, ...] = ()
    routes: tuple[Route, ...] = ()
    limits: Limits = field(default_factory=Limits)
    queue: Queue = field(default_factory=Queue)
    store: Store = field(default_factory=Store)
    policies: Policies = field(default_factory=Policies)
    console: Console = field(default_factory=Console)
    auth: Auth = field(default_factory=Auth)
    dkim: Dkim = field(default_factory=Dkim)
    clamav: Clamav = field(default_factory=Clamav)
    operators: tuple[Operator, ...] = ()
    groups: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """[groups] name = ["a@corp.test", ...]."""
    trusted_sealers: tuple[str, ...] = ()
    """[arc] trusted_sealers: domains whose ARC chain may override a DMARC failure."""
    own_accounts: tuple[str, ...] = ()
    """[company] own_accounts: our own bank accounts, normalised."""
    countries: tuple[tuple[str, str], ...] = ()
    """[countries] domain = "DE": where a partner is, when its name does not tell or tells wrong."""


class ConfigError(Exception):
    """The file can't be used; ``problems`` are lines for people, each with file and line and what to do."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


_TABLES: Mapping[str, tuple[str, type[Any]]] = {
    "gateway": ("gateway", Gateway),
    "dns": ("dns", Dns),
    "limits": ("limits", Limits),
    "queue": ("queue", Queue),
    "store": ("store", Store),
    "policies": ("policies", Policies),
    "console": ("console", Console),
    "auth": ("auth", Auth),
    "dkim": ("dkim", Dkim),
    "clamav": ("clamav", Clamav),
}
_LISTS: Mapping[str, tuple[str, type[Any]]] = {
    "listener": ("listeners", Listener),
    "route": ("routes", Route),
    "operator": ("operators", Operator),
}
_CHOICES: Mapping[tuple[type[Any], str], tuple[str, ...]] = {
    (Gateway, "mode"): ("enforce", "monitor"),
    (Gateway, "next_hop_down"): ("tempfail", "custody"),
    (Listener, "direction"): ("inbound", "outbound", "submission"),
    (ListenerTls, "mode"): ("starttls", "implicit"),
    (Route, "tls"): ("opportunistic", "required", "verified"),
}
MAX_FILE = 1 << 20
"""Bytes of a configuration file; a larger one is surely not meant for us."""


def load(path: Path) -> Config:
    """Read a configuration file: TOML as people write it, or the JSON snapshot the supervisor hands to its children.

    Relative paths come back absolute, relative to the file. Raises ConfigError with every problem found.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            [f"{path}: cannot be read 无法读取 ({error.strerror}). Create one with: sealgate init --config {path}"]
        ) from None
    if len(data) > MAX_FILE:
        raise ConfigError([f"{path}: larger than {MAX_FILE} bytes 文件过大"])
    if path.suffix == ".json":
        return msgspec.json.decode(data, type=Config, dec_hook=_decode_path)
    return parse(data, path)


def snapshot(config: Config) -> bytes:
    """The form ``load`` takes back from a ``.json`` file: what was validated is what runs, whatever is edited later."""
    return msgspec.json.encode(config, enc_hook=str)


def _decode_path(kind: type[Any], value: Any) -> Any:
    if kind is Path:
        return Path(value)
    raise NotImplementedError(kind)


def parse(data: bytes, path: Path) -> Config:
    """TOML text to Config. Raises ConfigError."""
    try:
        text = data.decode("utf-8-sig")  # Windows' editors begin a file with a mark
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 at byte {error.start}. Save the file as UTF-8 请另存为 UTF-8"]) from None
    document = toml_text.parse(str(path), text)
    if isinstance(document, Problem):
        raise ConfigError([str(document)])
    reader = _Reader(text, path)
    config = reader.config(document.data)
    if not reader.problems:
        reader.problems += [f"{path}{_place(problem, reader)}: {problem}" for problem in _consistency(config)]
    if reader.problems:
        raise ConfigError(reader.problems)
    gateway = config.gateway
    return replace(
        config,
        gateway=replace(
            gateway,
            authserv_id=gateway.authserv_id or gateway.hostname,
            state_dir=(path.parent / gateway.state_dir).absolute(),
            postmaster=gateway.postmaster or f"postmaster@{fold_domain(gateway.local_domains[0])}",
            local_domains=tuple(map(fold_domain, gateway.local_domains)),
        ),
    )


class _Reader:
    """Turns tables into dataclasses, collecting problems instead of stopping at the first."""

    def __init__(self, text: str, path: Path) -> None:
        self.lines = text.splitlines()
        self.path = path
        self.problems: list[str] = []

    def config(self, tree: Mapping[str, Any]) -> Config:
        values: dict[str, Any] = {}
        known = {*_TABLES, *_LISTS, "groups", "arc", "company", "countries"}
        for key, value in tree.items():
            if key in _TABLES and isinstance(value, dict):
                name, kind = _TABLES[key]
                values[name] = self.table(kind, value, key, 0)
            elif key in _LISTS and isinstance(value, list) and all(isinstance(item, dict) for item in value):
                name, kind = _LISTS[key]
                values[name] = tuple(self.table(kind, item, key, index) for index, item in enumerate(value))
            elif key == "groups" and isinstance(value, dict):
                values["groups"] = tuple((str(name), tuple(map(str, people))) for name, people in value.items())
            elif key == "countries" and isinstance(value, dict):
                values["countries"] = tuple((str(domain), str(country)) for domain, country in value.items())
            elif key == "arc" and isinstance(value, dict):
                values["trusted_sealers"] = self.strings(value, "trusted_sealers", key)
            elif key == "company" and isinstance(value, dict):
                values["own_accounts"] = self.strings(value, "own_accounts", key)
            elif key in known:
                wanted = f"[[{key}]]" if key in _LISTS else f"[{key}]"
                self.complain(key, 0, key, f"must be written as {wanted} 应写作 {wanted}")
            else:
                self.unknown(key, 0, key, known)
        if "gateway" not in values:
            self.problems.append(
                f"{self.path}: no [gateway] table. Add [gateway] with hostname and local_domains 缺少 [gateway]"
            )
            values["gateway"] = Gateway(hostname="", local_domains=())
        return Config(**values)

    def strings(self, table: Mapping[str, Any], name: str, where: str) -> tuple[str, ...]:
        for key in table:
            if key != name:
                self.unknown(where, 0, key, {name})
        value = table.get(name, [])
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        self.complain(where, 0, name, "must be a list of strings 应为字符串列表")
        return ()

    def table(self, kind: type[Any], table: Mapping[str, Any], where: str, index: int) -> Any:
        """One dataclass from one table; a missing or wrong value becomes a problem and a harmless stand-in."""
        hints = get_type_hints(kind)
        values: dict[str, Any] = {}
        for key, value in table.items():
            if key not in hints:
                self.unknown(where, index, key, set(hints))
                continue
            try:
                values[key] = self.value(hints[key], value, f"{where}.{key}", index)
            except TypeError as error:
                self.complain(where, index, key, str(error))
                continue
            choices = _CHOICES.get((kind, key))
            if choices and values[key] not in choices:
                near = _nearest(str(values[key]), set(choices))
                self.complain(where, index, key, f"must be one of 只能是 {', '.join(choices)}{near}")
        for item in fields(kind):
            required = item.default is MISSING and item.default_factory is MISSING
            if required and item.name not in values:
                if item.name not in table:
                    self.complain(where, index, "", f"{item.name} is missing 缺少 {item.name}")
                values[item.name] = () if str(hints[item.name]).startswith("tuple") else ""
        return kind(**values)

    def value(self, hint: Any, value: Any, where: str, index: int) -> Any:
        if is_dataclass(hint):
            if not isinstance(value, dict):
                raise TypeError("must be a table 应为表")
            return self.table(hint, value, where, index)  # type: ignore[arg-type]
        if Path in get_args(hint) or hint is Path:
            if not isinstance(value, str) or not value:
                raise TypeError("must be a path 应为路径")
            return (self.path.parent / value).absolute()
        if get_origin(hint) is tuple:
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise TypeError("must be a list of strings 应为字符串列表")
            return tuple(value)
        if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        if hint is int and isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        if isinstance(value, hint) and (hint is not int):
            return value
        raise TypeError(f"must be {hint.__name__}, not {type(value).__name__} 类型不对")

    def unknown(self, where: str, index: int, key: str, known: set[str]) -> None:
        self.complain(where, index, key, f"unknown key 未知的键{_nearest(key, known)}")

    def complain(self, where: str, index: int, key: str, what: str) -> None:
        label = f"{where}.{key}" if key and key != where else where
        self.problems.append(f"{self.path}:{self.line(where, index, key)}: {label}: {what}")

    def line(self, where: str, index: int, key: str) -> int:
        """1-based line of a key: the header's ``index``-th appearance, then the key below it; a scan of lines, bounded by the file."""
        headers = {f"[{where}]", f"[[{where}]]"}
        seen, start = -1, 0
        for number, line in enumerate(self.lines):
            if line.split("#", 1)[0].replace(" ", "").strip() in headers:
                seen += 1
                start = number
                if seen == index:
                    break
        for number in range(start, len(self.lines)):
            stripped = self.lines[number].strip()
            if number > start and stripped.startswith("["):
                break
            if key and stripped.split("=", 1)[0].strip().strip('"') == key:
                return number + 1
        return start + 1


def _place(problem: str, reader: _Reader) -> str:
    """``:LINE`` of what a problem between values names first: a listener, a route, ``section.key``, or the value itself; else nothing."""
    first, _, rest = problem.partition(" ")
    second = rest.partition(":")[0]
    named = {"listener": "name", "route": "recipients"}.get(first)
    wanted = f'"{second}"' if named else f'"{first.rstrip(":")}"'
    section, dot, key = first.rstrip(":").partition(".")
    if dot and section in _TABLES and any(line.strip() == f"[{section}]" for line in reader.lines):
        return f":{reader.line(section, 0, key)}"
    found = (
        at
        for at, line in enumerate(reader.lines, 1)
        if wanted in line.split("#", 1)[0] and (not named or line.partition("=")[0].strip() == named)
    )
    number = next(found, 0)
    return f":{number}" if number else ""


def _nearest(word: str, known: set[str]) -> str:
    near = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return f". Did you mean 是否想写 {near[0]}?" if near else f". Known 可用: {', '.join(sorted(known))}"


def _consistency(config: Config) -> Iterator[str]:
    """Problems between values, each a line for people."""
    gateway = config.gateway
    if not gateway.hostname or not gateway.local_domains:
        yield "gateway.hostname and gateway.local_domains must not be empty 不能为空"
    for domain in (*gateway.local_domains, *(route.recipients for route in config.routes if route.recipients != "*")):
        if not (folded := fold_domain(domain)).isascii() or not folded.isprintable() or {" ", "@"} & set(folded):
            yield f"{domain}: not a domain 不是域名"
    if not 1 <= gateway.workers <= 64 or not 1 <= gateway.decoders <= 64:
        yield "gateway.workers and gateway.decoders must be 1 to 64 须为 1 到 64"
    if not 1 <= config.limits.recipients <= MAX_RECIPIENTS:
        yield f"limits.recipients must be 1 to {MAX_RECIPIENTS} 须为 1 到 {MAX_RECIPIENTS}"
    names = [listener.name for listener in config.listeners]
    if len(set(names)) != len(names):
        yield "two listeners have the same name; give each its own 监听器重名"
    if HOUSE_LISTENER in names:
        yield f"listener {HOUSE_LISTENER}: the gateway's own mail bears this name and is not judged; choose another 此名保留，请改名"
    for listener in config.listeners:
        yield from _listener(listener)
    yield from _same_port(config.listeners)
    if not config.routes and config.listeners:
        yield "no [[route]]: nothing could be delivered; add one for each domain 缺少 [[route]]"
    for route in config.routes:
        if not route.to.startswith(("smtp://", "smtps://", "lmtp://", "mx:")):
            yield f"route {route.recipients}: to must begin with smtp://, smtps://, lmtp:// or mx: (now {route.to}) 应以此开头"
    for network in (*gateway.trusted_hops, *(client for listener in config.listeners for client in listener.clients)):
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError:
            yield f"{network}: not a network; write 192.0.2.0/24 or 2001:db8::/32 不是网段"
    try:
        Geography(dict(config.countries))
    except ValueError as error:
        yield f"[countries] {error}"
    try:
        schedule.parse(config.queue.retry)
    except schedule.ScheduleError as error:
        yield f"queue.retry: {error}"
    if not 1 <= config.queue.hold_days <= 3650 or not 1 <= config.queue.id_days <= 3650:
        yield "queue.hold_days and queue.id_days must be 1 to 3650 须为 1 到 3650 天"
    yield from _store(config.store)
    if config.dkim.domain and (not config.dkim.selector or not config.dkim.key_file):
        yield "dkim.domain needs dkim.selector and dkim.key_file 需同时设置"


def _store(store: Store) -> Iterator[str]:
    if not store.url:
        if store.password_file:
            yield "store.password_file without store.url: name the database, or remove it 只设置了口令文件，缺少 store.url"
        return
    try:
        split = urlsplit(store.url)
        password, scheme, database = split.password, split.scheme, split.path.strip("/")
    except ValueError:
        password, scheme, database = None, "", ""
    if password or "password" in parse_qs(split.query if scheme else ""):
        # Never quoted: what stands in an error is read by others.
        yield "store.url must not hold the password: write it into a file of mode 0600, named by store.password_file 口令不可写在 URL 中"
    if scheme not in ("postgresql", "postgresql+psycopg") or not database or "/" in database:
        yield "store.url must be written postgresql://USER@HOST/DATABASE; empty is SQLite in state_dir 应写作此形式，留空为 SQLite"


def _same_port(listeners: Sequence[Listener]) -> Iterator[str]:
    """Both would be bound, and the kernel would give each client to either."""
    taken: dict[str, str] = {}
    for listener in listeners:
        other = taken.setdefault(listener.bind, listener.name)
        if other != listener.name and not listener.bind.endswith(":0"):
            yield f"listener {listener.name}: bind {listener.bind} is that of {other}; give it another port 端口重复，请改用其他"


def _listener(listener: Listener) -> Iterator[str]:
    host, colon, port = listener.bind.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or not 0 <= int(port) <= 65535 or not host:
        yield f"listener {listener.name}: bind must be address:port, for example 127.0.0.1:2525 (now {listener.bind}) 应写作 地址:端口"
    if listener.direction == "outbound" and not listener.clients:
        yield f"listener {listener.name}: outbound needs clients, the networks that may relay (no list, no relay) 须设置 clients"
    if bool(listener.tls.key_file) != bool(listener.tls.cert_file):
        yield f"listener {listener.name}: tls needs both cert_file and key_file 须同时设置"
    if (listener.tls.required or listener.tls.mode == "implicit") and not listener.tls.cert_file:
        yield f"listener {listener.name}: tls is required but there is no cert_file 缺少证书"
