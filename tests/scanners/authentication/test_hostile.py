"""Megabytes of blanks, tags and folded lines through everything that reads a header: cost grows with the mail, no faster."""

import time
from collections.abc import Awaitable, Callable

import pytest

from scanners.authentication import arc, headers
from scanners.authentication.keys import KeyStore
from scanners.authentication.results import strip_forged
from scanners.authentication.scanner import AuthenticationScanner
from scanners.authentication.verdicts import Verdict
from tests.cost import TRIES
from tests.fakes.resolver import FakeResolver
from tests.scanners.authentication.mail import PLAIN, message, prepare, split
from tests.scanners.authentication.test_scanner import ZONE

SMALL, LARGE = 250_000, 2_000_000
FLOOR_S = 0.5
"""Below this the larger one may cost what it likes: a quadratic path needs many seconds at two megabytes."""

FROM: dict[str, Callable[[int], bytes]] = {
    "blanks": lambda n: b" " * n,
    "folded": lambda n: b"\r\n x" * (n // 4),
    "comments": lambda n: b"(" * n,
    "quotes": lambda n: b'"\\' * (n // 2),
    "angles": lambda n: b"<a@b.test>" * (n // 10),
    "commas": lambda n: b"," * n,
    "at signs": lambda n: b"@" * n,
    "encoded words": lambda n: b"=?utf-8?q?a?= " * (n // 14),
    "broken words": lambda n: b"=?" * (n // 2),
}
RESULTS: dict[str, Callable[[int], bytes]] = {
    "one long field": lambda n: b"Authentication-Results: " + b"(" * n + b"\r\n",
    "many fields": lambda n: b"Authentication-Results: other.test; x=y\r\n" * (n // 41),
    "many of ours": lambda n: b"Authentication-Results: gw.test; x=y\r\n" * (n // 38),
    "line ends": lambda n: b"Authentication-Results: x" + b"\r\n " * (n // 3) + b"\r\n",
    "statements": lambda n: b"Authentication-Results: x" + b";a=b c.d=e" * (n // 10) + b"\r\n",
}
CHAINS: dict[str, Callable[[int], bytes]] = {
    "many sets": lambda n: b"ARC-Seal: i=1; a=b\r\n" * (n // 20),
    "blanks": lambda n: b"ARC-Seal: i=1; b=" + b" " * n + b"!\r\n",
    "vertical tabs": lambda n: b"ARC-Message-Signature: i=1; b=" + b"\x0b" * n + b"!\r\n",
    "digits": lambda n: b"ARC-Seal: i=" + b"9" * n + b"\r\n",
    "tags": lambda n: b"ARC-Seal: i=1;" + b"".join(b"a%d=;" % i for i in range(n // 7)) + b"\r\n",
}


async def grows_no_faster(make: Callable[[int], bytes], work: Callable[[bytes], Awaitable[object]]) -> None:
    small, large = make(SMALL), make(LARGE)
    for _ in range(TRIES):
        costs = []
        for raw in (small, large):
            began = time.process_time()
            await work(raw)
            costs.append(time.process_time() - began)
        if costs[1] < max(FLOOR_S, 24 * costs[0]):
            return
    pytest.fail(str(costs))


@pytest.mark.parametrize("name", FROM)
async def test_from(name: str) -> None:
    async def work(raw: bytes) -> None:
        assert headers.author(prepare(raw), raw, split(raw)).ambiguous

    await grows_no_faster(lambda n: b"From: " + FROM[name](n) + b"\r\n\r\n", work)


@pytest.mark.parametrize("name", RESULTS)
async def test_results(name: str) -> None:
    async def work(raw: bytes) -> None:
        strip_forged(raw, split(raw), "gw.test")

    await grows_no_faster(lambda n: RESULTS[name](n) + PLAIN, work)


@pytest.mark.parametrize("name", CHAINS)
async def test_chains(name: str) -> None:
    async def work(raw: bytes) -> None:
        result = await arc.verify(prepare(raw), FakeResolver({}), KeyStore())
        assert result.verdict in (Verdict.FAIL, Verdict.NONE)

    await grows_no_faster(lambda n: CHAINS[name](n) + PLAIN, work)


@pytest.mark.parametrize(
    "field", [b"Subject: ", b"X-", b"\0", b":", b"From ", b"DKIM-Signature: a=b;", b"ARC-Seal: i=1;"]
)
async def test_everything_together(field: bytes) -> None:
    async def work(raw: bytes) -> None:
        await AuthenticationScanner(FakeResolver(ZONE)).scan(message(raw))

    await grows_no_faster(lambda n: field + b" \t;=<(@," * (n // 8) + b"\r\n" + PLAIN, work)
