"""The process beside the event loop: it may die or hang, and the next piece of work is done all the same."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from jcs_ct.errors import UsageError
from jcs_ct.service.computing import Computing
from jcs_ct.service.problems import RefusedError


def fails() -> None:
    """Work that is refused."""
    raise UsageError("found nothing; expected something")


def with_computing(limit_s: float, use: Callable[[Computing], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        computing = Computing(limit_s)
        try:
            await use(computing)
        finally:
            await asyncio.to_thread(computing.close)

    asyncio.run(run())


def test_work_is_done_elsewhere_and_its_errors_are_raised_here() -> None:
    async def use(computing: Computing) -> None:
        assert await computing.run("anna", os.getpid) != os.getpid()
        with pytest.raises(UsageError, match="found nothing"):
            await computing.run("anna", fails)

    with_computing(60, use)


def test_a_process_that_dies_is_replaced() -> None:
    async def use(computing: Computing) -> None:
        with pytest.raises(RefusedError) as refused:
            await computing.run("anna", os._exit, 1)
        assert refused.value.status == 503
        assert await computing.run("anna", abs, -1) == 1

    with_computing(60, use)


def test_work_that_hangs_is_ended() -> None:
    async def use(computing: Computing) -> None:
        first = await computing.run("anna", os.getpid)
        computing._limit_s = 0.3
        with pytest.raises(RefusedError, match=r"longer than 0\.3 s"):
            await computing.run("anna", time.sleep, 600)
        with pytest.raises(ProcessLookupError):
            os.kill(first, 0)
        computing._limit_s = 60
        assert await computing.run("anna", abs, -1) == 1

    with_computing(60, use)
