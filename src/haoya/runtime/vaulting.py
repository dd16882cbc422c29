# SPDX-License-Identifier: AGPL-3.0-or-later
"""The daemon's side of the vault: a program opens it, says what is in it, and ends.

So the daemon holds the values it needs and nothing else: no key, and not the 10 to 40 MB of the
libraries that know how to get one.
"""

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from haoya.core.errors import ConfigError, Unready
from haoya.policy.vault.words import Vault
from haoya.runtime.board import Board
from haoya.runtime.home import Home
from haoya.runtime.secrets import Secrets, plain_values, wanted_origins
from haoya.runtime.settings import Finding, Settings, load
from haoya.runtime.vault_words import Answer, Plain, Take, Taken

log = logging.getLogger("haoya.runtime")

PROGRAM = "haoya.runtime.vault"
OPEN_SECONDS = 90.0
"""The longest an opening may take: a keyring may ask its owner to be unlocked."""
RETRY_SECONDS = 15.0
"""How often a vault that could not be reached is tried again."""

_PASSED_ON = (
    *("PATH", "HOME", "TMPDIR", "LANG", "PYTHONPATH", "LD_LIBRARY_PATH", "SYSTEMROOT"),
    *("XDG_DATA_HOME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY"),
    *("CREDENTIALS_DIRECTORY", "HAOYA_PASSPHRASE_FILE", "HAOYA_KEYS", "HAOYA_TPM"),
)
"""What that program may know of our environment: where keys are, and how to ask for them."""


class Keeper:
    """Keeps `secrets` as the vault has them, and the owner told about it."""

    def __init__(self, home: Home, board: Board, secrets: Secrets, phrase: str = "") -> None:
        self.home = home
        self.board = board
        self.secrets = secrets
        self.phrase = phrase
        self._moved: list[Finding] = []

    async def refresh(self, settings: Settings) -> Settings:
        """Open the vault anew, where there is one or has to be one.

        Secrets that stand in the settings file in the clear go into the vault first; the settings
        are then as they have become.
        """
        self.secrets.take_variables(settings)
        plain = tuple(plain_values(settings))
        try:
            if plain or self._is_there():
                taken = await asyncio.to_thread(call, self._wish(settings, plain))
                self.secrets.hold(taken.held)
                if taken.moved:
                    settings = load(self.home)
                    self._tell(taken)
                self._find(*_advice(taken))
            else:
                self.secrets.hold(())
                self._find()
        except (ConfigError, Unready) as error:
            self.secrets.trouble = error
            self._find(_locked(error))
        return settings

    async def keep_trying(self, again: Callable[[], Awaitable[None]]) -> None:
        """Try again while the vault cannot be reached; what the owner mends is seen by itself."""
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            if isinstance(self.secrets.trouble, Unready):
                with contextlib.suppress(Unready):
                    await again()

    def _is_there(self) -> bool:
        return self.home.vault.exists() or self.home.secrets.exists()

    def _wish(self, settings: Settings, plain: tuple[Plain, ...]) -> Take:
        return Take(
            home=str(self.home.folder),
            phrase=self.phrase,
            plain=plain,
            bind=wanted_origins(settings),
        )

    def _tell(self, taken: Taken) -> None:
        names = ", ".join(taken.moved)
        log.info("moved into the vault: %s", names)
        told = Finding(
            id="secrets-moved",
            severity="info",
            section="vault",
            message=f"these secrets were moved into the vault: {names}",
            cure="copies and backups made before still hold them in the clear; remove those",
        )
        left = [_left(sentence) for sentence in taken.left]
        self._moved = [told, *left]

    def _find(self, *findings: Finding) -> None:
        self.board.find("vault", *self._moved, *findings)


def call(wish: Take) -> Taken:
    """Let the program open the vault; blocks. Raises what it raised."""
    command = [sys.executable, "-P", "-m", PROGRAM]
    try:
        done = subprocess.run(
            command,
            input=msgspec.json.encode(wish),
            stdout=subprocess.PIPE,
            env=environment(),
            timeout=OPEN_SECONDS,
            check=False,
        )
        answer = msgspec.json.decode(done.stdout, type=Answer)
    except subprocess.TimeoutExpired:
        text = f"the vault was not opened in {OPEN_SECONDS:.0f} s; is its keyring waiting for you?"
        raise Unready(text) from None
    except (OSError, msgspec.MsgspecError):
        raise ConfigError(
            "the program that opens the vault broke",
            cure="look at haoya's log; is the package cryptography installed?",
        ) from None
    if answer.fault is not None:
        if answer.fault.kind == "Unready":
            raise Unready(answer.fault.message)
        raise ConfigError(answer.fault.message, cure=answer.fault.cure)
    return answer.taken or Taken()


def read(home: Home) -> Secrets:
    """The secrets of a home, for a command line that needs one; blocks."""
    secrets = Secrets()
    if home.vault.exists() or home.secrets.exists():
        secrets.hold(call(Take(home=str(home.folder))).held)
    return secrets


def keep(home: Path, values: dict[str, str], phrase: str = "") -> None:
    """Keep secrets without loading what it takes to encrypt them; blocks."""
    call(Take(home=str(home), phrase=phrase, new=values))


def source_of(home: Path) -> str:
    """Where the key of the vault comes from, "" where there is no vault that can be read."""
    try:
        return msgspec.json.decode((home / "vault").read_bytes(), type=Vault).lock.source
    except (OSError, msgspec.MsgspecError):
        return ""


def environment() -> dict[str, str]:
    """The environment of the program that opens the vault."""
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ}


def _advice(taken: Taken) -> list[Finding]:
    if taken.fleeting:
        return [
            Finding(
                id="vault-key-fleeting",
                severity="error",
                section="vault",
                message="the vault's key lies in this container and goes with it; the vault stays",
                cure="mount a volume there or name one with HAOYA_KEYS, then run "
                "`haoya secrets rotate`",
            )
        ]
    if not taken.source or taken.recoverable or taken.source == "passphrase" or not taken.held:
        return []
    return [
        Finding(
            id="vault-no-recovery",
            severity="info",
            section="vault",
            message=f"only the key from this machine ({taken.source}) opens the vault",
            cure="run `haoya secrets recovery` and keep the key it shows somewhere else",
        )
    ]


def _left(sentence: str) -> Finding:
    return Finding(
        id="secret-plain",
        severity="warning",
        section="vault",
        message=sentence,
        cure="the vault has it; remove what is left by hand",
    )


def _locked(error: ConfigError | Unready) -> Finding:
    cure = error.cure if isinstance(error, ConfigError) else "it is tried again by itself"
    return Finding(
        id="vault-locked", severity="error", section="vault", message=str(error), cure=cure
    )
