"""The built-in rules with the real scanners and decoders, as the gateway builds them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.config import Config, Gateway
from gateway.judging.judge import Judge
from gateway.judging.oneshot import judge_here
from tests.corpus.trade.generate import HOME, OWN_ACCOUNT

CONFIG = Config(Gateway(hostname="gw.corp.test", local_domains=(HOME,)), own_accounts=("".join(OWN_ACCOUNT.split()),))


@asynccontextmanager
async def real_judge() -> AsyncIterator[Judge]:
    """Built-in rules, shipped dictionaries, sandboxed decoders; nothing asks the DNS."""
    async with judge_here(CONFIG, None) as made:
        yield made
