# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a build needs of this machine, and what to install where it is missing."""

import os
import platform
import shutil
import sys
from pathlib import Path

from haoya.core.errors import ConfigError

NEEDED_BYTES = 800_000_000
"""Free disk for source (170 MB with its archive), objects (120 MB), tools and the result."""

JOB_BYTES = 1_500_000_000
"""Memory one compiler may need."""

_INSTALL = {
    "debian": "sudo apt install build-essential cmake",
    "fedora": "sudo dnf install gcc-c++ cmake",
    "rhel": "sudo dnf install gcc-c++ cmake",
    "arch": "sudo pacman -S base-devel cmake",
    "alpine": "sudo apk add build-base cmake",
    "suse": "sudo zypper install gcc-c++ cmake",
    "opensuse": "sudo zypper install gcc-c++ cmake",
    "gentoo": "sudo emerge dev-build/cmake",
    "nixos": "nix-shell -p gcc cmake",
}


def check(folder: Path) -> None:
    """Raise `ConfigError` where there is no compiler or too little space in `folder`."""
    if compiler() is None:
        raise ConfigError(
            "there is no C++ compiler on this machine, so no engine can be built",
            cure=f"{cure()}; the wheel goes on serving meanwhile",
        )
    free = shutil.disk_usage(folder).free
    if free < NEEDED_BYTES:
        raise ConfigError(
            f"{folder} has {free / 1e6:.0f} MB free, and the build needs {NEEDED_BYTES / 1e6:.0f}",
            cure="free some space, for example with `haoya models rm`",
        )


def compiler() -> str | None:
    """The C++ compiler: CXX where it is set (as cmake does), else the first usual one."""
    names = (os.environ.get("CXX", ""), "c++", "g++", "clang++")
    return next((found for name in names if name and (found := shutil.which(name))), None)


def cure() -> str:
    """The command that installs a compiler on this system."""
    if sys.platform == "darwin":
        return "run `xcode-select --install`"
    try:
        system = platform.freedesktop_os_release()
    except OSError:
        system = {}
    kinds = [system.get("ID", ""), *system.get("ID_LIKE", "").split()]
    known = next((_INSTALL[kind] for kind in kinds if kind in _INSTALL), "")
    return f"run `{known}`" if known else "install a C++ compiler and cmake"


def jobs(available: int) -> int:
    """How many compilers to run at once with so much memory available."""
    return max(1, min(os.cpu_count() or 1, available // JOB_BYTES))
