# SPDX-License-Identifier: AGPL-3.0-or-later
"""The owner's settings: one TOML file, validated section by section.

A broken section parks the part it describes and becomes a finding; the rest lives on. A file
that is no TOML at all is replaced, in memory only, by the last good one.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import msgspec
import pydantic
from pydantic import Field

from haoya.policy.access import Access
from haoya.runtime.api_settings import ApiSettings
from haoya.runtime.channel_settings import ChannelFrame
from haoya.runtime.download_settings import DownloadSettings
from haoya.runtime.egress_settings import EgressSettings
from haoya.runtime.home import Home
from haoya.runtime.masking_settings import MaskingSettings
from haoya.runtime.peers_settings import PeersSettings
from haoya.runtime.policy_settings import PolicySettings
from haoya.runtime.queue_settings import QueueSettings
from haoya.runtime.router_settings import ModelFrame, PartFrame, RouterSettings
from haoya.runtime.section import Section

Table = dict[str, Any]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


class AgentSettings(Section):
    """`[agent]`: who answers. `model` names one or several models, tried in that order."""

    name: str = Field("haoya", min_length=1, max_length=40)
    model: str | list[str] = "main"
    prompt: str = ""
    tools: list[str] = Field(["clock", "files", "memory", "message"])
    max_steps: int = Field(12, ge=1, le=100)
    gather: bool = False
    """Whether messages that came while the agent was at work share one answer."""

    @property
    def models(self) -> list[str]:
        """The names in `model`, as a list."""
        return [self.model] if isinstance(self.model, str) else list(self.model)


class JournalSettings(Section):
    """`[journal]`: `durability = "normal"` trades the last second before a power cut for speed."""

    durability: Literal["full", "normal"] = "full"


class DeliverySettings(Section):
    """`[delivery]`: what to do with a message whose arrival a crash has hidden."""

    repeat: Literal["marked", "never"] = "marked"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something the owner should know. `id` is stable, `section` as in the settings file."""

    id: str
    severity: Literal["error", "warning", "info"]
    section: str
    message: str
    cure: str


class PartSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One channel's, model's or tool package's settings before its plugin has seen them."""

    use: str
    table: Table
    access: Access = Access()


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that could be understood."""

    agent: AgentSettings
    policy: PolicySettings
    api: ApiSettings
    peers: PeersSettings
    journal: JournalSettings
    delivery: DeliverySettings
    router: RouterSettings
    downloads: DownloadSettings
    queue: QueueSettings
    masking: MaskingSettings
    egress: EgressSettings
    channels: dict[str, PartSettings]
    models: dict[str, PartSettings]
    tools: dict[str, PartSettings]
    frames: dict[str, ModelFrame] = {}
    """What the router knows of each of the models; apart, so that a new price reopens none."""
    findings: tuple[Finding, ...] = ()


_SECTIONS: dict[str, type[pydantic.BaseModel]] = {
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
    "egress": EgressSettings,
}
_FRAMES: dict[str, type[ChannelFrame | PartFrame]] = {
    "channels": ChannelFrame,
    "models": ModelFrame,
    "tools": PartFrame,
}
_GROUPS = tuple(_FRAMES)


def load(home: Home) -> Settings:
    """The settings of a home; never raises, whatever stands in the file."""
    text, findings = _text(home.settings)
    table: Table = {}
    if text is not None:
        try:
            table = toml_of(text)
        except ValueError as error:
            table, said = _last_good(home)
            findings.append(
                Finding(
                    id="settings-syntax",
                    severity="error",
                    section="settings.toml",
                    message=f"settings.toml is not valid TOML: {error}; {said}",
                    cure="mend that line, then run `haoya config check`",
                )
            )
    return read(table, findings)


def toml_of(text: str) -> Table:
    """The table a TOML text holds; ValueError for every text that is none.

    The parser itself lets a number of thousands of digits and endless brackets through as other
    errors.
    """
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read(table: Mapping[str, Any], findings: list[Finding] | None = None) -> Settings:
    """Settings from a parsed table; every fault becomes a finding with its cure."""
    findings = list(findings or ())
    for key in table:
        if key not in _SECTIONS and key not in _GROUPS:
            known = ", ".join([*_SECTIONS, *_GROUPS])
            findings.append(fault_in(key, f"no section is named [{key}]", f"there are: {known}"))
    parsed = {name: _section(name, kind, table, findings) for name, kind in _SECTIONS.items()}
    models = _parts("models", table, findings)
    return Settings(
        agent=cast("AgentSettings", parsed["agent"]),
        policy=cast("PolicySettings", parsed["policy"]),
        api=cast("ApiSettings", parsed["api"]),
        peers=cast("PeersSettings", parsed["peers"]),
        journal=cast("JournalSettings", parsed["journal"]),
        delivery=cast("DeliverySettings", parsed["delivery"]),
        downloads=cast("DownloadSettings", parsed["downloads"]),
        queue=cast("QueueSettings", parsed["queue"]),
        masking=cast("MaskingSettings", parsed["masking"]),
        egress=cast("EgressSettings", parsed["egress"]),
        channels=_parts("channels", table, findings),
        models=models,
        tools=_parts("tools", table, findings),
        router=cast("RouterSettings", parsed["router"]),
        frames={name: ModelFrame.model_validate(table["models"][name]) for name in models},
        findings=tuple(findings),
    )


def remember_good(home: Home) -> None:
    """Keep a copy of a settings file in which nothing was wrong; a full disk is no matter."""
    try:
        text = home.settings.read_bytes()
        if not home.last_good.exists() or home.last_good.read_bytes() != text:
            home.last_good.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary = home.last_good.with_suffix(".new")
            temporary.write_bytes(text)
            temporary.chmod(0o600)
            temporary.replace(home.last_good)
    except OSError:
        return


def faults_of(section: str, error: pydantic.ValidationError) -> list[Finding]:
    """One finding for each fault pydantic lists, in words an owner understands."""
    found: list[Finding] = []
    for fault in error.errors(include_url=False, include_input=False):
        key = ".".join(str(step) for step in fault["loc"] if not _is_branch(step))
        said = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            message, cure = f"[{section}] has no setting {key!r}", "remove or correct the name"
        elif fault["type"] == "missing":
            message, cure = f"[{section}] needs {key!r}", f"add {key} = … to [{section}]"
        else:
            message, cure = f"[{section}] {key}: {said}", f"correct {key} in [{section}]"
        found.append(fault_in(section, message, cure))
    return found


def _is_branch(step: int | str) -> bool:
    """Union branches stand in pydantic's locations as type names; owners do not write them."""
    return isinstance(step, str) and bool(
        re.match(r"^(str|list\[|dict\[|literal\[|int|function)", step)
    )


def fault_in(section: str, message: str, cure: str) -> Finding:
    """A fault in what the owner wrote."""
    return Finding(
        id="settings-section", severity="error", section=section, message=message, cure=cure
    )


def _text(path: Path) -> tuple[str | None, list[Finding]]:
    try:
        return path.read_text("utf-8-sig"), []  # Windows' editors begin with a mark
    except FileNotFoundError:
        return None, [
            Finding(
                id="settings-missing",
                severity="info",
                section="settings.toml",
                message=f"there is no settings file at {path}",
                cure="run `haoya setup`",
            )
        ]
    except (OSError, UnicodeDecodeError) as error:
        cure = "make it a UTF-8 text file that you can read"
        return "", [fault_in("settings.toml", f"settings.toml cannot be read: {error}", cure)]


def _last_good(home: Home) -> tuple[Table, str]:
    try:
        good = toml_of(home.last_good.read_text("utf-8-sig"))
        return good, "the last good settings are used"
    except (OSError, ValueError):
        return {}, "there are no last good settings, so defaults are used"


def _section(
    name: str, kind: type[pydantic.BaseModel], table: Mapping[str, Any], findings: list[Finding]
) -> pydantic.BaseModel:
    raw = table.get(name, {})
    if not isinstance(raw, dict):
        findings.append(fault_in(name, f"{name!r} must be a section", f"write [{name}] on its own"))
        return kind()
    try:
        return kind.model_validate(raw)
    except pydantic.ValidationError as error:
        findings += faults_of(name, error)
    good = {key: value for key, value in cast("Table", raw).items() if _alone(kind, key, value)}
    return kind.model_validate(good)


def _alone(kind: type[pydantic.BaseModel], key: str, value: Any) -> bool:
    try:
        kind.model_validate({key: value})
    except pydantic.ValidationError:
        return False
    return True


def _parts(
    group: str, table: Mapping[str, Any], findings: list[Finding]
) -> dict[str, PartSettings]:
    """The parts of `[channels.*]`, `[models.*]` or `[tools.*]` whose frame is sound."""
    found: dict[str, PartSettings] = {}
    raw = table.get(group, {})
    if not isinstance(raw, dict):
        cure = f"write [{group}.NAME] for each of them"
        findings.append(fault_in(group, f"{group!r} must hold sections", cure))
        return found
    for name, part in cast("Table", raw).items():
        section = f"{group}.{name}"
        if not isinstance(part, dict) or not _NAME.fullmatch(name) or name == "local":
            cure = f"write [{group}.NAME], the name of letters, digits, '.', '_' or '-'"
            findings.append(fault_in(section, f"[{section}] is no usable section", cure))
            continue
        if (kept := _part(group, section, name, cast("Table", part), findings)) is not None:
            found[name] = kept
    return found


def _part(
    group: str, section: str, name: str, part: Table, findings: list[Finding]
) -> PartSettings | None:
    frame_type = _FRAMES[group]
    framed = {"use": name, **part} if group == "tools" else part
    try:
        frame = frame_type.model_validate(framed)
    except pydantic.ValidationError as error:
        findings += faults_of(section, error)
        return None
    if not frame.enabled:
        return None
    rest = {key: value for key, value in part.items() if key not in frame_type.model_fields}
    rule = frame.rule() if isinstance(frame, ChannelFrame) else Access()
    return PartSettings(use=frame.use, table=rest, access=rule)
