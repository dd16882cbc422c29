# SPDX-License-Identifier: AGPL-3.0-or-later
# The calls themselves are what is tried here.
# ruff: noqa: PTH103, PTH108, PTH110, PTH116, PTH119, PTH120, PTH123, PTH208
"""Tries to get out. A program of its own, standard library only, run inside of a sandbox and, to
prove that each try can succeed at all, outside of it: `python escapes.py BAITS [NAME …]`.

Prints one JSON object: the name of each try, and "open" or why it failed. A try is a function that
returns where it got out and raises where it did not.
"""

import ctypes
import json
import os
import platform
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable

LIBC = ctypes.CDLL(None, use_errno=True)
TRY_SECONDS = 10
NUMBERS = {
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "io_uring_setup": (425, 425),
    "userfaultfd": (323, 282),
    "perf_event_open": (298, 241),
    "process_vm_readv": (310, 270),
    "init_module": (175, 105),
    "unshare": (272, 97),
    "clone": (56, 220),
    "mount": (165, 40),
    "open_tree": (428, 428),
    "memfd_create": (319, 279),
    "name_to_handle_at": (303, 264),
    "syslog": (103, 116),
    "shmget": (29, 194),
}
COLUMN = ("x86_64", "aarch64").index(platform.machine())

Baits = dict[str, str]
Try = Callable[[Baits], object]
TRIES: dict[str, Try] = {}


def attempt(work: Try) -> Try:
    TRIES[work.__name__] = work
    return work


def call(name: str, *arguments: object) -> int:
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    done = LIBC.syscall(ctypes.c_long(NUMBERS[name][COLUMN]), *wide)
    if done == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return done


def contains(path: str, word: str) -> None:
    with open(path, "rb") as file:
        if word.encode() not in file.read():
            raise OSError(0, "read, but the bait is not in it")


# Files


@attempt
def read_a_secret_file(baits: Baits) -> None:
    contains(baits["secret"], baits["word"])


@attempt
def see_that_a_file_is_there(baits: Baits) -> None:
    os.stat(baits["secret"])


@attempt
def list_the_home(baits: Baits) -> None:
    if os.path.basename(baits["home_file"]) not in os.listdir(os.path.dirname(baits["home_file"])):
        raise OSError(0, "not in the list")


@attempt
def write_into_the_home(baits: Baits) -> None:
    with open(baits["home_file"], "a") as file:
        file.write("changed")
    if not os.environ.get("INSIDE"):
        return
    contains(baits["home_file"], baits["word"])  # else it was a file of our own


@attempt
def read_the_hosts_tmp(baits: Baits) -> None:
    contains(baits["tmp_file"], baits["word"])


@attempt
def follow_a_symlink_out_of_a_lent_folder(baits: Baits) -> None:
    contains(baits["lent"] + "/link", baits["word"])


@attempt
def climb_out_of_a_lent_folder(baits: Baits) -> None:
    contains(baits["lent"] + "/../" + os.path.basename(baits["secret"]), baits["word"])


@attempt
def link_a_secret_into_a_lent_folder(baits: Baits) -> None:
    name = baits["lent"] + "/hard"
    os.link(baits["secret"], name)
    try:
        contains(name, baits["word"])
    finally:
        os.unlink(name)


@attempt
def write_what_was_lent_for_reading(baits: Baits) -> None:
    with open(baits["lent_for_reading"] + "/new", "w") as file:
        file.write("x")


@attempt
def write_into_the_system(_: Baits) -> None:
    path = "/usr/lib/haoya-try"
    with open(path, "w"):
        os.unlink(path)


@attempt
def read_files_through_a_process(baits: Baits) -> None:
    contains(f"/proc/{baits['victim']}/root" + baits["secret"], baits["word"])


@attempt
def read_the_accounts(_: Baits) -> None:
    contains("/etc/shadow", "root:")


@attempt
def read_a_file_by_its_handle(baits: Baits) -> None:
    handle = ctypes.create_string_buffer(struct.pack("=Ii", 128, 0) + bytes(128))
    number = ctypes.c_int()
    path = baits["lent"].encode()
    call("name_to_handle_at", -100, ctypes.c_char_p(path), handle, ctypes.byref(number), 0)


@attempt
def read_the_disk_itself(baits: Baits) -> None:
    with open(baits["disk"], "rb") as disk:
        disk.read(512)


@attempt
def make_a_device(_: Baits) -> None:
    path = "/tmp/haoya-try-device"
    os.mknod(path, 0o600 | 0o020000, os.makedev(1, 1))
    os.unlink(path)


@attempt
def chroot_into_the_open(baits: Baits) -> None:
    os.chroot(baits["lent"])


@attempt
def mount_something(_: Baits) -> None:
    os.makedirs("/tmp/haoya-try-mount", exist_ok=True)
    kind = ctypes.c_char_p(b"tmpfs")
    call("mount", kind, ctypes.c_char_p(b"/tmp/haoya-try-mount"), kind, 0, 0)
    LIBC.umount(b"/tmp/haoya-try-mount")


@attempt
def copy_a_mount(_: Baits) -> None:
    call("open_tree", -100, ctypes.c_char_p(b"/"), 1)


# Networks


@attempt
def reach_a_tcp_server(baits: Baits) -> None:
    socket.create_connection(("127.0.0.1", int(baits["tcp"])), timeout=3).close()


@attempt
def send_a_datagram(baits: Baits) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.settimeout(3)
        line.sendto(b"ask", ("127.0.0.1", int(baits["udp"])))
        line.recv(10)


@attempt
def listen_on_a_port(_: Baits) -> None:
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        line.listen()


@attempt
def reach_a_unix_socket(baits: Baits) -> None:
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(baits["unix"])


@attempt
def reach_a_unix_socket_in_a_lent_folder(baits: Baits) -> None:
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(baits["lent"] + "/socket")


@attempt
def reach_an_abstract_socket(baits: Baits) -> None:
    with socket.socket(socket.AF_UNIX) as line:
        line.connect("\0" + baits["abstract"])


@attempt
def ask_the_kernel_by_netlink(_: Baits) -> None:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()


@attempt
def send_raw_packets(_: Baits) -> None:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()


@attempt
def read_all_packets(_: Baits) -> None:
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()


@attempt
def use_the_kernels_ciphers(_: Baits) -> None:
    socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET, 0).close()


# Processes


@attempt
def signal_a_process(baits: Baits) -> None:
    os.kill(int(baits["victim"]), 0)
    _is_the_victim(baits)


@attempt
def see_a_process(baits: Baits) -> None:
    os.stat(f"/proc/{baits['victim']}")
    _is_the_victim(baits)


@attempt
def read_the_environment_of_a_process(baits: Baits) -> None:
    contains(f"/proc/{baits['victim']}/environ", baits["word"])


@attempt
def trace_a_process(baits: Baits) -> None:
    seize = 0x4206
    if LIBC.ptrace(seize, int(baits["victim"]), 0, 0) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@attempt
def trace_a_process_of_ones_own(_: Baits) -> None:
    child = os.fork()
    if not child:
        time.sleep(TRY_SECONDS)
        os._exit(0)
    try:
        if LIBC.ptrace(0x4206, child, 0, 0) == -1:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.kill(child, signal.SIGKILL)


@attempt
def read_the_memory_of_a_process(baits: Baits) -> None:
    buffer = ctypes.create_string_buffer(8)
    here = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 8)
    there = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 8)
    try:
        call("process_vm_readv", int(baits["victim"]), here, 1, there, 1, 0)
    except OSError as error:
        if error.errno != 14:  # EFAULT: it was allowed to look, and nothing is there
            raise


@attempt
def find_a_secret_in_the_environment(baits: Baits) -> None:
    if baits["word"] not in json.dumps(dict(os.environ)):
        raise OSError(0, "not there")


@attempt
def read_a_file_that_was_left_open(baits: Baits) -> None:
    for fd in range(3, 512):
        try:
            if baits["word"].encode() in os.pread(fd, 4096, 0):
                return
        except OSError:
            continue
    raise OSError(0, "none is open")


@attempt
def gain_privileges_by_a_setuid_program(_: Baits) -> None:
    with open("/proc/self/status") as file:
        if "NoNewPrivs:\t1" in file.read():
            raise OSError(0, "no new privileges")


@attempt
def become_root(_: Baits) -> None:
    os.setresuid(0, 0, 0)


@attempt
def hold_a_capability(_: Baits) -> None:
    with open("/proc/self/status") as file:
        held = [line for line in file if line.startswith(("CapEff", "CapBnd"))]
    if all(int(line.split()[1], 16) == 0 for line in held):
        raise OSError(0, "none left")


# The kernel


@attempt
def make_a_user_namespace(_: Baits) -> None:
    call("unshare", 0x10000000)


@attempt
def make_a_user_namespace_by_clone(_: Baits) -> None:
    child = call("clone", 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)
    if not child:
        os._exit(0)


@attempt
def open_an_io_uring(_: Baits) -> None:
    call("io_uring_setup", 1, ctypes.create_string_buffer(120))


@attempt
def use_the_kernels_keys(_: Baits) -> None:
    call("keyctl", 0, -3, 1)


@attempt
def load_a_bpf_program(_: Baits) -> None:
    attributes = ctypes.create_string_buffer(struct.pack("=IIIII", 2, 4, 4, 1, 0) + bytes(100))
    call("bpf", 0, attributes, 120)


@attempt
def catch_page_faults(_: Baits) -> None:
    call("userfaultfd", 1)


@attempt
def count_events_of_the_machine(_: Baits) -> None:
    attributes = ctypes.create_string_buffer(struct.pack("=IIQ", 1, 112, 1) + bytes(96))
    call("perf_event_open", attributes, 0, -1, -1, 0)


@attempt
def load_a_module(_: Baits) -> None:
    try:
        call("init_module", ctypes.create_string_buffer(8), 8, ctypes.c_char_p(b""))
    except OSError as error:
        if error.errno not in (8, 22):  # ENOEXEC, EINVAL: allowed, but this is no module
            raise


@attempt
def set_the_kernel(_: Baits) -> None:
    os.close(os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY))


@attempt
def read_the_kernels_log(_: Baits) -> None:
    call("syslog", 3, ctypes.create_string_buffer(64), 64)


@attempt
def look_at_the_machine_in_sys(_: Baits) -> None:
    if not os.listdir("/sys/class"):
        raise OSError(0, "empty")


@attempt
def rename_the_machine(_: Baits) -> None:
    socket.sethostname(socket.gethostname())


@attempt
def set_the_clock(_: Baits) -> None:
    time.clock_settime(time.CLOCK_REALTIME, time.time())


@attempt
def type_into_a_terminal(_: Baits) -> None:
    """A terminal of our own outside proves the call; inside, the filter answers before the kernel
    looks for a terminal."""
    fd = os.openpty()[1] if not os.environ.get("INSIDE") else 0
    if not os.environ.get("INSIDE"):
        os.setsid()
        LIBC.ioctl(fd, 0x540E, 0)
    if LIBC.ioctl(fd, 0x5412, ctypes.c_char_p(b"x")) == -1 and ctypes.get_errno() in (1, 5):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@attempt
def keep_memory_that_no_process_has(_: Baits) -> None:
    call("memfd_create", ctypes.c_char_p(b"x"), 0)


@attempt
def share_memory_by_system_v(_: Baits) -> None:
    segment = call("shmget", 0x68616F, 4096, 0o1600)
    LIBC.shmctl(segment, 0, None)


# Bounds; a sandbox may end the whole program for these, so they are run one by one

BOUNDED = (
    "start_three_hundred_processes",
    "write_a_file_beyond_its_bound",
    "fill_the_place_for_short_lived_files",
)


@attempt
def start_three_hundred_processes(_: Baits) -> None:
    children: list[int] = []
    try:
        for _number in range(300):
            child = os.fork()
            if not child:
                time.sleep(TRY_SECONDS)
                os._exit(0)
            children.append(child)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)


@attempt
def write_a_file_beyond_its_bound(baits: Baits) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _fill(baits["lent"] + "/large", int(baits["file_mib"]) + 1)


@attempt
def fill_the_place_for_short_lived_files(baits: Baits) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    each = int(baits["file_mib"]) - 1
    most = int(baits["memory_mib"])
    paths = [f"/tmp/haoya-try-{number}" for number in range(most // each + 2)]
    try:
        for path in paths:
            _fill(path, each, keep=True)
    finally:
        for path in paths:
            if os.path.exists(path):
                os.unlink(path)


def _fill(path: str, mib: int, *, keep: bool = False) -> None:
    with open(path, "wb") as file:
        try:
            for _ in range(mib):
                file.write(b"x" * 1024 * 1024)
            file.flush()
        finally:
            if not keep:
                os.unlink(path)


def _is_the_victim(baits: Baits) -> None:
    """Numbers of processes are few: one with this number may be our own."""
    with open(f"/proc/{baits['victim']}/comm") as file:
        name = file.read().strip()
    if name != "sleep":
        raise OSError(0, f"that is {name}")


def one(work: Try, baits: Baits) -> str:
    """Try it in a process of its own; what came of it."""
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        os.close(ours)
        signal.alarm(TRY_SECONDS)
        try:
            work(baits)
            said = "open"
        except OSError as error:
            said = error.strerror or str(error)
        except Exception as error:
            said = repr(error)
        os.write(theirs, said.encode()[:200])
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    return said or "ended without a word"


def main() -> None:
    baits: Baits = json.loads(sys.argv[1])
    print(json.dumps({name: one(TRIES[name], baits) for name in sys.argv[2:] or TRIES}))


if __name__ == "__main__":
    main()
