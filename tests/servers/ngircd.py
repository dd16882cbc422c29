# SPDX-License-Identifier: AGPL-3.0-or-later
"""A real ngircd on a free loopback port: started, killed, stopped, brought back."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

BINARY = shutil.which("ngircd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")

_CONFIG = """\
[Global]
Name = {name}.test.invalid
AdminEMail = nobody@test.invalid
Info = a server for tests
Listen = 127.0.0.1
Ports = {plain}
MotdPhrase = "welcome"
Password = {password}
{user}
[Limits]
MaxConnections = 0
MaxConnectionsIP = 0
MaxJoins = 50
MaxNickLength = {nick_length}
MaxPenaltyTime = {penalty}
PingTimeout = 3600
[Options]
DNS = no
Ident = no
PAM = no
IncludeDir = {folder}/include
SyslogFacility = local1
[SSL]
{tls}
"""


def missing() -> str:
    """Why no ngircd can run here, empty if one can."""
    return "" if BINARY else "ngircd is not installed (Debian package ngircd)"


class Ngircd:
    """One server. With `penalties` it slows down clients that talk fast, as it does by default.

    With `tls` the port is a TLS one and `certificate` is the self-signed certificate.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "irc",
        password: str = "",
        tls: bool = False,
        penalties: bool = False,
        nick_length: int = 20,
    ) -> None:
        self.folder = folder
        self.name = name
        self.password = password
        self.tls = tls
        self.port = free_port()
        self.certificate = folder / "certificate.pem"
        self._penalty = -1 if penalties else 0
        self._nick_length = nick_length
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Run it in the foreground; returns when it takes connections."""
        self._write_config()
        assert BINARY, missing()
        command = [BINARY, "-n", "-f", str(self.folder / "ngircd.conf")]
        self._process = await serve(command, self.port, self.folder / "ngircd.log")

    def kill(self) -> None:
        """As `kill -9`."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it, whatever state it is in."""
        self.resume()
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Its connections stay open and it says nothing."""
        if self._process:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        if self._process:
            self._process.send_signal(signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        if self._process:
            self._process.send_signal(number)
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _write_config(self) -> None:
        (self.folder / "include").mkdir(parents=True, exist_ok=True)
        tls = ""
        if self.tls:
            key = self.folder / "key.pem"
            if not key.exists():
                _certify(self.certificate, key)
            tls = f"CertFile = {self.certificate}\nKeyFile = {key}\nPorts = {self.port}"
        config = _CONFIG.format(
            name=self.name,
            plain=free_port() if self.tls else self.port,
            password=self.password,
            user="ServerUID = root\nServerGID = root" if os.geteuid() == 0 else "",
            nick_length=self._nick_length,
            penalty=self._penalty,
            folder=self.folder,
            tls=tls,
        )
        (self.folder / "ngircd.conf").write_text(config)


def free_port() -> int:
    """A port on which nobody listens now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


async def serve(command: list[str], port: int, log: Path) -> subprocess.Popen[bytes]:
    """Start a server; returns when it takes connections, AssertionError if it never does."""
    process = await asyncio.to_thread(_spawn, command, log)
    deadline = time.monotonic() + 10
    while not await _listening(port):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise AssertionError(f"{command[0]} did not start; see {log}")
        await asyncio.sleep(0.02)
    return process


def _spawn(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)


async def _listening(port: int) -> bool:
    """Whether somebody takes connections there."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def _certify(certificate: Path, key: Path) -> None:
    options = "-x509 -nodes -days 2 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1"
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    command = ["openssl", "req", *options.split(), "-subj", "/CN=localhost", "-addext", names]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
