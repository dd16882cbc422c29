# SPDX-License-Identifier: AGPL-3.0-or-later
"""The filter of system calls, played through for both machines."""

import re
import struct
from pathlib import Path

import pytest

from haoya.sandbox.filter import ARCHITECTURE, CEILING, JUDGED, REFUSED, program
from haoya.sandbox.kernel import MACHINES, NUMBERS

HEADERS = (
    Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    Path("/usr/include/asm-generic/unistd.h"),
)
ALLOW, KILL = "allow", "kill"
EPERM, ENOSYS, EAFNOSUPPORT = 1, 38, 97
EACH = pytest.mark.parametrize("machine", range(2), ids=MACHINES)


def judge(code: bytes, architecture: int, number: int, *arguments: int) -> str | int:
    """What the kernel would say (linux/filter.h), the number of an error where it refuses."""
    words = list(arguments) + [0] * (6 - len(arguments))
    data = struct.pack("=IIQ6Q", number & 0xFFFFFFFF, architecture, 0, *words)
    steps = [struct.unpack_from("=HBBI", code, at) for at in range(0, len(code), 8)]
    at = value = 0
    while True:
        operation, yes, no, k = steps[at]
        at += 1
        if operation == 0x20:
            value = struct.unpack_from("=I", data, k)[0]
        elif operation == 0x54:
            value &= k
        elif operation == 0x06:
            if k == 0x7FFF0000:
                return ALLOW
            return KILL if k == 0x80000000 else k & 0xFFFF
        else:
            truth = {0x15: value == k, 0x25: value > k, 0x45: bool(value & k)}[operation]
            at += yes if truth else no


@EACH
def test_each_refused_call_is_refused_and_no_other(machine: int) -> None:
    code = program(loopback=False, machine=machine)
    refused = {numbers[machine] for numbers in REFUSED.values()} - {-1}
    judged = {numbers[machine] for numbers in JUDGED.values()}
    for number in range(CEILING + 1):
        said = judge(code, ARCHITECTURE[machine], number)
        if number in refused:
            assert said == EPERM
        elif number not in judged:
            assert said == ALLOW


@EACH
def test_calls_that_nobody_judged_do_not_exist(machine: int) -> None:
    code = program(loopback=True, machine=machine)
    for number in (CEILING + 1, 600, 0x40000000 | 41, 0xFFFFFFFF):
        assert judge(code, ARCHITECTURE[machine], number) == ENOSYS


@EACH
def test_a_call_in_another_machines_dialect_is_the_end(machine: int) -> None:
    """32-bit calls have other numbers: 41 is dup there, and socket is 359."""
    code = program(loopback=False, machine=machine)
    for architecture in (0x40000003, 0x40000028, ARCHITECTURE[1 - machine]):
        assert judge(code, architecture, 41) == KILL


@EACH
def test_no_socket_but_pairs_and_the_loopback_of_those_with_egress(machine: int) -> None:
    family = {"unix": 1, "inet": 2, "inet6": 10, "netlink": 16, "packet": 17, "alg": 38}
    socket, pair = JUDGED["socket"][machine], JUDGED["socketpair"][machine]
    for loopback in (False, True):
        code = program(loopback=loopback, machine=machine)

        def said(number: int, *arguments: int, code: bytes = code) -> str | int:
            return judge(code, ARCHITECTURE[machine], number, *arguments)

        assert said(pair, 1, 1, 0) == ALLOW
        assert said(pair, 2, 1, 0) == EAFNOSUPPORT
        for name, number in family.items():
            wanted = ALLOW if loopback and name == "inet" else EAFNOSUPPORT
            assert said(socket, number, 1, 0) == wanted, name
            assert said(socket, number | 1 << 40, 1, 0) == wanted, "the kernel reads 32 bits"
        if loopback:
            assert said(socket, 2, 1 | 0o2000000 | 0o4000, 6) == ALLOW  # CLOEXEC, NONBLOCK, TCP
            assert said(socket, 2, 2, 0) == EAFNOSUPPORT  # datagrams
            assert said(socket, 2, 3, 1) == EAFNOSUPPORT  # raw
            assert said(socket, 2, 1, 262) == EPERM  # multipath TCP


@EACH
def test_threads_may_be_started_and_namespaces_not(machine: int) -> None:
    code = program(loopback=False, machine=machine)

    def said(flags: int) -> str | int:
        return judge(code, ARCHITECTURE[machine], JUDGED["clone"][machine], flags)

    assert said(17) == ALLOW  # fork
    assert said(0x3D0F00) == ALLOW  # a thread, as glibc starts it
    assert said(0x4111) == ALLOW  # vfork
    for bit in (17, 25, 26, 27, 28, 29, 30):
        assert said(1 << bit | 17) == EPERM
    assert judge(code, ARCHITECTURE[machine], JUDGED["clone3"][machine]) == ENOSYS


@EACH
def test_nothing_can_be_typed_into_a_terminal(machine: int) -> None:
    code = program(loopback=False, machine=machine)
    number = JUDGED["ioctl"][machine]
    for request, wanted in ((0x5412, EPERM), (0x541C, EPERM), (0x5401, ALLOW), (0x5413, ALLOW)):
        assert judge(code, ARCHITECTURE[machine], number, 0, request) == wanted
        assert judge(code, ARCHITECTURE[machine], number, 0, request | 1 << 32) == wanted


@EACH
def test_numbers_are_those_of_the_kernels_headers(machine: int) -> None:
    """Of the headers installed here, which may be older than our newest call."""
    if not HEADERS[machine].exists():
        pytest.skip(f"{HEADERS[machine]} is not installed (linux-libc-dev)")
    text = HEADERS[machine].read_text()
    known = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text))
    for name, numbers in {**REFUSED, **JUDGED, **NUMBERS}.items():
        if name in known:
            assert numbers[machine] == int(known[name]), name
        else:
            assert numbers[machine] == -1 or numbers[machine] > 440, name
