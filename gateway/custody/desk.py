"""Composition: custody with everything around it, as the queue process and the commands need it."""

import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from audit.event import new_id
from gateway import schedule
from gateway.config import Config
from gateway.context.dmarc_aggregate import oldest_day
from gateway.context.gather import Gatherer
from gateway.context.memory import Memory, open_memory
from gateway.custody.courier import Courier
from gateway.custody.custody import Custody, Times
from gateway.custody.house import House
from gateway.custody.notices import Notices
from gateway.custody.noting import Noting
from gateway.custody.outward import Outward
from gateway.custody.owners import Owner
from gateway.custody.people import People
from gateway.custody.rejudging import rejudger
from gateway.custody.release import Releaser
from gateway.hops import Hops
from gateway.judging import loading
from gateway.process.chores import Chore, doing
from gateway.recording.recorder import Recorder
from gateway.recording.socket_recorder import SocketRecorder
from gateway.routes import Routes
from gateway.schedule import RetryStrategy
from gateway.smtp.carrier import Carrier
from gateway.smtp.pool import Pool
from gateway.store.blobs import FolderBlobs
from gateway.store.opening import open_store
from gateway.treatments.sign import Signer, load_signer
from gateway.treatments.trim import trimmed
from policies.facts import fold_domain
from scanners.attachments.cache import Cache
from scanners.attachments.opener import AttachmentOpener
from scanners.attachments.poison import PoisonTable
from scanners.attachments.yara import compile_rules
from scanners.message import Envelope
from scanners.resolver import CachingResolver


def ids() -> str:
    """A ULID of now."""
    return new_id(time.time_ns() // 1_000_000, os.urandom(10))


def now() -> datetime:
    """The time of day."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Desk:
    """Custody, the log and the people of a configuration."""

    config: Config
    custody: Custody
    recorder: Recorder
    owner: Owner
    people: People
    notices: Notices
    routes: Routes
    memory: Memory = field(default_factory=Memory)


def house(config: Config) -> House:
    """Who writes the gateway's own mail."""
    domains = config.gateway.local_domains
    postmaster = config.gateway.postmaster or f"postmaster@{domains[0] if domains else config.gateway.hostname}"
    return House(config.gateway.hostname, postmaster, frozenset(domain.lower() for domain in domains))


def times(config: Config) -> Times:
    """How long things wait in custody."""
    queue = config.queue
    return Times(hold=timedelta(days=queue.hold_days), ids=timedelta(days=queue.id_days))


def retries(config: Config) -> RetryStrategy:
    """When to try again, when to give up, and when the sender hears that it takes long."""
    queue, planned = config.queue, schedule.parse(config.queue.retry)
    if queue.expire_hours:
        planned = planned.ending(timedelta(hours=queue.expire_hours))
    return RetryStrategy(planned, timedelta(hours=queue.delay_notice_hours) if queue.delay_notice_hours else None)


def signer(config: Config) -> Signer | None:
    """The DKIM key, if one is configured. Raises KeyUnusable."""
    dkim = config.dkim
    return (
        load_signer(fold_domain(dkim.domain), dkim.selector, dkim.key_file) if dkim.domain and dkim.key_file else None
    )


def outward(config: Config, carrier: Carrier, routes: Routes, hops: Hops) -> Outward:
    """How mail of this configuration leaves custody. Raises KeyUnusable."""
    local = frozenset(config.gateway.local_domains)

    def trim(envelope: Envelope, raw: bytes) -> bytes:
        end = raw.find(b"\r\n\r\n")
        return trimmed(envelope, raw, len(raw) if end < 0 else end + 4, config.gateway.authserv_id, local)

    return Outward(carrier, time.monotonic, routes, hops, signer(config), trim)


@contextlib.asynccontextmanager
async def open_desk(config: Config, name: str) -> AsyncIterator[Desk]:
    """Everything open and, at the end, closed. Raises StoreUnavailable; RecorderUnavailable when the gateway is not running."""
    state = config.gateway.state_dir
    async with contextlib.AsyncExitStack() as stack:
        recorder = SocketRecorder(state / "run" / "keeper.sock", name, time.monotonic)
        await recorder.open()
        stack.push_async_callback(recorder.close)
        store = await open_store(config)
        stack.push_async_callback(store.close)
        owner = Owner(state / "run" / "owners", ids())
        stack.callback(owner.close)
        blobs = FolderBlobs(state / "custody")
        custody = Custody(store, blobs, recorder, clock=now, ids=ids, owner=owner.name, times=times(config))
        routes = Routes.of(config.routes)
        notices = Notices(custody, recorder, routes, house(config), now)
        people = People(config.operators, config.groups, store, recorder, clock=now, ids=ids)
        memory = await stack.enter_async_context(open_memory(config, now, logging.getLogger(name)))
        yield Desk(config, custody, recorder, owner, people, notices, routes, memory)


@contextlib.asynccontextmanager
async def open_releaser(desk: Desk) -> AsyncIterator[Releaser]:
    """A releaser that judges by the configuration's rules with the running gateway's decoders."""
    config, state = desk.config, desk.config.gateway.state_dir
    async with contextlib.AsyncExitStack() as stack:
        resolver = CachingResolver(config.dns.servers, config.dns.timeout_s, time.monotonic)
        stack.push_async_callback(resolver.close)
        poison = PoisonTable(state / "run" / "poison")
        stack.callback(poison.close)
        rules = compile_rules(loading.yara_source(config))
        opener = AttachmentOpener(state / "run" / "decoder.sock", rules.version, Cache(0), poison)
        judge = loading.build(config, resolver, opener)
        gather = Gatherer.of(config, lambda: datetime.now().astimezone(), desk.memory.correspondents)
        rejudge = rejudger(
            judge, gather, time.monotonic, config.gateway.local_domains, monitor=config.gateway.mode == "monitor"
        )
        yield Releaser(desk.custody, rejudge, desk.routes, judge.version)


@contextlib.asynccontextmanager
async def open_courier(desk: Desk, releaser: Releaser, log: logging.Logger) -> AsyncIterator[Courier]:
    """A courier with a pool of its own; waits for what it began."""
    config = desk.config
    async with contextlib.AsyncExitStack() as stack:
        resolver = CachingResolver(config.dns.servers, config.dns.timeout_s, time.monotonic)
        stack.push_async_callback(resolver.close)
        pool = Pool(hostname=config.gateway.hostname, clock=time.monotonic, resolver=resolver)
        stack.push_async_callback(pool.close)
        way = outward(config, noting(pool, desk.memory), desk.routes, Hops())
        courier = Courier(desk.custody, way, desk.notices, retries(config), releaser, log)
        stack.push_async_callback(courier.drain)
        await stack.enter_async_context(doing(remembering(desk.memory), log))
        yield courier


NOTED_S, DMARC_S, PRUNE_S = 2.0, 60.0, 86_400.0
"""Pauses between writes: a reply to our mail finds us remembering it; a crash costs a minute of DMARC counts."""


def remembering(memory: Memory) -> tuple[Chore, ...]:
    """What writes a process's memory down."""
    made = []
    if memory.correspondents:
        made.append(Chore("correspondents", NOTED_S, memory.correspondents.flush))
    if memory.aggregates:
        aggregates = memory.aggregates
        made.append(Chore("dmarc", DMARC_S, aggregates.flush))
        made.append(Chore("dmarc-prune", PRUNE_S, lambda: aggregates.prune(oldest_day(now()))))
    return tuple(made)


def noting(pool: Pool, memory: Memory) -> Carrier:
    """The pool, noting whom mail of ours reaches."""
    return Noting(pool, memory.correspondents) if memory.correspondents else pool


def keeper_socket(config: Config) -> Path:
    """Where the log's writer listens."""
    return config.gateway.state_dir / "run" / "keeper.sock"
