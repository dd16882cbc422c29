# SPDX-License-Identifier: AGPL-3.0-or-later
"""From an open socket to a registered client: lines in, lines out, no I/O.

RFC 2812 3.1, IRCv3 capability negotiation 302, SASL 3.1.
"""

import re

from haoya.channels.irc.settings import IrcSettings
from haoya.channels.irc.wire import Message, features, sasl_plain
from haoya.core.errors import ConfigError, HaoyaError, Rejected, Unready

WANTED = frozenset({"message-tags", "server-time", "account-tag", "echo-message"})
_REFUSAL = re.compile(
    r"password|access denied|banned|not authori[sz]ed|not welcome|\b[dgkz][:-]?lined?\b", re.I
)
_END = Message(command="CAP", params=("END",))


def refusal(host: str, message: Message) -> HaoyaError:
    """What a server's last words mean: a closed door (`Rejected`) or bad weather (`Unready`)."""
    said = f"{host} said: {message.words}"
    if message.command in ("463", "464", "465") or _REFUSAL.search(message.words):
        return Rejected(f"{said}; check the password, and whether we are banned there")
    return Unready(said)


class Registration:
    """Send the lines of `start`, then of `hear` for each line that comes, until `done`.

    Afterwards `nick` is what the server calls us, `caps` what it agreed to and `features` what
    it told about itself (ISUPPORT).
    """

    def __init__(
        self, settings: IrcSettings, *, password: str = "", sasl_password: str = ""
    ) -> None:
        self.nick = settings.nick
        self.caps: set[str] = set()
        self.features: dict[str, str] = {}
        self.done = False
        self._settings = settings
        self._password = password
        self._sasl_password = sasl_password
        self._offered: dict[str, str] = {}
        self._spares = _spares(settings.nick)
        self._proven = not settings.sasl_user

    def start(self) -> list[Message]:
        """What to say first."""
        settings = self._settings
        user = (settings.user, "0", "*", settings.realname or settings.nick)
        lines = [Message(command="CAP", params=("LS", "302"))]
        if self._password:
            lines.append(Message(command="PASS", params=(self._password,)))
        return [*lines, self._call(self.nick), Message(command="USER", params=user)]

    def hear(self, message: Message) -> list[Message]:
        """What to answer to one line.

        Raises `Rejected` (password, ban), `ConfigError` (no nick for this server) or `Unready`,
        with the server's own words.
        """
        settings = self._settings
        match message.command:
            case "PING":
                return [Message(command="PONG", params=message.params[-1:])]
            case "CAP":
                return self._negotiate(message)
            case "AUTHENTICATE":
                pieces = sasl_plain(settings.sasl_user, self._sasl_password)
                return [Message(command="AUTHENTICATE", params=(piece,)) for piece in pieces]
            case "903" | "907":
                self._proven = True
                return [_END]
            case "902" | "904" | "905":
                raise Rejected(
                    f"{settings.host} said: {message.words}; check sasl_user and sasl_password"
                )
            case "432" | "433" | "436" | "437":
                return [self._another_nick(message)]
            case "001":
                self._require_proof()
                self.nick = message.params[0] if message.params else self.nick
            case "005":
                self.features |= features(message.params)
            case "376" | "422":
                self.done = True
            case "463" | "464" | "465" | "906" | "ERROR":
                raise refusal(settings.host, message)
            case _:
                pass
        return []

    def _negotiate(self, message: Message) -> list[Message]:
        _, verb, *middle = [*message.params[:-1], "", ""]
        verb, names = verb.upper(), "".join(message.params[-1:]).split()
        if verb == "LS":
            self._offered |= {name: value for name, _, value in (n.partition("=") for n in names)}
            return [] if "*" in middle else [self._request()]
        if verb == "ACK":
            self.caps |= set(names)
            if "sasl" in names:
                return [Message(command="AUTHENTICATE", params=("PLAIN",))]
        return [_END] if verb in ("ACK", "NAK") else []

    def _request(self) -> Message:
        wanted = WANTED & self._offered.keys()
        if self._settings.sasl_user:
            mechanisms = self._offered.get("sasl", "NONE").upper().split(",")
            self._proven = "PLAIN" in mechanisms or mechanisms == [""]
            self._require_proof()
            self._proven = False
            wanted |= {"sasl"}
        return Message(command="CAP", params=("REQ", " ".join(sorted(wanted)))) if wanted else _END

    def _require_proof(self) -> None:
        if not self._proven:
            raise Unready(
                f"{self._settings.host} offers no SASL PLAIN at present; wait for its services, "
                "or take sasl_user and sasl_password out of the settings"
            )

    def _another_nick(self, message: Message) -> Message:
        """The next nick like ours; a spare one may be too long for this server (432)."""
        if message.command == "432" and self.nick == self._settings.nick:
            raise ConfigError(
                f"{self._settings.host} takes no nick {self.nick!r}: {message.words}",
                cure="write another nick",
            )
        if not self._spares:
            raise Unready(f"{self._settings.host} has all nicks like {self._settings.nick!r} taken")
        self.nick = self._spares.pop(0)
        return self._call(self.nick)

    def _call(self, nick: str) -> Message:
        return Message(command="NICK", params=(nick,))


def _spares(nick: str) -> list[str]:
    """Nicks to take where `nick` is taken; the later ones are no longer than it.

    >>> _spares("haoya")[:4]
    ['haoya_', 'haoya__', 'haoy2', 'haoy3']
    """
    shorter = [f"{nick[:-1] or nick}{digit}" for digit in range(2, 10)]
    return [f"{nick}_", f"{nick}__", *(spare for spare in shorter if spare != nick)]
