# SPDX-License-Identifier: AGPL-3.0-or-later
"""The models of a home, for the command line: the store with this home's settings around it.

Needs no daemon, and nothing here is fetched unless somebody asked for it.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import httpx2

from haoya.core.errors import ConfigError
from haoya.core.message import Word
from haoya.inference.convert import convert
from haoya.inference.entry import Entry, SidecarKind, name_for
from haoya.inference.fit import Advice, Fit, advise, estimate
from haoya.inference.gguf import Gguf, read
from haoya.inference.machine import Machine, examine
from haoya.inference.pull import Step as Step
from haoya.inference.pull import Told, Unfinished, Wish, look, pull, unfinished
from haoya.inference.quantize import Smaller, quantize
from haoya.inference.store import Store
from haoya.inference.web import Hub, Web
from haoya.runtime.egress import open_blocking_client
from haoya.runtime.home import Home
from haoya.runtime.secrets import Secrets
from haoya.runtime.settings import load
from haoya.runtime.vaulting import read as read_vault

Done = Callable[[int, int], None]
"""Hears how many bytes of how many are done."""


class Registry(Word, frozen=True, kw_only=True):
    """A registry's own address, and the environment variables other programs name it by."""

    setting: str
    endpoint: str
    page: str
    endpoint_variable: str
    token_variable: str
    cookie: str = ""


REGISTRIES = {
    "hf": Registry(
        setting="huggingface",
        endpoint="https://huggingface.co",
        page="https://huggingface.co/{repo}",
        endpoint_variable="HF_ENDPOINT",
        token_variable="HF_TOKEN",
    ),
    "ms": Registry(
        setting="modelscope",
        endpoint="https://modelscope.cn",
        page="https://modelscope.cn/models/{repo}",
        endpoint_variable="MODELSCOPE_ENDPOINT",
        token_variable="MODELSCOPE_API_TOKEN",
        cookie="m_session_id",
    ),
    "ollama": Registry(
        setting="ollama",
        endpoint="https://registry.ollama.ai",
        page="https://ollama.com/search?q={repo}",
        endpoint_variable="OLLAMA_REGISTRY",
        token_variable="OLLAMA_TOKEN",
    ),
}
"""By the word before the colon of a reference."""


class Model(Word, frozen=True, kw_only=True):
    """A model with what its file says; `gguf` is None where that cannot be read, `used_by` are
    the sections of the settings that name it."""

    entry: Entry
    gguf: Gguf | None = None
    used_by: tuple[str, ...] = ()


class Suits(Word, frozen=True, kw_only=True):
    """How a model suits this machine."""

    gguf: Gguf
    fit: Fit
    advice: Advice
    machine: Machine


class Shelf:
    """The models of the home in a folder."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder=folder)
        self.settings = load(self.home)
        self.store = Store(self.home.models)

    def models(self) -> list[Model]:
        """All models, by name."""
        return [self._model(entry) for entry in self.store.list()]

    def unfinished(self) -> list[Unfinished]:
        """Downloads that were left before their end."""
        return list(unfinished(self.store))

    def model(self, name: str) -> Model:
        """One model, by name or by the path of its file."""
        return self._model(self.store.find(_target(name)))

    def verify(self, name: str) -> list[str]:
        """What is wrong with a model's files."""
        return list(self.store.verify(name))

    def look(self, target: str) -> Gguf:
        """What a model is: one of the store, a file, or a registry's (its first bytes are
        fetched for that)."""
        if target.partition(":")[0] not in REGISTRIES:
            return read(self.store.find(_target(target)).path)
        with tempfile.TemporaryDirectory() as folder, self._client() as client:
            return look(target, self.hubs(), Web(client), Path(folder))[1]

    def suits(
        self, target: str, *, context_tokens: int, sessions: int, cache_type: str, repack: bool
    ) -> Suits:
        """How a model suits this machine; `target` as in `look`."""
        gguf, machine = self.look(target), examine()
        fit = estimate(
            gguf,
            context_tokens=context_tokens,
            sessions=sessions,
            cache_type=cache_type,
            repack=repack,
        )
        advice = advise(gguf, fit, available=machine.available, memory=machine.memory)
        return Suits(gguf=gguf, fit=fit, advice=advice, machine=machine)

    def pull(self, wish: Wish, told: Told, waits: Callable[[str, float], None]) -> Model:
        """Fetch a model from a registry."""
        with self._client() as client:
            web = Web(client, told=waits)
            entry = pull(wish, self.store, self.hubs(), web, machine=examine(), told=told)
        return self._model(entry)

    def add(self, file: Path, name: str) -> Model:
        """Take in a GGUF file."""
        return self._model(self.store.add(file.absolute(), name=name))

    def attach(self, file: Path, to: str, kind: SidecarKind | None) -> Model:
        """Put a file beside a model; what it is for is read from it where nobody says."""
        known: dict[str, SidecarKind] = {"mmproj": "mmproj", "lora": "lora"}
        found = kind or known.get(read(file).purpose, "draft")
        return self._model(self.store.attach(to, file.absolute(), found))

    def remove(self, name: str, *, force: bool) -> int:
        """Remove a model or a download left before its end; the bytes that gave back."""
        if not force and (users := self._users(name.lower())):
            raise ConfigError(
                f"[{users[0]}] in the settings uses {name!r}",
                cure="choose another with `haoya models use` first, or remove it with --force",
            )
        return self.store.remove(name.lower())

    def quantize(self, target: str, kind: str, name: str, told: Done) -> tuple[Model, Smaller]:
        """Make a smaller model of one that is here."""
        entry = self.store.find(_target(target))
        name = self.store.check_name(name or _smaller_name(entry.name, kind))
        made = self._new_file(name)
        try:
            smaller = quantize(
                entry.path, kind, made, engines=self.home.models / "engines", told=told
            )
            source = f"{kind.upper()} of {entry.source or entry.name}"
            return self._model(self.store.add(made, name=name, source=source)), smaller
        finally:
            made.unlink(missing_ok=True)

    def convert(self, folder: Path, name: str, told: Done) -> Model:
        """Make a model of a folder in Hugging Face's form."""
        name = self.store.check_name(name or name_for(folder.absolute().name))
        made = self._new_file(name)
        try:
            convert(folder.absolute(), made, told=told)
            source = f"folder:{folder.absolute()}"
            return self._model(self.store.add(made, name=name, source=source))
        finally:
            made.unlink(missing_ok=True)

    def _client(self) -> httpx2.Client:
        """Registries are asked as the owner wrote them; where they send us must be public."""
        endpoints = [hub.endpoint for hub in self.hubs().values()]
        return open_blocking_client(self.settings.egress, *endpoints)

    def hubs(self) -> dict[str, Hub]:
        """The registries as the settings or else the environment say."""
        return {prefix: self._hub(prefix, one) for prefix, one in REGISTRIES.items()}

    def _hub(self, prefix: str, one: Registry) -> Hub:
        settings: dict[str, str] = self.settings.downloads.model_dump()
        endpoint = settings[one.setting] or os.environ.get(one.endpoint_variable, "")
        if endpoint and "://" not in endpoint:
            endpoint = f"https://{endpoint}"
        token = settings[f"{one.setting}_token"]
        return Hub(
            endpoint=(endpoint or one.endpoint).rstrip("/"),
            token=self._token(token) if token else os.environ.get(one.token_variable, ""),
            prefix=prefix,
            setting=f"{one.setting}_token",
            page=one.page,
            cookie=one.cookie,
        )

    def _token(self, value: str) -> str:
        secrets = read_vault(self.home) if value.startswith("secret:") else Secrets()
        return secrets.resolve(value)

    def _model(self, entry: Entry) -> Model:
        try:
            gguf = read(entry.path)
        except ConfigError:
            gguf = None
        return Model(entry=entry, gguf=gguf, used_by=tuple(self._users(entry.name)))

    def _users(self, name: str) -> list[str]:
        return [
            f"models.{section}"
            for section, part in self.settings.models.items()
            if part.use == "local" and str(part.table.get("model", "")).lower() == name
        ]

    def _new_file(self, name: str) -> Path:
        """Where a model is made: on the store's disk, so that it need not be copied."""
        folder = self.home.models / "made"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder / f"{name}.gguf"


def _target(text: str) -> str:
    """A file's path made absolute; anything else is a name."""
    path = Path(text).expanduser()
    return str(path.absolute()) if text.endswith(".gguf") and path.is_file() else text


def _smaller_name(name: str, kind: str) -> str:
    """A model's name with the quantisation in place of the one it had.

    >>> _smaller_name("qwen3-8b-f16", "Q4_K_M"), _smaller_name("mine", "Q8_0")
    ('qwen3-8b-q4_k_m', 'mine-q8_0')
    """
    for old in ("-f16", "-bf16", "-f32", ".f16", ".bf16", ".f32"):
        name = name.removesuffix(old)
    return f"{name}-{kind.lower()}"
