"""Requests of several users are served in turns."""

from __future__ import annotations

import asyncio

from jcs_ct.service.problems import RefusedError
from jcs_ct.service.turns import Turns


def test_users_take_turns() -> None:
    async def use() -> list[str]:
        turns, order = Turns(2, 1, 5), []
        gate = asyncio.Event()

        async def ask(user: str) -> None:
            async with turns.turn(user):
                await gate.wait()
                order.append(user)

        asked = [asyncio.create_task(ask("mallory")) for _ in range(5)]
        await asyncio.sleep(0)
        asked += [asyncio.create_task(ask(user)) for user in ("anna", "berta")]
        await asyncio.sleep(0)
        asked += [asyncio.create_task(ask("mallory")) for _ in range(3)]
        await asyncio.sleep(0)
        refused = [task for task in asked if task.done()]
        assert [type(task.exception()) for task in refused] == [RefusedError] * 2
        gave_up = asyncio.create_task(ask("berta"))
        await asyncio.sleep(0)
        gave_up.cancel()
        gate.set()
        await asyncio.gather(*asked, gave_up, return_exceptions=True)
        assert not turns._running
        assert not turns._waiting
        return order

    order = asyncio.run(use())
    assert order.index("anna") <= 1
    assert order.index("berta") <= 3, "after those that were called before"
    assert order.count("mallory") == 6
