# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where everything of one haoya lies: a single folder that can be moved as a whole."""

import os
from pathlib import Path

import msgspec


class Home(msgspec.Struct, frozen=True, kw_only=True):
    """The folder and the names in it. Nothing is made until `prepare`."""

    folder: Path

    @property
    def settings(self) -> Path:
        """The owner's settings, TOML."""
        return self.folder / "settings.toml"

    @property
    def secrets(self) -> Path:
        """Named secrets in the clear, TOML: taken into the vault as soon as they are seen."""
        return self.folder / "secrets.toml"

    @property
    def vault(self) -> Path:
        """The secrets, encrypted; its key lies elsewhere."""
        return self.folder / "vault"

    @property
    def last_good(self) -> Path:
        """The last settings file that was valid TOML with no broken section."""
        return self.folder / "state" / "settings.last-good.toml"

    @property
    def journal(self) -> Path:
        """The folder in which the journal's files lie: the home itself."""
        return self.folder

    @property
    def blobs(self) -> Path:
        """The folder of the blob store."""
        return self.folder / "blobs"

    @property
    def workspace(self) -> Path:
        """The files the agent may work on."""
        return self.folder / "workspace"

    @property
    def models(self) -> Path:
        """The files of local models, and engines built on this machine."""
        return self.folder / "models"

    @property
    def token(self) -> Path:
        """The bearer token of the HTTP API, made at first start."""
        return self.folder / "state" / "api-token"

    @property
    def masking_key(self) -> Path:
        """The secret that placeholders for personal data follow from."""
        return self.folder / "state" / "masking.key"

    @property
    def devices(self) -> Path:
        """Who may use the API from elsewhere."""
        return self.folder / "state" / "devices.json"

    @property
    def peers(self) -> Path:
        """The other nodes of the owner's that were invited."""
        return self.folder / "state" / "peers.json"

    def state(self, kind: str, name: str) -> Path:
        """A plugin's own folder."""
        return self.folder / "state" / kind / name

    def prepare(self) -> None:
        """Make the folders, readable by the owner alone; OSError where that is impossible."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (self.folder / "state", self.workspace, self.folder / "run"):
            folder.mkdir(exist_ok=True, mode=0o700)


def home_folder(explicit: str | Path | None = None) -> Path:
    """The folder to use: the one named, else `HAOYA_HOME`, else `~/.haoya`."""
    chosen = explicit or os.environ.get("HAOYA_HOME") or "~/.haoya"
    return Path(chosen).expanduser().absolute()
