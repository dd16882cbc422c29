# SPDX-License-Identifier: AGPL-3.0-or-later
"""What stands open is found, each with an id that is documented, and nothing else is."""

import re
from pathlib import Path

import pytest

from haoya.runtime.devices import Devices
from haoya.runtime.home import Home
from haoya.runtime.security import IDS, security_findings
from haoya.runtime.settings import load
from tests.house.sources import ROOT

OPENAI = '[models.main]\nuse = "openai"\nmodel = "m"\nbase_url = "{url}"\n'


def ids(folder: Path, settings: str = "") -> set[str]:
    home = Home(folder=folder)
    folder.chmod(0o700)
    home.settings.write_text(settings, "utf-8")
    home.settings.chmod(0o600)
    return {finding.id for finding in security_findings(home, load(home))} - {"running-as-root"}


def test_a_fresh_home_stands_closed(tmp_path: Path) -> None:
    assert ids(tmp_path) == set()


@pytest.mark.parametrize(
    ("settings", "id"),
    [
        ('[channels.tg]\nuse = "telegram"\ntoken = "secret:t"\naccess = "open"\n', "access-open"),
        ('[policy]\nverdicts = { "owner.spend" = "allow" }\n', "verdict-loose"),
        ('[policy]\nverdicts = { "guest.read" = "ask" }\n', "guest-may"),
        ('[api]\nhost = "0.0.0.0"\ncert = "c"\nkey = "k"\n', "api-exposed"),
        ('[peers]\ncert = "c"\nkey = "k"\nlisten = "0.0.0.0:1"\n', "peers-exposed"),
        (OPENAI.format(url="https://api.example.com/v1"), "leave-anywhere"),
        (OPENAI.format(url="http://192.168.1.9:8080/v1"), "model-unencrypted"),
        ('[channels.tg]\nuse = "telegram"\ntoken = "env:TOKEN"\n', "secret-environment"),
        ('[channels.tg]\nuse = "telegram"\ntoken = "1:abc"\n', "secret-plain"),
    ],
)
def test_each_loose_thing_is_found(tmp_path: Path, settings: str, id: str) -> None:
    assert id in ids(tmp_path, settings)


@pytest.mark.parametrize(
    "settings",
    [
        '[policy]\nverdicts = { "owner.read" = "ask", "guest.read" = "deny" }\n',
        OPENAI.format(url="http://127.0.0.1:8080/v1"),
        '[channels.tg]\nuse = "telegram"\ntoken = "secret:t"\naccess = ["7"]\n',
        OPENAI.format(url="https://api.example.com/v1") + '[policy]\nleave = { "*" = "outside" }\n',
    ],
)
def test_what_is_closed_is_not_blamed(tmp_path: Path, settings: str) -> None:
    assert ids(tmp_path, settings) == set()


def test_devices_that_may_do_everything_and_a_broken_list(tmp_path: Path) -> None:
    home = Home(folder=tmp_path)
    Devices(home.devices).enrol("phone", ["chat"], 60, 0)
    assert ids(tmp_path) == set()
    Devices(home.devices).enrol("desk", ["manage"], 60, 0)
    assert ids(tmp_path) == {"devices-manage"}
    home.devices.write_text("[", "utf-8")
    assert ids(tmp_path) == {"devices-broken"}


def test_files_that_others_may_read(tmp_path: Path) -> None:
    home = Home(folder=tmp_path)
    Devices(home.devices).enrol("phone", ["chat"], 60, 0)
    home.devices.chmod(0o644)
    assert ids(tmp_path) == {"permissions-open"}


def test_every_finding_is_documented_with_its_severity() -> None:
    page = (ROOT / "docs/security/findings.md").read_text("utf-8")
    assert set(re.findall(r"^\| `([a-z-]+)` \|", page, re.M)) == set(IDS)
