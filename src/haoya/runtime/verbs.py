# SPDX-License-Identifier: AGPL-3.0-or-later
"""What an owner can ask of the running house: one verb each, JSON in and out.

The terminal calls them over the local socket, the panel over HTTP; see docs/reference/verbs.md.
"""

import asyncio
import os
import secrets
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

import haoya
from haoya.core.errors import ConfigError, HaoyaError, Unready
from haoya.core.event import Asked, Received
from haoya.core.message import text_of
from haoya.policy.principal import Principal
from haoya.runtime import granting, modelbench, runs
from haoya.runtime.devices_verbs import DeviceVerbs
from haoya.runtime.doctor import examine, part_finding
from haoya.runtime.gateway import Gateway
from haoya.runtime.house import DOOR, House
from haoya.runtime.peers_verbs import PeerVerbs
from haoya.runtime.runs import Row
from haoya.runtime.security import security_findings
from haoya.runtime.sharing import queue_row
from haoya.runtime.unmasking import story

LINK_SECONDS = 600.0
"""How long a one-time link to the panel is good for."""

BY = f"{DOOR}:owner"


class Verbs:
    """The verbs of one house. `call` is what the owner's door is lent."""

    def __init__(self, house: House, stop: Callable[[], None]) -> None:
        self.house = house
        self.stop = stop
        self.verbs: dict[str, Callable[[Mapping[str, Any]], Awaitable[Any]]] = {
            "status": self.status,
            "doctor": self.doctor,
            "pair_list": self.pair_list,
            "pair_approve": self.pair_approve,
            "pair_remove": self.pair_remove,
            "asks": self.asks,
            "decide": self.decide,
            "grants_list": self.grants_list,
            "grants_revoke": self.grants_revoke,
            "channels_list": self.channels_list,
            "channels_test": self.channels_test,
            "queue": self.queue,
            "peers_list": self.peers_list,
            "peers_invite": self.peers_invite,
            "peers_remove": self.peers_remove,
            "devices_list": self.devices_list,
            "devices_add": self.devices_add,
            "devices_remove": self.devices_remove,
            "models_bench": self.models_bench,
            "runs_list": self.runs_list,
            "runs_show": self.runs_show,
            "why": self.why,
            "replay": self.replay,
            "reload": self.reload,
            "link": self.link,
            "stop": self.stop_house,
        }

    async def call(self, verb: str, arguments: Mapping[str, Any]) -> Any:
        """Do one; ConfigError for a verb or argument there is none of."""
        if verb not in self.verbs:
            raise ConfigError(
                f"there is no verb {verb!r}; there are: {', '.join(sorted(self.verbs))}",
                cure="update haoya, or correct the name",
            )
        try:
            return await self.verbs[verb](arguments)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ConfigError(
                f"{verb}: the arguments do not fit: {type(error).__name__} {error}",
                cure="see docs/reference/verbs.md",
            ) from error

    def gateway(self) -> Gateway:
        """The gateway; Unready while the journal is shut."""
        if self.house.gateway is None:
            raise Unready(f"the journal is shut: {self.house.trouble()}")
        return self.house.gateway

    async def status(self, _: Mapping[str, Any]) -> Row:
        """How everything is."""
        house, board = self.house, self.house.board
        trouble = house.trouble()
        gateway = house.gateway
        figures = gateway.journal.figures() if gateway else None
        channels = [await self._channel(name) for name in self._channels()]
        models = [self._model(name) for name in house.settings.models]
        parked = [row for row in [*channels, *models] if row["state"] != "open"]
        errors = [f for f in board.all_findings() if f.severity == "error"]
        return {
            "version": haoya.__version__,
            "pid": os.getpid(),
            "home": str(house.home.folder),
            "ready": house.ready.is_set(),
            "uptime_seconds": round(house.clock() - house.started, 1),
            "state": "parked" if trouble else "degraded" if parked or errors else "open",
            "storage": {"state": "failing" if trouble else "open", "reason": trouble},
            "channels": channels,
            "models": models,
            "findings": [msgspec.to_builtins(finding) for finding in board.all_findings()],
            "conversations": len(await gateway.journal.conversations(limit=10_000))
            if gateway
            else 0,
            "lines": figures.lines if figures else 0,
            "owed": sum(row["owed"] for row in channels),
            "waiting": len(await gateway.journal.waiting()) if gateway else 0,
            "asks": len(gateway.questions) if gateway else 0,
            "api": {"url": house.url},
            "rss_mb": rss_mb(),
            "loop_stall_ms": round(house.watchdog.worst * 1000, 1) if house.watchdog else 0,
        }

    async def doctor(self, given: Mapping[str, Any]) -> Row:
        """Everything that is not as it should be; with `security`, what stands open."""
        house = self.house
        if given.get("security"):
            found = await asyncio.to_thread(security_findings, house.home, house.settings)
            return {"findings": [msgspec.to_builtins(finding) for finding in found]}
        findings = list(house.board.all_findings())
        for key, health in house.board.health.items():
            if health.state in ("parked", "waiting") and key not in house.board.findings:
                findings.append(part_finding(key, health.state, health.reason))
        journal = house.gateway.journal if house.gateway else None
        findings += await examine(house.home, journal)
        return {"findings": [msgspec.to_builtins(finding) for finding in findings]}

    async def pair_list(self, _: Mapping[str, Any]) -> Row:
        """Who may speak and who waits."""
        return people_row(self.gateway(), self.house.clock())

    async def pair_approve(self, given: Mapping[str, Any]) -> Row:
        """Let the holder of a code in."""
        code, role = str(given["code"]), str(given.get("role", "member"))
        if role not in ("owner", "member"):
            raise ConfigError(f"there is no role {role!r}", cure="use member or owner")
        holder = await self.gateway().approve(code, role, BY)
        if holder is None:
            raise ConfigError(
                f"nobody holds the code {code!r} (any more)", cure="see `haoya pair list`"
            )
        return {"person": holder.key, "name": holder.name, "role": role}

    async def pair_remove(self, given: Mapping[str, Any]) -> Row:
        """Send a person away."""
        person = Principal.parse(str(given["person"])).key
        if not await self.gateway().unpair(person, BY):
            raise ConfigError(f"{person} is not paired", cure="see `haoya pair list`")
        return {"person": person}

    async def asks(self, _: Mapping[str, Any]) -> list[Row]:
        """Open questions to the owner."""
        return [
            {
                "number": entry.number,
                "conversation": entry.conversation,
                "tool": entry.event.tool,
                "question": entry.event.question,
                "expires": entry.event.expires,
            }
            for entry in self.gateway().questions.values()
            if isinstance(entry.event, Asked)
        ]

    async def decide(self, given: Mapping[str, Any]) -> Row:
        """Answer one."""
        number, yes = int(given["number"]), given["yes"]
        always = given.get("always", False)
        # "no" is no empty string, and must not pass for a yes
        if not isinstance(yes, bool) or not isinstance(always, bool):
            raise TypeError(f"yes and always must be true or false, not {yes!r}, {always!r}")
        if not await self.gateway().settle(number, yes, BY, always=always):
            raise ConfigError(f"question {number} is not open", cure="see `haoya asks`")
        return {"number": number, "yes": yes, "always": yes and always}

    async def grants_list(self, _: Mapping[str, Any]) -> list[Row]:
        """The standing leaves that count now."""
        return granting.grants_list(self.gateway().rulings.grants, self.house.clock())

    async def grants_revoke(self, given: Mapping[str, Any]) -> Row:
        """Take a standing leave back."""
        return await granting.grants_revoke(self.gateway().rulings, given, BY)

    async def channels_list(self, _: Mapping[str, Any]) -> list[Row]:
        """The channels with what they can do."""
        rows: list[Row] = []
        for name in self._channels():
            connection = self.house.connections.get(name)
            can: Row = msgspec.to_builtins(connection.capabilities) if connection else {}
            rows.append({**await self._channel(name), "capabilities": can})
        return rows

    async def channels_test(self, given: Mapping[str, Any]) -> Row:
        """Whether a channel works, step by step."""
        name = str(given["name"])
        if name not in self._channels():
            known = ", ".join(self._channels())
            raise ConfigError(
                f"no channel is named {name!r}; there are: {known}", cure="correct the name"
            )
        health = self.house.board.part(f"channels.{name}")
        ago = self.house.clock() - health.last_heard
        heard = f"last sign of life {ago:.0f} s ago" if health.last_heard else "nothing heard yet"
        owed = len(await self.gateway().journal.owed(name))
        steps: list[Row] = [
            {"step": "settings", "ok": f"channels.{name}" not in self.house.board.findings},
            {"step": "open", "ok": health.state == "open", "detail": health.reason},
            {"step": "alive", "ok": bool(health.last_heard), "detail": heard},
            {"step": "outbox", "ok": owed == 0, "detail": f"{owed} messages wait"},
        ]
        shown = [{"detail": "", **step} for step in steps]
        return {"name": name, "ok": all(step["ok"] for step in shown), "steps": shown}

    async def queue(self, _: Mapping[str, Any]) -> Row:
        """Who uses this machine's models and waits for them, and what was used today."""
        house = self.house

        def role_of(person: str) -> str:
            gateway = house.gateway
            if gateway is None or not all(person.partition(":")):
                return ""
            return house.gate().role_of(Principal.parse(person), gateway.roster) or ""

        return await queue_row(house.queue, house.budgets, role_of)

    async def peers_list(self, _: Mapping[str, Any]) -> Row:
        """The other nodes that may ask our models."""
        return self._peers().list()

    async def peers_invite(self, given: Mapping[str, Any]) -> Row:
        """Let another node ask some of our models."""
        return self._peers().invite(given, self.house.clock())

    async def peers_remove(self, given: Mapping[str, Any]) -> Row:
        """Let a node ask no more."""
        return self._peers().remove(given)

    async def devices_list(self, _: Mapping[str, Any]) -> Row:
        """The devices that may use the API."""
        return DeviceVerbs(self.house.devices, self.house.url).list()

    async def devices_add(self, given: Mapping[str, Any]) -> Row:
        """Let a device use some of the API."""
        return DeviceVerbs(self.house.devices, self.house.url).add(given, self.house.clock())

    async def devices_remove(self, given: Mapping[str, Any]) -> Row:
        """Let a device in no more."""
        return DeviceVerbs(self.house.devices, self.house.url).remove(given)

    async def models_bench(self, given: Mapping[str, Any]) -> Row:
        """One measurement of one model."""
        return await modelbench.bench(
            self.house.models,
            name=str(given["name"]),
            test=str(given["test"]),
            sessions=int(given.get("sessions", 1)),
            requests=int(given.get("requests", 100)),
        )

    async def runs_list(self, given: Mapping[str, Any]) -> list[Row]:
        """The latest runs."""
        return await runs.runs_list(self.gateway().journal, int(given.get("limit", 20)))

    async def runs_show(self, given: Mapping[str, Any]) -> Row:
        """One run, line by line."""
        return await runs.runs_show(self.gateway().journal, int(given["turn"]))

    async def why(self, given: Mapping[str, Any]) -> Row:
        """What became of a message."""
        house, journal = self.house, self.gateway().journal
        return await story(journal, house.masking, house.settings.agent, given)

    async def replay(self, given: Mapping[str, Any]) -> Row:
        """Take a message up again as if it had just come."""
        gateway = self.gateway()
        entry = await runs.find_message(gateway.journal, str(given["message"]))
        assert isinstance(entry.event, Received)
        again = msgspec.structs.replace(
            entry.event.inbound, id=f"{entry.event.inbound.id}+{uuid.uuid4().hex[:8]}", cursor=""
        )
        if not text_of(again.parts).strip():
            raise ConfigError("that message has no words to answer", cure="choose another one")
        await gateway.take([again])
        number = await gateway.journal.find(again.address.channel, again.id)
        return {"number": number}

    async def reload(self, _: Mapping[str, Any]) -> Row:
        """Read the settings anew."""
        await self.house.reload()
        findings = self.house.board.all_findings()
        return {"findings": [msgspec.to_builtins(finding) for finding in findings]}

    async def link(self, _: Mapping[str, Any]) -> Row:
        """A fresh one-time link to the panel."""
        if not self.house.url:
            reason = self.house.board.part("api").reason
            raise Unready(f"the panel is not open: {reason or 'it is starting'}")
        return {"url": new_link(self.house)}

    async def stop_house(self, _: Mapping[str, Any]) -> Row:
        """Stop the daemon once this answer is out."""
        asyncio.get_running_loop().call_later(0.05, self.stop)
        return {}

    def _peers(self) -> PeerVerbs:
        house = self.house
        address = house.listener.address if house.listener else ""
        reason = house.board.part("peers").reason if house.settings.peers.listen else ""
        return PeerVerbs(house.peers, house.settings, house.home, address=address, reason=reason)

    def _channels(self) -> list[str]:
        return [DOOR, *self.house.settings.channels]

    async def _channel(self, name: str) -> Row:
        health = self.house.board.part(f"channels.{name}")
        part = self.house.settings.channels.get(name)
        gateway = self.house.gateway
        try:
            owed = len(await gateway.journal.owed(name)) if gateway else 0
        except HaoyaError:
            owed = 0
        return {
            "name": name,
            "use": part.use if part else name,
            "state": health.state,
            "reason": health.reason if health.state != "open" else "",
            "since": health.since,
            "last_heard": health.last_heard,
            "owed": owed,
        }

    def _model(self, name: str) -> Row:
        health = self.house.board.part(f"models.{name}")
        part = self.house.settings.models[name]
        opened = self.house.models.get(name)
        return {
            "name": name,
            "use": part.use,
            "model": opened.name if opened else str(part.table.get("model", "")),
            "state": health.state,
            "reason": health.reason if health.state != "open" else "",
            **msgspec.to_builtins(self.house.routing.condition(name)),
        }


def new_link(house: House) -> str:
    """A link with a code that opens the panel once within `LINK_SECONDS`."""
    now = house.clock()
    for code in [code for code, expires in house.codes.items() if expires <= now]:
        del house.codes[code]
    code = secrets.token_urlsafe(16)
    house.codes[code] = now + LINK_SECONDS
    return f"{house.url}/#k={code}"


def people_row(gateway: Gateway, now: float) -> Row:
    """The answer to `pair_list`."""
    roster = gateway.roster
    return {
        "waiting": [
            {
                "code": waiting.code,
                "person": waiting.key,
                "name": waiting.name,
                "channel": waiting.key.partition(":")[0],
                "expires": waiting.expires,
            }
            for waiting in roster.waiting.values()
            if waiting.expires > now
        ],
        "people": [
            {"person": p.key, "name": p.name, "role": p.role, "by": p.by, "at": p.at}
            for p in roster.people.values()
        ],
    }


def rss_mb() -> float:
    """Resident memory of this process in MB (10⁶ bytes); 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
            pages = int(file.read().split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)
