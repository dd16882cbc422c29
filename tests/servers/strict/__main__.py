# SPDX-License-Identifier: AGPL-3.0-or-later
"""A strict stand-in as a process of its own."""

import argparse
import asyncio
import json

from tests.servers.strict.dialects import DIALECTS
from tests.servers.strict.life import serving


async def serve(wire: str, port: int, key: str) -> None:
    """Listen on loopback, say where, and stay."""
    async with serving(DIALECTS[wire](), key=key, port=port) as life:
        print(json.dumps({"port": life.port}), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--wire", choices=sorted(DIALECTS), required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", default="")
    given = parser.parse_args()
    asyncio.run(serve(given.wire, given.port, given.key))
