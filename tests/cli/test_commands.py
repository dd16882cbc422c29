# SPDX-License-Identifier: AGPL-3.0-or-later
"""Every command against a true daemon, for people and for programs, and without any daemon."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from haoya import __version__
from haoya.cli.app import COMMANDS
from haoya.core.place import socket_path
from haoya.runtime.vault import vault_of
from tests.cli.conftest import HAOYA, SECONDS, Daemon, Haoya, Screen

READING = [
    (("status",), "degraded"),
    (("status",), "2 to deliver"),
    (("status",), "the model server does not answer"),
    (("status",), "http://127.0.0.1:8642"),
    (("status",), "waiting for an answer"),
    (("pair", "list"), "haoya pair approve CODE"),
    (("pair", "list"), "小明"),
    (("asks",), "haoya asks yes 4"),
    (("channels", "list"), "telegram"),
    (("queue",), "1,200 / 1,000"),
    (("queue",), "2/4 running, 3 waiting"),
    (("runs", "list"), "hi there"),
    (("runs", "show", "9"), "received"),
    (("why", "m1"), "it waits for the model"),
    (("doctor",), "→ start it"),
    (("open",), "?code=once"),
]
DOING = [
    (("pair", "approve", "AB12CD"), "小明 is let in as member."),
    (("pair", "approve", "AB12CD", "--owner"), "小明 is let in as owner."),
    (("pair", "remove", "tg:7"), "tg:7 is sent away."),
    (("asks", "yes", "4"), "Question 4: yes."),
    (("asks", "no", "4"), "Question 4: no."),
    (("channels", "test", "tg"), "tg works."),
    (("replay", "m1"), "message 12"),
    (("down",), "stopping"),
]


EVERY = sorted({arguments for arguments, _ in READING + DOING})


def test_a_person_reads_what_the_daemon_says(daemon: Daemon, haoya: Haoya) -> None:
    for arguments, seen in READING + DOING:
        outcome = haoya(*arguments)
        assert outcome.status == (5 if arguments == ("doctor",) else 0), arguments
        assert seen in outcome.out, arguments
        assert "\x1b" not in outcome.out, arguments
        assert outcome.err == "", arguments


def test_a_program_reads_one_json_document(daemon: Daemon, haoya: Haoya) -> None:
    for arguments in EVERY:
        outcome = haoya(*arguments, "--json")
        assert outcome.status == (5 if arguments == ("doctor",) else 0), arguments
        assert outcome.json() is not None, arguments
        assert outcome.err == "", arguments


def test_without_a_daemon_the_next_step_is_told(haoya: Haoya, home: Path) -> None:
    for arguments in EVERY:
        outcome = haoya(*arguments)
        if outcome.status == 3:
            assert outcome.err == f"haoya: no daemon runs in {home} — start it: haoya up\n"
            assert haoya(*arguments, "--json").json()["error"]["kind"] == "not-running"
        else:  # Answered from the files.
            assert arguments[0] in ("runs", "why", "pair", "doctor", "channels")


def test_status_never_reads_the_files(haoya: Haoya) -> None:
    assert haoya("status").status == 3
    assert haoya("ask", "hi").status == 3
    assert haoya("chat").status == 3


def test_a_fault_of_the_house_comes_with_its_cure(daemon: Daemon, haoya: Haoya) -> None:
    outcome = haoya("pair", "approve", "WRONG")
    assert outcome.status == 1
    assert outcome.err.endswith(" — haoya pair list\n")
    assert "WRONG" in outcome.err
    error = haoya("pair", "approve", "WRONG", "--json").json()["error"]
    assert (error["kind"], error["cure"]) == ("ConfigError", "haoya pair list")


def test_findings_have_a_status_of_their_own(daemon: Daemon, haoya: Haoya) -> None:
    assert haoya("doctor").status == 5
    assert haoya("channels", "test", "broken").status == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("statos",),
        ("status", "--nope"),
        ("pair", "approve"),
        ("asks", "maybe"),
        ("runs", "show", "nine"),
        ("up", "--port", "many"),
        ("chat", "--json"),
    ],
)
def test_wrong_usage_is_told_with_status_2(arguments: tuple[str, ...], haoya: Haoya) -> None:
    outcome = haoya(*arguments)
    assert outcome.status == 2
    assert "Traceback" not in outcome.err + outcome.out
    assert "haoya" in (outcome.err or outcome.out)


def test_a_question_without_a_number_names_the_form(daemon: Daemon, haoya: Haoya) -> None:
    assert haoya("asks", "yes").err.endswith("haoya asks yes N\n")


def test_options_may_stand_anywhere(daemon: Daemon, haoya: Haoya, home: Path) -> None:
    expected = haoya("status", "--json").json()
    assert haoya("--json", "status").json() == expected
    assert haoya("--home", str(home), "status", "--json").json() == expected
    assert haoya("status", "--home", str(home.parent), "--json").status == 3


def test_every_command_has_help_in_both_languages(
    haoya: Haoya, monkeypatch: pytest.MonkeyPatch
) -> None:
    for code, mark in (("en", "Usage"), ("zh", "只打印一份 JSON")):
        monkeypatch.setenv("HAOYA_LANG", code)
        for command in ["", *COMMANDS]:
            outcome = haoya(*command.split(), "--help")
            assert outcome.status == 0, command
            assert mark in outcome.out or code == "en", command


def test_the_version_loads_no_parser(home: Path) -> None:
    script = (
        "import sys; sys.argv[1:] = ['--version']; from haoya.cli import main; main();"
        "print(sorted({'cyclopts', 'rich', 'asyncio', 'msgspec', 'pydantic'} & {*sys.modules}))"
    )
    out = subprocess.check_output([sys.executable, "-c", script], text=True, timeout=SECONDS)
    assert out.splitlines() == [f"haoya {__version__}", "[]"]


def test_status_loads_neither_the_daemon_nor_a_painter(daemon: Daemon) -> None:
    script = (
        "import sys; sys.argv[1:] = ['status', '--json']; from haoya.cli import main; main();"
        "print(sorted({'cyclopts', 'rich', 'asyncio', 'pydantic', 'httpx2', 'apsw'}"
        " & {*sys.modules}))"
    )
    out = subprocess.check_output([sys.executable, "-c", script], text=True, timeout=SECONDS)
    assert out.splitlines()[-1] == "[]"


def test_a_person_sees_colours_unless_they_refuse(
    daemon: Daemon, screen: type[Screen], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[" not in screen("status").reads("haoya asks")
    monkeypatch.delenv("NO_COLOR")
    assert "\x1b[33mdegraded" in screen("status").reads("haoya asks")


def test_a_reader_that_leaves_early_breaks_nothing(daemon: Daemon) -> None:
    line = f"{' '.join(repr(x) for x in HAOYA)} status"
    script = f"set -o pipefail; {line} | true"
    done = subprocess.run(["bash", "-c", script], capture_output=True, timeout=SECONDS, check=False)
    assert b"Traceback" not in done.stderr


def test_a_socket_in_a_strange_folder_is_not_trusted(daemon: Daemon, haoya: Haoya) -> None:
    folder = socket_path(daemon.home).parent
    folder.chmod(0o777)
    outcome = haoya("status")
    assert outcome.status == 1
    assert "chmod 700" in outcome.err


def test_secrets_come_from_standard_input_and_stay_private(
    haoya: Haoya, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = home / "vault"
    (home / "secrets.toml").write_text('# by hand\nold = "1"\n')
    done = subprocess.run(
        [*HAOYA, "secrets", "set", "tg-token"],
        input='12:"AB"\n', capture_output=True, text=True, timeout=SECONDS, check=True,
    )  # fmt: skip
    assert "AB" not in done.stdout + done.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "AB" not in file.read_text()
    listed = haoya("secrets", "list").out
    assert "old" in listed and "tg-token" in listed and "AB" not in listed
    document = haoya("secrets", "list", "--json").json()
    assert [row["name"] for row in document["secrets"]] == ["old", "tg-token"]
    assert (document["source"], document["cipher"]) == ("file", "aes-256-gcm")
    assert haoya("secrets", "rm", "old").status == 0
    assert "old" not in haoya("secrets", "list").out
    missing = haoya("secrets", "rm", "old")
    assert missing.status == 1
    assert "there are: tg-token" in missing.err
    assert sorted(path.name for path in home.iterdir()) == ["vault", "vault.lock"]


def test_a_broken_secrets_file_is_told_without_its_contents(haoya: Haoya, home: Path) -> None:
    (home / "secrets.toml").write_text('a = "fine"\nkey = hunter2hunter2\n')
    outcome = haoya("secrets", "list")
    assert outcome.status == 1
    assert "line 2" in outcome.err
    assert "hunter2" not in outcome.err


def test_a_secret_needs_a_usable_name_and_a_value(home: Path) -> None:
    for name, value in (("a b", "x"), ("../x", "x"), ("fine", "\n")):
        done = subprocess.run(
            [*HAOYA, "secrets", "set", name],
            input=value, capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 1, name
    assert not (home / "vault").exists()


def test_a_person_types_a_secret_unseen(screen: type[Screen], home: Path) -> None:
    person = screen("secrets", "set", "key")
    person.reads("key (not shown)")
    person.type("geheim\n")
    assert "geheim" not in person.reads("is kept")
    assert person.leave() == 0
    assert [row.name for row in vault_of(home).records] == ["key"]


def test_the_settings_path_needs_no_daemon(haoya: Haoya, home: Path) -> None:
    assert haoya("config", "path").out == f"{home / 'settings.toml'}\n"
    assert haoya("config", "path", "--json").json() == {"path": str(home / "settings.toml")}


def test_a_backup_is_not_restored_under_a_running_daemon(daemon: Daemon, haoya: Haoya) -> None:
    outcome = haoya("backup", "restore", "some.file")
    assert outcome.status == 1
    assert outcome.err.endswith("haoya down\n")


def test_a_full_or_forbidden_disk_is_told_in_words(haoya: Haoya, home: Path) -> None:
    (home / "vault").mkdir()
    outcome = haoya("secrets", "list")
    assert outcome.status == 1
    assert outcome.err.startswith(f"haoya: the vault {home / 'vault'} cannot be read: Is a dir")
    assert os.linesep not in outcome.err.strip()
