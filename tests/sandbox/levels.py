# SPDX-License-Identifier: AGPL-3.0-or-later
"""`python -m tests.sandbox.levels`: which level this place allows, and why not a stronger one."""

import asyncio
import json

from haoya.core.errors import Unready
from haoya.core.sandbox import Program
from haoya.sandbox.room import open_sandbox


async def main() -> dict[str, object]:
    try:
        async with (
            open_sandbox() as sandbox,
            sandbox.start(Program(argv=("sh", "-c", "cat /etc/shadow; exit 5"))) as process,
        ):
            ended = await process.wait()
            return {
                "level": sandbox.level,
                "weaknesses": sandbox.weaknesses,
                "status": ended.status,
            }
    except Unready as error:
        return {"level": "", "error": str(error)}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main())))
