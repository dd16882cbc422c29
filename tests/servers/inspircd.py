# SPDX-License-Identifier: AGPL-3.0-or-later
"""A real InspIRCd on a free loopback port: IRCv3 tags and echoes, and a ban on floods."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.servers.ngircd import free_port, serve

BINARY = shutil.which("inspircd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")

_MODULES = (
    "cap",
    "ircv3",
    "ircv3_accounttag",
    "ircv3_ctctags",
    "ircv3_echomessage",
    "ircv3_msgid",
    "ircv3_servertime",
    "services_account",
)
_CONFIG = """\
<server name="irc.test.invalid" description="a server for tests" network="Test" id="001">
<admin name="nobody" nick="nobody" email="nobody@test.invalid">
<bind address="127.0.0.1" port="{port}" type="clients">
<connect name="main" allow="*" timeout="10" pingfreq="1h" localmax="100" globalmax="100"
 resolvehostnames="no" useident="no" usednsbl="no" fakelag="no" recvq="8K" softsendq="8K"
 hardsendq="64K" threshold="20" commandrate="5000">
<class name="none"><type name="none" classes="none">
<options defaultmodes="" prefixquit="" syntaxhints="no">
<performance softlimit="100" somaxconn="128" netbuffersize="10240">
<security hidesplits="no" maxtargets="20">
<whowas groupsize="10" maxgroups="100" maxkeep="1d">
<log method="file" type="* -USERINPUT -USEROUTPUT" level="default" target="{folder}/inspircd.log">
<pid file="{folder}/inspircd.pid">
<dns enabled="no">
{modules}
"""


def missing() -> str:
    """Why no InspIRCd can run here, empty if one can."""
    return "" if BINARY else "inspircd is not installed (Debian package inspircd)"


class InspIRCd:
    """One server without a password; five lines a second are taken, twenty in debt, and who sends
    more is thrown out (Excess Flood)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.password = ""
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Run it in the foreground; returns when it takes connections."""
        modules = "\n".join(f'<module name="{module}">' for module in _MODULES)
        config = self.folder / "inspircd.conf"
        config.write_text(_CONFIG.format(port=self.port, folder=self.folder, modules=modules))
        assert BINARY, missing()
        command = [BINARY, "--nofork", "--config", str(config)]
        command += ["--runasroot"] if os.geteuid() == 0 else []
        self._process = await serve(command, self.port, self.folder / "output.log")

    def stop(self) -> None:
        """End it."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None
