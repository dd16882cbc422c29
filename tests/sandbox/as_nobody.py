# SPDX-License-Identifier: AGPL-3.0-or-later
"""`python -m tests.sandbox.as_nobody LEVEL`: the tries of escapes.py, by whoever runs this."""

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from haoya.core.errors import Unready
from haoya.sandbox.room import LEVELS, open_sandbox
from tests.sandbox.baits import Found, inside, laid


async def main(level: str) -> Found:
    with tempfile.TemporaryDirectory() as folder, laid(Path(folder)) as baits:
        async with open_sandbox([one for one in LEVELS if one == level]) as sandbox:
            return await inside(baits, sandbox)


if __name__ == "__main__":
    try:
        print(json.dumps(asyncio.run(main(sys.argv[1]))))
    except Unready as error:
        print(error, file=sys.stderr)
        sys.exit(77)
