# SPDX-License-Identifier: AGPL-3.0-or-later
"""Verbs that need no daemon: answered from the files of a home."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pydantic

from haoya.core.errors import ConfigError, Unready
from haoya.core.plugin import PluginKind
from haoya.journal import Journal, open_journal
from haoya.journal.schema import FILE
from haoya.policy.access import Gate
from haoya.runtime import granting, runs
from haoya.runtime.api_settings import ApiSettings
from haoya.runtime.devices import Devices
from haoya.runtime.devices_verbs import DeviceVerbs
from haoya.runtime.doctor import damaged, examine
from haoya.runtime.gateway import PAIRING_KINDS, PEOPLE, Gateway
from haoya.runtime.home import Home
from haoya.runtime.leaving import leave_findings
from haoya.runtime.masking import Masking
from haoya.runtime.masking_settings import MaskingSettings
from haoya.runtime.peers import Peers
from haoya.runtime.peers_settings import PeersSettings
from haoya.runtime.peers_verbs import PeerVerbs
from haoya.runtime.queue_settings import QueueSettings
from haoya.runtime.registry import built_in, find
from haoya.runtime.router_settings import ModelFrame, RouterSettings
from haoya.runtime.runs import Row
from haoya.runtime.secrets import plain_secrets
from haoya.runtime.security import security_findings
from haoya.runtime.settings import (
    AgentSettings,
    DeliverySettings,
    DownloadSettings,
    Finding,
    JournalSettings,
    PartSettings,
    PolicySettings,
    Settings,
    faults_of,
    load,
)
from haoya.runtime.unmasking import story
from haoya.runtime.vaulting import journal_key
from haoya.runtime.verbs import BY, people_row


def call(folder: Path, verb: str, arguments: Mapping[str, Any]) -> Any:
    """The answer to a verb without a daemon; Unready for one that needs it running."""
    return asyncio.run(_call(Home(folder=folder), verb, arguments))


async def _call(home: Home, verb: str, given: Mapping[str, Any]) -> Any:
    match verb:
        case "config_check":
            return {"findings": [msgspec.to_builtins(f) for f in check(home)]}
        case "config_schema":
            return schema()
        case "doctor":
            if given.get("security"):
                found = security_findings(home, load(home))
                return {"findings": [msgspec.to_builtins(finding) for finding in found]}
            return await _doctor(home)
        case "pair_list":
            async with _gateway(home, read_only=True) as gateway:
                return people_row(gateway, time.time())
        case "pair_approve":
            async with _gateway(home, read_only=False) as gateway:
                holder = await gateway.approve(
                    str(given["code"]), str(given.get("role", "member")), BY
                )
                if holder is None:
                    raise ConfigError(
                        f"nobody holds the code {given['code']!r} (any more)",
                        cure="see `haoya pair list`",
                    )
                return {"person": holder.key, "name": holder.name, "role": given.get("role")}
        case "peers_list" | "peers_invite" | "peers_remove":
            return _peers(home, verb, given)
        case "grants_list":
            async with open_journal(home.journal, read_only=True) as journal:
                return granting.grants_list(await granting.recall(journal), time.time())
        case "devices_list" | "devices_add" | "devices_remove":
            return _devices(home, verb, given)
        case "runs_list" | "runs_show" | "why":
            async with open_journal(
                home.journal, read_only=True, key=journal_key(home.journal)
            ) as journal:
                if verb == "runs_list":
                    return await runs.runs_list(journal, int(given.get("limit", 20)))
                if verb == "runs_show":
                    return await runs.runs_show(journal, int(given["turn"]))
                return await _story(home, journal, given)
        case _:
            raise Unready("haoya is not running; start it with `haoya up`")


def _peers(home: Home, verb: str, given: Mapping[str, Any]) -> Row:
    verbs = PeerVerbs(Peers(home.peers), load(home), home)
    if verb == "peers_list":
        return verbs.list()
    return verbs.invite(given, time.time()) if verb == "peers_invite" else verbs.remove(given)


def _devices(home: Home, verb: str, given: Mapping[str, Any]) -> Row:
    verbs = DeviceVerbs(Devices(home.devices), "")
    if verb == "devices_list":
        return verbs.list()
    return verbs.add(given, time.time()) if verb == "devices_add" else verbs.remove(given)


async def _story(home: Home, journal: Journal, given: Mapping[str, Any]) -> Row:
    settings = load(home)
    masking = Masking(lambda: settings, home.masking_key)
    return await story(journal, masking, settings.agent, given)


def check(home: Home) -> list[Finding]:
    """Everything wrong with the settings, plugins' own sections included; nothing is opened."""
    settings = load(home)
    own = [*settings.findings, *_plugin_faults(settings)]
    return [*own, *plain_secrets(settings), *leave_findings(settings)]


def _plugin_faults(settings: Settings) -> list[Finding]:
    findings: list[Finding] = []
    lent = settings.agent.tools
    tools = {name: settings.tools.get(name, PartSettings(use=name, table={})) for name in lent}
    groups: tuple[tuple[str, PluginKind, dict[str, PartSettings]], ...] = (
        ("channels", "channel", settings.channels),
        ("models", "model", settings.models),
        ("tools", "tools", tools),
    )
    for group, kind, parts in groups:
        for name, part in parts.items():
            section = f"{group}.{name}"
            try:
                plugin = find(kind, part.use)
                plugin.settings.model_validate(part.table)
            except ConfigError as error:
                findings.append(
                    Finding(
                        id="settings-section",
                        severity="error",
                        section=section,
                        message=str(error),
                        cure=error.cure,
                    )
                )
            except pydantic.ValidationError as error:
                findings += faults_of(section, error)
    missing = [name for name in settings.agent.models if name not in settings.models]
    if settings.models and missing:
        known = ", ".join(settings.models)
        message = f"[agent] model names {missing[0]!r}, but the models are: {known}"
        findings.append(
            Finding(
                id="agent-model",
                severity="error",
                section="agent",
                message=message,
                cure="correct `model` in [agent], or add that section",
            )
        )
    return findings


def schema() -> Row:
    """The JSON Schema of the settings file, every built-in plugin's section included."""
    sections: dict[str, type[pydantic.BaseModel]] = {
        "agent": AgentSettings,
        "policy": PolicySettings,
        "api": ApiSettings,
        "peers": PeersSettings,
        "journal": JournalSettings,
        "delivery": DeliverySettings,
        "router": RouterSettings,
        "downloads": DownloadSettings,
        "queue": QueueSettings,
        "masking": MaskingSettings,
    }
    properties: Row = {name: kind.model_json_schema() for name, kind in sections.items()}
    groups: tuple[tuple[str, PluginKind], ...] = (("channels", "channel"), ("models", "model"))
    for group, kind in groups:
        options = [
            _part_schema(name, find(kind, name).settings, kind)
            for name in sorted(built_in(kind))
            if name != "local"
        ]
        properties[group] = {"type": "object", "additionalProperties": {"anyOf": options}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "haoya settings",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }


def _part_schema(name: str, settings: type[pydantic.BaseModel], kind: PluginKind) -> Row:
    part = settings.model_json_schema()
    frame: Row = {"use": {"const": name}, "enabled": {"type": "boolean", "default": True}}
    if kind == "model":
        frame = ModelFrame.model_json_schema()["properties"] | frame
    if kind == "channel":
        listed = {"type": "array", "items": {"type": "string"}}
        frame["access"] = {"anyOf": [{"enum": ["pairing", "open"]}, listed], "default": "pairing"}
    part["properties"] = frame | part.get("properties", {})
    part["required"] = ["use", *part.get("required", [])]
    return part


async def _doctor(home: Home) -> Row:
    findings = check(home)
    findings.append(
        Finding(
            id="not-running",
            severity="info",
            section="haoya",
            message="haoya is not running",
            cure="start it with `haoya up`",
        )
    )
    try:
        async with open_journal(
            home.journal, read_only=True, key=journal_key(home.journal)
        ) as journal:
            findings += await examine(home, journal)
    except (Unready, ConfigError) as error:
        findings += await examine(home, None)
        if (home.journal / FILE).exists():
            findings.append(damaged(str(error)))
    return {"findings": [msgspec.to_builtins(finding) for finding in findings]}


def _journal(home: Home, *, read_only: bool = True) -> AbstractAsyncContextManager[Journal]:
    return open_journal(home.journal, read_only=read_only, key=journal_key(home.journal))


@asynccontextmanager
async def _gateway(home: Home, *, read_only: bool) -> AsyncGenerator[Gateway]:
    """A gateway with nothing open but the journal."""
    async with _journal(home, read_only=read_only) as journal:
        gateway = Gateway(
            journal,
            gate=lambda: Gate(rules={}),
            delivery=DeliverySettings,
            clock=time.time,
        )
        for entry in await journal.read(PEOPLE.key, kinds=PAIRING_KINDS):
            gateway.roster.note(entry)
        yield gateway
