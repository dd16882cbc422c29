# SPDX-License-Identifier: AGPL-3.0-or-later
"""Seatbelt, the sandbox of macOS: the profile for one program.

Written from Apple's sandbox-exec(1) and the profiles in /System/Library/Sandbox/Profiles, and never
run: nobody of us has a Mac to try it on. So `room` does not open this level; until somebody has
made the tries of tests/sandbox/escapes.py there, macOS has no sandbox and runs no programs.
"""

from collections.abc import Sequence

from haoya.core.errors import ConfigError
from haoya.core.sandbox import Mount

SYSTEM = (
    "/usr/bin", "/usr/lib", "/usr/libexec", "/usr/sbin", "/usr/share", "/bin", "/sbin",
    "/System/Library", "/Library/Apple", "/Library/Developer/CommandLineTools",
    "/opt/homebrew", "/usr/local", "/private/var/db/dyld", "/private/var/select",
)  # fmt: skip
FILES = ("/private/etc/localtime", "/private/etc/ssl", "/dev/random", "/dev/urandom")
DEVICES = ("/dev/null", "/dev/zero", "/dev/dtracehelper")
SYSCTLS = ("hw.", "kern.osrelease", "kern.osversion", "kern.ostype", "kern.version", "vm.")
"""What may be asked about the machine; not who runs on it."""


def profile(scratch: str, mounts: Sequence[Mount], *, port: int = 0) -> str:
    """The profile in Apple's language. Nothing can be shown elsewhere, so a mount's `at` is not
    used; `scratch` is the program's own /tmp; `port` of the loopback is its way out, 0 for none.
    """
    lines = [
        "(version 1)",
        "(deny default)",
        "(allow process-fork)",
        _allow("process-exec*", "subpath", SYSTEM),
        "(allow signal (target same-sandbox))",
        "(allow process-info* (target same-sandbox))",
        _allow("sysctl-read", "sysctl-name-prefix", SYSCTLS),
        '(allow file-read-metadata (literal "/"))',
        _allow("file-read*", "subpath", (*SYSTEM, *FILES)),
        _allow("file-read* file-write-data", "literal", DEVICES),
        _allow("file-read* file-write* process-exec*", "subpath", (scratch,)),
    ]
    for mount in mounts:
        rights = "file-read* process-exec*" + (" file-write*" if mount.writable else "")
        lines.append(_allow(rights, "subpath", (mount.path,)))
    if port:
        lines.append(f'(allow network-outbound (remote ip "localhost:{port}"))')
    # A later rule wins over an earlier one.
    lines += ['(deny file-read* file-write* (subpath "/private/var/run"))', "(deny mach-lookup)"]
    return "\n".join(lines) + "\n"


def command(argv: Sequence[str], text: str) -> tuple[str, ...]:
    """How a program is run under a profile."""
    return ("/usr/bin/sandbox-exec", "-p", text, *argv)


def _allow(rights: str, kind: str, values: Sequence[str]) -> str:
    return f"(allow {rights} {' '.join(f'({kind} {_quoted(value)})' for value in values)})"


def _quoted(text: str) -> str:
    """A string of the language. What could end it early or mean something in it is refused."""
    if any(sign in text for sign in '"\\\n\0'):
        raise ConfigError(f"{text!r} cannot be named in a profile", cure="rename it")
    return f'"{text}"'
