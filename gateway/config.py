"""The configuration: one frozen tree, the only place that reads it from a file. Field docstrings become docs/settings.md."""

from dataclasses import dataclass, field
from pathlib import Path


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
    trusted_hops: tuple[str, ...] = ()
    """Networks whose PROXY header, XCLIENT or XFORWARD is believed."""
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
    message_bytes: int = 60_000_000
    """SIZE offered in EHLO."""
    recipients: int = 100
    """Per message, then 452."""
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
