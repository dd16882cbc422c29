# SPDX-License-Identifier: AGPL-3.0-or-later
"""Three registries of models, asked for what a reference stands for.

    hf:OWNER/REPO[@REVISION][:QUANTISATION or FILE]     Hugging Face and its mirrors
    ms:OWNER/REPO[@REVISION][:QUANTISATION or FILE]     ModelScope
    ollama:[OWNER/]NAME[:TAG]                           Ollama's registry

Hugging Face: `/api/models/REPO/tree/REVISION` (Hub API; `lfs.oid` is the SHA-256) and
`/REPO/resolve/REVISION/FILE`. ModelScope: `/api/v1/models/REPO/repo/files` and `.../repo?FilePath=`
as its own client uses them. Ollama: manifest version 2, schema 2 of the Docker registry API; layers
are blobs by digest.
"""

import re
from collections.abc import Sequence
from typing import Literal, NoReturn, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from haoya.core.errors import ConfigError
from haoya.core.message import Word
from haoya.inference.entry import name_for
from haoya.inference.gguf import PART
from haoya.inference.web import Hub, Web

PREFERRED = ("Q4_K_M", "Q4_K_S", "Q4_0", "Q5_K_M", "Q6_K", "Q8_0", "F16", "BF16")
"""Which quantisation is taken where the reference names none: the first of these there is."""
PAGES = 50
FORMS = "hf:OWNER/REPO[:QUANTISATION], ms:OWNER/REPO[:QUANTISATION] or ollama:NAME[:TAG]"

_REPO = re.compile(
    r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+?))?(:(?P<wanted>[^:]+))?", re.ASCII
)
_TAGGED = re.compile(r"(?P<repo>(?:[\w.-]+/)?[\w.-]+)(:(?P<tag>[\w.-]+))?", re.ASCII)
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
_LAYER = "application/vnd.ollama.image."
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"

Role = Literal["model", "mmproj", "lora"]
Shape = TypeVar("Shape")


class Remote(Word, frozen=True, kw_only=True):
    """A file of a registry's; `sha256` is empty where the registry does not tell it."""

    name: str
    url: str
    bytes: int
    sha256: str = ""
    role: Role = "model"


class Plan(Word, frozen=True, kw_only=True):
    """What a reference stands for: the files to fetch, and the name it is to have here."""

    source: str
    name: str
    files: tuple[Remote, ...]

    @property
    def bytes(self) -> int:
        """All files together."""
        return sum(one.bytes for one in self.files)


class _Lfs(msgspec.Struct):
    oid: str = ""


class _Leaf(msgspec.Struct):
    type: str = ""
    path: str = ""
    size: int = 0
    lfs: _Lfs | None = None


class _ScopeFile(msgspec.Struct, rename="pascal"):
    path: str = ""
    size: int = 0
    type: str = ""
    sha256: str | None = None


class _ScopeFiles(msgspec.Struct, rename="pascal"):
    files: list[_ScopeFile] = []


class _ScopeAnswer(msgspec.Struct, rename="pascal"):
    data: _ScopeFiles | None = None


class _Layer(msgspec.Struct, rename="camel"):
    media_type: str = ""
    digest: str = ""
    size: int = 0


class _Manifest(msgspec.Struct):
    layers: list[_Layer] = []


def resolve(reference: str, hubs: dict[str, Hub], web: Web) -> Plan:
    """Ask the registry what `reference` stands for; `hubs` by their prefix.

    Raises `ConfigError` where it is no reference, there is no such model, or it may not be had.
    """
    prefix, _, rest = reference.partition(":")
    if prefix not in hubs or not rest:
        raise ConfigError(f"{reference!r} names no model of a registry", cure=f"write {FORMS}")
    hub = hubs[prefix]
    form = _TAGGED if prefix == "ollama" else _REPO
    found = form.fullmatch(rest)
    if found is None:
        raise ConfigError(f"{reference!r} names no model of a registry", cure=f"write {FORMS}")
    if prefix == "ollama":
        return _ollama(reference, found["repo"], found["tag"] or "latest", hub, web)
    ask = _hugging_face if prefix == "hf" else _model_scope
    revision = found["revision"] or ("main" if prefix == "hf" else "master")
    files = ask(found["repo"], revision, hub, web)
    return _chosen(reference, found["repo"], found["wanted"] or "", files, hub)


def _hugging_face(repo: str, revision: str, hub: Hub, web: Web) -> list[Remote]:
    files: list[Remote] = []
    url = f"{hub.endpoint}/api/models/{repo}/tree/{quote(revision, safe='')}?recursive=true"
    for _ in range(PAGES):
        body, url = web.read(hub, url, repo)
        for leaf in _decode(body, list[_Leaf], hub):
            if leaf.type == "file":
                at = f"{hub.endpoint}/{repo}/resolve/{quote(revision, safe='')}/{quote(leaf.path)}"
                digest = leaf.lfs.oid if leaf.lfs else ""
                files.append(_remote(leaf.path, at, leaf.size, digest))
        if not url or urlsplit(url).netloc != hub.host:
            break
    return files


def _model_scope(repo: str, revision: str, hub: Hub, web: Web) -> list[Remote]:
    root = f"{hub.endpoint}/api/v1/models/{repo}/repo"
    version = quote(revision, safe="")
    body, _ = web.read(hub, f"{root}/files?Revision={version}&Recursive=true", repo)
    answer = _decode(body, _ScopeAnswer, hub)
    return [
        _remote(
            file.path,
            f"{root}?Revision={version}&FilePath={quote(file.path, safe='')}",
            file.size,
            file.sha256 or "",
        )
        for file in (answer.data.files if answer.data else [])
        if file.type == "blob"
    ]


def _ollama(reference: str, repo: str, tag: str, hub: Hub, web: Web) -> Plan:
    path = repo if "/" in repo else f"library/{repo}"
    body, _ = web.read(hub, f"{hub.endpoint}/v2/{path}/manifests/{tag}", f"{repo}:{tag}", _MANIFEST)
    roles: dict[str, Role] = {"model": "model", "projector": "mmproj", "adapter": "lora"}
    files: list[Remote] = []
    for layer in _decode(body, _Manifest, hub).layers:
        role = roles.get(layer.media_type.removeprefix(_LAYER))
        if role is None:
            continue
        found = _DIGEST.fullmatch(layer.digest)
        if found is None or layer.size <= 0:
            _strange(hub)
        kind = "" if role == "model" else f"-{role}"
        name = f"{repo.rpartition('/')[2]}-{tag}{kind}.gguf"
        at = f"{hub.endpoint}/v2/{path}/blobs/{layer.digest}"
        files.append(Remote(name=name, url=at, bytes=layer.size, sha256=found[1], role=role))
    if sum(one.role == "model" for one in files) != 1:
        raise ConfigError(
            f"{reference} has no GGUF file for itself", cure="choose another tag of this model"
        )
    name = f"{repo.rpartition('/')[2]}-{tag}" if tag != "latest" else repo.rpartition("/")[2]
    return Plan(source=reference, name=name_for(name), files=tuple(files))


def _remote(path: str, url: str, size: int, digest: str) -> Remote:
    found = _DIGEST.fullmatch(digest.lower())
    return Remote(name=path, url=url, bytes=size, sha256=found[1] if found else "")


def _chosen(reference: str, repo: str, wanted: str, files: Sequence[Remote], hub: Hub) -> Plan:
    """The files of a repository that the reference means."""
    all_ = [one for one in files if one.name.lower().endswith(".gguf") and one.bytes > 0]
    projectors = [one for one in all_ if "mmproj" in one.name.rpartition("/")[2].lower()]
    models = [one for one in all_ if one not in projectors]
    if not models:
        tail = " (it has safetensors)" if any("safetensors" in one.name for one in files) else ""
        raise ConfigError(
            f"{repo} has no GGUF file{tail}",
            cure=f"look for {repo}-GGUF, or fetch the folder and run `haoya models convert FOLDER`",
        )
    first = _first(models, wanted)
    if first is None:
        there = ", ".join(sorted(one.name for one in models)[:40])
        raise ConfigError(
            f"{repo} has no {wanted!r}; there are: {there}",
            cure=f"write {hub.prefix}:{repo}:QUANTISATION or its file's name",
        )
    chosen = _with_parts(first, models)
    if projectors:
        best = _first(projectors, "F16") or projectors[0]
        chosen.append(msgspec.structs.replace(best, role="mmproj"))
    name = name_for(first.name.rpartition("/")[2])
    flat = [msgspec.structs.replace(one, name=one.name.rpartition("/")[2]) for one in chosen]
    return Plan(source=f"{hub.prefix}:{repo}:{first.name}", name=name, files=tuple(flat))


def _first(files: Sequence[Remote], wanted: str) -> Remote | None:
    """The file of that name or quantisation, of a split one the first part."""
    ordered = sorted(files, key=lambda one: one.name)
    for one in ordered:
        if wanted and wanted in (one.name, one.name.rpartition("/")[2]):
            return _head(one, ordered)
    for quantisation in [wanted] if wanted else PREFERRED:
        pattern = rf"(?i)(^|[^a-z0-9]){re.escape(quantisation.removesuffix('.gguf'))}([^a-z0-9_]|$)"
        for one in ordered:
            if re.search(pattern, one.name):
                return one
    return None if wanted else ordered[0]


def _head(part: Remote, files: Sequence[Remote]) -> Remote:
    found = PART.fullmatch(part.name)
    if found is None:
        return part
    name = f"{found['stem']}-00001-of-{found['count']}.gguf"
    return next((one for one in files if one.name == name), part)


def _with_parts(first: Remote, files: Sequence[Remote]) -> list[Remote]:
    found = PART.fullmatch(first.name)
    if found is None:
        return [first]
    by_name = {one.name: one for one in files}
    count = int(found["count"])
    names = [f"{found['stem']}-{i:05}-of-{count:05}.gguf" for i in range(1, count + 1)]
    if missing := [name for name in names if name not in by_name]:
        raise ConfigError(
            f"{first.name} is one of {count} files, and {missing[0]} is not there",
            cure="choose another quantisation",
        )
    return [by_name[name] for name in names]


def _decode(body: bytes, shape: type[Shape], hub: Hub) -> Shape:
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError):
        _strange(hub)


def _strange(hub: Hub) -> NoReturn:
    raise ConfigError(
        f"{hub.host} does not answer as a registry of models does",
        cure=f"correct the endpoint in [downloads] (it is {hub.endpoint})",
    )
