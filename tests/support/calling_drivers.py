"""Run by `support.calling`: psycopg and asyncpg as it describes them. Arguments: the driver, and JSON of where to."""

from __future__ import annotations

import asyncio
import json
import queue
import ssl
import sys
import threading
from collections.abc import Sequence
from typing import Any

import asyncpg
import psycopg


def say(kind: str, *words: object) -> None:
    print(kind, *(str(word).replace("\n", " ") for word in words), flush=True)  # noqa: T201  # that's how it is heard


def parted(line: str) -> tuple[str, list[int], str]:
    """Verb, numbers and SQL of a line."""
    verb, _, rest = line.rstrip("\n").partition(" ")
    if verb in ("run", "cancel"):
        return verb, [], rest
    numbers, _, sql = rest.partition(" ")
    return verb, [int(number) for number in numbers.split(",")], sql


class Psycopg:
    """psycopg 3; a thread listens for what is to be cancelled."""

    def __init__(self, told: dict[str, Any], *, autocommit: bool) -> None:
        self.connection = psycopg.connect(told["dsn"], autocommit=autocommit)
        self.connection.add_notice_handler(lambda notice: say("notice", notice.message_primary))
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def serve(self) -> None:
        threading.Thread(target=self.listen, daemon=True).start()
        say("ready")
        while line := self.lines.get():
            try:
                say("ended", "00000", self.do(*parted(line)))
                self.connection.commit()
            except psycopg.Error as error:
                say("ended", error.sqlstate or "08006", error)
                if not self.connection.closed:
                    self.connection.rollback()

    def listen(self) -> None:
        for line in sys.stdin:
            if line.startswith("cancel"):
                self.connection.cancel()
            else:
                self.lines.put(line)
        self.lines.put("")

    def do(self, verb: str, numbers: Sequence[int], sql: str) -> int:
        with self.connection.cursor() as cursor:
            if verb == "batch":
                cursor.executemany(sql, [(number,) for number in numbers])
            elif verb == "values":
                cursor.execute(sql, numbers)
            else:
                cursor.execute(sql)
            return int(cursor.rowcount)


async def of_asyncpg(told: dict[str, Any]) -> None:
    context = ssl.create_default_context(cafile=told["ca"])
    context.load_cert_chain(told["certificate"], told["key"])
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    connection = await asyncpg.connect(
        host="localhost", port=told["port"], user=told["user"], database=told["database"], ssl=context
    )
    connection.add_log_listener(lambda _, message: say("notice", message.message))
    say("ready")

    async def do(verb: str, numbers: Sequence[int], sql: str) -> object:
        if verb == "batch":
            return await connection.executemany(sql, [(number,) for number in numbers])
        if verb == "values":
            return await connection.execute(sql, *numbers)
        return await connection.execute(sql, timeout=numbers[0] if verb == "within" else None)

    async def told_of(task: asyncio.Task[object]) -> None:
        try:
            say("ended", "00000", await task)
        except (TimeoutError, asyncio.CancelledError) as error:
            say("ended", "57014", type(error).__name__)
        except asyncpg.PostgresError as error:
            say("ended", error.sqlstate, error)
        except (OSError, asyncpg.InterfaceError) as error:
            say("ended", "08006", error)

    running: asyncio.Task[object] | None = None
    telling: asyncio.Task[None] | None = None
    while line := (await reader.readline()).decode():
        if line.startswith("cancel"):
            assert running is not None
            running.cancel()
            continue
        if telling is not None:
            await telling
        running = asyncio.create_task(do(*parted(line)))
        telling = asyncio.create_task(told_of(running))


def main() -> None:
    name, told = sys.argv[1], json.loads(sys.argv[2])
    try:
        if name == "asyncpg":
            asyncio.run(of_asyncpg(told))
        else:
            Psycopg(told, autocommit=name == "psycopg").serve()
    except (psycopg.OperationalError, asyncpg.PostgresError) as error:
        say("ended", error.sqlstate or "08006", error)


main()
