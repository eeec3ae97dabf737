"""A whole gateway for tests: the demo's stage, in the test's own folder."""

from collections.abc import AsyncIterator
from pathlib import Path
from time import time

import pyotp
import pytest

from gateway.demo.stage import Stage

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """Real processes, stub DNS and stub server, on ports picked free."""
    async with Stage(tmp_path, SECRET) as made:
        yield made


def code() -> str:
    """A code that is taken for a minute and longer, as the window allows: a command may take long to start."""
    return pyotp.TOTP(SECRET).at(int(time()) + 30)
