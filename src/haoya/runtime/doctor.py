# SPDX-License-Identifier: AGPL-3.0-or-later
"""What is not as it should be, each finding with a stable id, its evidence and its cure."""

import asyncio
import contextlib
import os
import shutil
import stat
import time
from pathlib import Path

from haoya.journal import Journal
from haoya.runtime.home import Home
from haoya.runtime.settings import Finding

LITTLE_SPACE = 500_000_000
"""Bytes free below which the owner is warned: a week of a busy journal and a backup."""

SLOW_FSYNC_SECONDS = 0.02
"""A disk slower than this makes each answer wait noticeably (an SD card; SSDs need 0.1 ms)."""


async def examine(home: Home, journal: Journal | None) -> list[Finding]:
    """Look at the home and, where one is open, at the journal. Takes a moment on a large one."""
    findings = await asyncio.to_thread(_folder, home)
    if journal is None:
        return findings
    findings += [damaged(fault) for fault in await journal.check()]
    if failure := journal.figures().failure:
        findings.append(
            Finding(
                id="journal-failing",
                severity="error",
                section="journal",
                message=failure,
                cure="free space or repair the disk; haoya goes on by itself",
            )
        )
    return findings


def _folder(home: Home) -> list[Finding]:
    findings: list[Finding] = []
    if not home.folder.exists():
        return findings
    free = shutil.disk_usage(home.folder).free
    if free < LITTLE_SPACE:
        findings.append(
            Finding(
                id="disk-little",
                severity="error" if free < LITTLE_SPACE / 10 else "warning",
                section="disk",
                message=f"only {free / 1e6:.0f} MB are free where {home.folder} lies",
                cure="free some space, or move the folder and set HAOYA_HOME",
            )
        )
    findings += permissions(home)
    findings += _disk_speed(home.folder)
    return findings


def permissions(home: Home) -> list[Finding]:
    """A warning for each file of ours that others may read."""
    private = (home.folder, home.settings, home.secrets, home.vault, home.token)
    private += (home.devices, home.peers)
    return [finding for path in private for finding in _permissions(path)]


def _permissions(path: Path) -> list[Finding]:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return []
    if mode & 0o077 == 0 or (path.name == "settings.toml" and mode & 0o022 == 0):
        return []
    wanted = "700" if path.is_dir() else "600"
    return [
        Finding(
            id="permissions-open",
            severity="warning",
            section=path.name,
            message=f"other users of this computer can get at {path} (mode {mode:o})",
            cure=f"run `chmod {wanted} '{path}'`",
        )
    ]


def _disk_speed(folder: Path) -> list[Finding]:
    probe = folder / f".speed-{os.getpid()}"
    try:
        with probe.open("wb") as file:
            times: list[float] = []
            for _ in range(5):
                file.write(b"x" * 4096)
                began = time.perf_counter()
                file.flush()
                os.fsync(file.fileno())
                times.append(time.perf_counter() - began)
    except OSError as error:
        return [
            Finding(
                id="disk-unwritable",
                severity="error",
                section="disk",
                message=f"{folder} cannot be written: {error.strerror}",
                cure="free space, mount it writable, or choose another folder with HAOYA_HOME",
            )
        ]
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
    median = sorted(times)[2]
    if median < SLOW_FSYNC_SECONDS:
        return []
    return [
        Finding(
            id="disk-slow",
            severity="info",
            section="disk",
            message=f"making a write durable takes {median * 1000:.0f} ms on this disk",
            cure='set durability = "normal" in [journal] if losing a second on a power cut is fine',
        )
    ]


def damaged(fault: str) -> Finding:
    """A fault of the journal's file, as a finding."""
    return Finding(
        id="journal-damaged",
        severity="error",
        section="journal",
        message=fault,
        cure="make a copy of the folder, then restore a backup: `haoya backup restore`",
    )


def part_finding(key: str, state: str, reason: str) -> Finding:
    """A part that is not open, as a finding."""
    return Finding(
        id=f"part-{state}",
        severity="error" if state == "parked" else "warning",
        section=key,
        message=f"{key} is {state}: {reason}",
        cure="correct its settings; it opens again by itself"
        if state == "parked"
        else "nothing, if it comes back; else check the other side",
    )
