# SPDX-License-Identifier: AGPL-3.0-or-later
"""Starts a program that dies with us: `python leash.py PARENT NICE MEMORY PROGRAM ARGUMENT…`.

An engine holds gigabytes; left behind by a daemon that was killed it would go on holding them.
Linux ends it for us (PR_SET_PDEATHSIG, prctl(2)), so this process becomes the program. Elsewhere
it stays and waits for its standard input to end. PARENT is our process id. MEMORY is the most
bytes of private memory, 0 for any (RLIMIT_DATA, setrlimit(2): mapped files do not count).
Standard library only: it is run as a file, so that nothing else is imported.
"""

import ctypes
import os
import subprocess
import sys
import threading

try:
    import resource
except ImportError:  # Windows
    resource = None

PR_SET_PDEATHSIG = 1
SIGKILL = 9


def main(parent: int, nice: int, memory: int, argv: list[str]) -> int:
    """Become the program, or wait for it. The exit status where it comes back."""
    if nice:
        os.nice(nice)
    if memory and resource:
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it ended before we could ask
            return 1
        os.execv(argv[0], argv)
    program = subprocess.Popen(argv, stdin=subprocess.DEVNULL, env=dict(os.environ))
    threading.Thread(target=_follow, args=(program,), daemon=True).start()
    return program.wait()


def _follow(program: subprocess.Popen[bytes]) -> None:
    sys.stdin.buffer.read()
    program.kill()


if __name__ == "__main__":
    parent, nice, memory = (int(number) for number in sys.argv[1:4])
    sys.exit(main(parent, nice, memory, sys.argv[4:]))
