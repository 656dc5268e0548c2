"""The loop that runs a job for ever."""

from __future__ import annotations

import asyncio

from service_kit.jobs import supervise


async def test_a_job_that_fails_in_its_own_way_when_it_is_cut_off_ends_all_the_same() -> None:
    begun = asyncio.Event()

    async def once() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("the connection is closed") from None

    job = asyncio.create_task(supervise("toy", once, 0.1))
    await begun.wait()
    job.cancel()
    await asyncio.wait({job}, timeout=30)
    assert job.done()
