"""A load of pushes and pulls over bare sockets, in a process of its own so that it takes no time of who measures.

    python -m tests.journeys.mass_sync HOST PORT CONFIG_ID CLIENTS BATCH

The token comes on the first line of standard input. Each further line is a number of seconds to go on for; the answer
is a line of JSON: `done` requests in `seconds`, and `times`, how long each took in seconds. Clients push; with batches
of fewer than 100 they push and pull by turns, with a pause between.
"""

import asyncio
import json
import sys
from collections.abc import Iterator
from itertools import count
from time import perf_counter
from uuid import uuid4

PAUSE = 0.005


class Client:
    """One device with one connection."""

    def __init__(self, host: str, port: int, config_id: str, token: str, batch: int) -> None:
        self.host, self.port = host, port
        self.batch = batch
        self.headers = f"Host: {host}\r\nAuthorization: Bearer {token}\r\nX-Tenant-Id: {config_id}\r\n"
        self.headers += f"X-Device-Id: {uuid4()}\r\n"
        self.requests = self._requests()

    async def connect(self) -> None:
        self.reader, self.writer = await asyncio.open_connection(self.host, self.port, limit=2**24)

    def _requests(self) -> Iterator[bytes]:
        event = {
            "guid": "PUSH-%d",
            "entityGuid": "PUSH-%d",
            "type": "create-individual",
            "data": {"name": "Amina Odhiambo", "entityName": "individual", "village": "Kibera", "age": 31},
            "timestamp": "2026-01-31T08:15:00.000Z",
            "userId": "7",
        }
        line = json.dumps(event).replace("-%d", "-{0}")
        text = ",".join(line.replace("{0}", str(number)) for number in range(self.batch))
        body = '{"events":[' + text + "]}"
        for number in count(1):
            data = body.replace("PUSH", str(uuid4())).encode()
            head = f"POST /api/v2/sync/push HTTP/1.1\r\n{self.headers}Content-Length: {len(data)}\r\n\r\n"
            yield head.encode() + data
            if self.batch < 100 and number:
                yield f"GET /api/sync/pull HTTP/1.1\r\n{self.headers}\r\n".encode()

    async def request(self) -> float:
        data = next(self.requests)
        began = perf_counter()
        self.writer.write(data)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        await self.reader.readexactly(int(head.partition("content-length: ")[2].partition("\r")[0]))
        status = int(head.split()[1])
        if status not in (200, 429, 503):
            raise RuntimeError(head)
        return perf_counter() - began if status == 200 else 0.0

    async def run(self, until: float) -> list[float]:
        times = []
        while perf_counter() < until:
            if seconds := await self.request():
                times.append(seconds)
            if self.batch < 100:
                await asyncio.sleep(PAUSE)
        return times


async def main(host: str, port: str, config_id: str, clients: str, batch: str) -> None:
    token = sys.stdin.readline().strip()
    devices = [Client(host, int(port), config_id, token, int(batch)) for _ in range(int(clients))]
    for device in devices:
        await device.connect()
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        began = perf_counter()
        times = await asyncio.gather(*(device.run(began + float(line)) for device in devices))
        every = [each for some in times for each in some]
        print(json.dumps({"done": len(every), "seconds": perf_counter() - began, "times": every}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
