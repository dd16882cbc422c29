# SPDX-License-Identifier: AGPL-3.0-or-later
"""The engine's program: `python -m haoya.inference.onnx.child --model FOLDER --socket PATH`.

Ends on SIGTERM, and when its standard input is a pipe that ends: whoever started it is gone then.
"""

import argparse
import os
import signal
import socketserver
import stat
import sys
import threading
from pathlib import Path

import msgspec

from haoya.inference.onnx.desk import Desk
from haoya.inference.onnx.model import BROKEN, Model
from haoya.inference.onnx.serve import Door, UnixDoor
from haoya.inference.onnx.slots import Slots

END_SECONDS = 2
"""How long the step that is being worked on may take after we were told to end."""


def main() -> int:
    """Run until told to end; the exit status."""
    options = _parser().parse_args()
    os.umask(0o077)
    os.dup2(2, 1)  # libraries that write to standard output write to the log instead
    ending = threading.Event()

    def end(_number: int, _frame: object) -> None:
        ending.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    threading.Thread(target=_listen_for_end, args=(ending,), daemon=True).start()
    folder = Path(options.model)
    desk = Desk(options.name or folder.name, str(folder), options.sessions)
    try:
        door = _door(options.socket, options.port, desk)
    except OSError as error:
        print(f"cannot listen at {options.socket or options.port}: {error}", file=sys.stderr)
        return 1
    with door:
        threading.Thread(target=door.serve_forever, daemon=True).start()
        try:
            model = Model(folder, options.context, options.threads)
        except (*BROKEN, OSError, msgspec.MsgspecError) as error:
            print(f"cannot load the model in {folder}: {error}", file=sys.stderr)
            return 1
        slots = Slots(model, options.sessions, options.batch)
        desk.open(model, slots)
        working = threading.Thread(target=slots.run, daemon=True)
        working.start()
        ending.wait()
        slots.close()
        working.join(END_SECONDS)
        door.shutdown()
    if options.socket:
        Path(options.socket).unlink(missing_ok=True)
    # Threads may still stand in native code; there is nothing left to tidy up for them.
    os._exit(0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="haoya-onnx", description=__doc__)
    parser.add_argument("--model", required=True, help="a folder with a genai_config.json")
    parser.add_argument("--socket", default="", help="the Unix socket to listen on")
    parser.add_argument("--port", type=int, default=0, help="else a port of 127.0.0.1")
    parser.add_argument("--name", default="", help="what the model is called")
    parser.add_argument("--sessions", type=int, default=4, help="answers at a time")
    parser.add_argument("--context", type=int, default=8192, help="tokens for each of them")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--batch", type=int, default=256, help="tokens of a prompt in one step")
    return parser


def _listen_for_end(ending: threading.Event) -> None:
    kind = os.fstat(0).st_mode
    if not (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind)):
        return  # a terminal, or /dev/null, which ends at once and means nothing
    # Past Python's own reader, whose lock would be held for as long as we wait.
    while os.read(0, 4096):
        pass
    ending.set()


def _door(path: str, port: int, desk: Desk) -> socketserver.BaseServer:
    if not path:
        return Door(("127.0.0.1", port), desk)
    Path(path).unlink(missing_ok=True)  # left behind by one that was killed
    return UnixDoor(path, desk)


if __name__ == "__main__":
    sys.exit(main())
