from __future__ import annotations

import asyncio

from gateway.protocols.ssh.turns import Turns


def test_one_in_each_turn_of_the_loop() -> None:
    async def act() -> None:
        turns = Turns()
        done: list[int] = []

        async def work(number: int) -> None:
            await turns.mine()
            done.append(number)

        tasks = [asyncio.create_task(work(number)) for number in range(20)]
        most = seen = 0
        while len(done) < 20:  # turns of the loop are what is looked at
            await asyncio.sleep(0)
            most, seen = max(most, len(done) - seen), len(done)
        assert most == 1
        assert done == sorted(done)
        await asyncio.gather(*tasks)

    asyncio.run(act())


def test_whoever_gives_up_keeps_nobody() -> None:
    async def act() -> None:
        turns = Turns()
        tasks = [asyncio.create_task(turns.mine()) for _ in range(5)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        tasks[3].cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(each, asyncio.CancelledError) for each in found] == [False, True, False, True, False]
        await turns.mine()

    asyncio.run(act())
