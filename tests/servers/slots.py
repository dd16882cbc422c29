# SPDX-License-Identifier: AGPL-3.0-or-later
"""An engine of some slots that thinks by rote, as slowly as a real one, one step for all streams.

    python -m tests.servers.slots --port 0 [--slots 4] [--speed 36,43,50,51] [--prompt 200]

prints `{"port": N}` when it listens. A request is one line of JSON, {"prompt": N, "tokens": M};
the answer M lines `token`, then `end`. Streams share each step: with n of them `speed[n-1]`
tokens a second come in all, and prompts are read at `prompt` tokens a second, a part in each
step. Who finds no slot free waits in order of arrival. `{"most": 0}` answers how many slots were
in use at once at most.
"""

import argparse
import asyncio
import json
from collections import deque
from dataclasses import dataclass, field

CHUNK = 16
"""Prompt tokens read in one step."""


@dataclass
class Stream:
    """A request in its slot or before it."""

    prompt: int
    tokens: int
    out: asyncio.StreamWriter
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Engine:
    """The slots and the one loop that moves them."""

    def __init__(self, slots: int, speed: list[float], prompt: float) -> None:
        self.slots = slots
        self.speed = speed
        self.prompt = prompt
        self.sitting: list[Stream] = []
        self.line: deque[Stream] = deque()
        self.called = asyncio.Event()
        self.most = 0

    async def run(self) -> None:
        while True:
            while self.line and len(self.sitting) < self.slots:
                self.sitting.append(self.line.popleft())
            self.most = max(self.most, len(self.sitting))
            if not self.sitting:
                self.called.clear()
                await self.called.wait()
                continue
            await asyncio.sleep(self.step())
            for stream in [one for one in self.sitting if not one.tokens or gone(one)]:
                self.sitting.remove(stream)
                stream.done.set()

    def step(self) -> float:
        """Move every stream a little; the seconds that takes."""
        seconds = 0.0
        reading = next((stream for stream in self.sitting if stream.prompt), None)
        if reading:
            part = min(CHUNK, reading.prompt)
            reading.prompt -= part
            seconds += part / self.prompt
        speaking = [one for one in self.sitting if not one.prompt and one is not reading]
        for stream in speaking:
            stream.tokens -= 1
            if not gone(stream):
                stream.out.write(b"token\n")
        if speaking:
            index = min(len(speaking), len(self.speed)) - 1
            seconds += len(speaking) / self.speed[index]
        return seconds

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                wish = json.loads(line)
                if "most" in wish:
                    writer.write(json.dumps({"most": self.most}).encode() + b"\n")
                    continue
                stream = Stream(wish["prompt"], wish["tokens"], writer)
                self.line.append(stream)
                self.called.set()
                await stream.done.wait()
                writer.write(b"end\n")
        except ConnectionError:
            pass
        finally:
            writer.close()


def gone(stream: Stream) -> bool:
    return stream.out.is_closing()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--speed", default="36,43,50,51")
    parser.add_argument("--prompt", type=float, default=200)
    given = parser.parse_args()
    engine = Engine(given.slots, [float(x) for x in given.speed.split(",")], given.prompt)
    server = await asyncio.start_server(engine.serve, "127.0.0.1", given.port)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    async with server:
        await engine.run()


if __name__ == "__main__":
    asyncio.run(main())
