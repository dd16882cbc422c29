# SPDX-License-Identifier: AGPL-3.0-or-later
"""A small IRCv3 stand-in: SASL PLAIN and account tags, which the real servers here lack without
services behind them. It speaks CAP 302, AUTHENTICATE, tags, JOIN, PRIVMSG and PING, no more."""

import asyncio
import base64
from dataclasses import dataclass, field

CAPS = "account-tag echo-message message-tags server-time"
TIME = "2026-11-20T12:00:00.500Z"


@dataclass
class _Client:
    writer: asyncio.StreamWriter
    nick: str = ""
    account: str = ""
    caps: set[str] = field(default_factory=set[str])
    negotiating: bool = False
    named: bool = False
    proof: str = ""

    def write(self, line: str) -> None:
        self.writer.write(f"{line}\r\n".encode())


@dataclass
class Ircv3:
    """`accounts` maps users to passwords; a client logs in by SASL alone.

    `echoing` false leaves the echo capability out. `sasl` is what the capability says.
    """

    accounts: dict[str, str]
    echoing: bool = True
    sasl: str = "=PLAIN,EXTERNAL"
    port: int = 0
    _clients: list[_Client] = field(default_factory=list[_Client])
    _messages: int = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for client in self._clients:
            client.writer.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _Client(writer)
        self._clients.append(client)
        while raw := await reader.readline():
            assert len(raw) <= 512
            head, _, last = raw.decode().rstrip("\r\n").partition(" :")
            command, *params = [*head.split(), last] if last else head.split()
            self._obey(client, command, params)
        self._clients.remove(client)
        writer.close()

    def _obey(self, client: _Client, command: str, params: list[str]) -> None:
        match command, params:
            case "CAP", ["LS", *_]:
                client.negotiating = True
                first, second = CAPS.split(" ", 1)
                second = second if self.echoing else second.replace("echo-message ", "")
                client.write(f"CAP * LS * :{first}")
                client.write(f"CAP * LS :{second} sasl{self.sasl}")
            case "CAP", ["REQ", caps]:
                client.caps |= set(caps.split())
                client.write(f"CAP * ACK :{caps}")
            case "CAP", ["END"]:
                client.negotiating = False
                self._welcome(client)
            case "AUTHENTICATE", ["PLAIN"]:
                client.write("AUTHENTICATE +")
            case "AUTHENTICATE", [piece]:
                self._authenticate(client, piece)
            case "NICK", [nick]:
                client.nick = nick
            case "USER", _:
                client.named = True
                self._welcome(client)
            case "PING", [token]:
                client.write(f":stand.in PONG stand.in :{token}")
            case "JOIN", [room]:
                self._all(f":{client.nick}!u@h JOIN {room}")
            case "PRIVMSG", [target, text]:
                self._say(client, target, text)
            case "QUIT", _:
                client.writer.close()
            case _:
                pass

    def _authenticate(self, client: _Client, piece: str) -> None:
        assert len(piece) <= 400
        client.proof += "" if piece == "+" else piece
        if len(piece) == 400:
            return
        _, user, password = base64.b64decode(client.proof).decode().split("\0")
        client.proof = ""
        if self.accounts.get(user) == password:
            client.account = user
            client.write(f":stand.in 900 {client.nick} x!u@h {user} :You are now {user}")
            client.write(f":stand.in 903 {client.nick} :SASL authentication successful")
        else:
            client.write(f":stand.in 904 {client.nick} :SASL authentication failed")

    def _welcome(self, client: _Client) -> None:
        if client.named and not client.negotiating:
            client.write(f":stand.in 001 {client.nick} :Welcome {client.nick}!u@h")
            client.write(f":stand.in 005 {client.nick} CASEMAPPING=rfc1459 NICKLEN=30 :are here")
            client.write(f":stand.in 422 {client.nick} :no message of the day")

    def _say(self, client: _Client, target: str, text: str) -> None:
        self._messages += 1
        line = f":{client.nick}!u@h PRIVMSG {target} :{text}"
        tags = {"time": TIME, "msgid": f"id-{self._messages}"}
        tags |= {"account": client.account} if client.account else {}
        for one in self._clients:
            meant = one.nick == target or target.startswith("#")
            if (one is client and "echo-message" in one.caps) or (one is not client and meant):
                self._tell(one, tags, line)

    def _tell(self, client: _Client, tags: dict[str, str], line: str) -> None:
        caps = {"time": "server-time", "msgid": "message-tags", "account": "account-tag"}
        agreed = {key: value for key, value in tags.items() if caps[key] in client.caps}
        packed = ";".join(f"{key}={value}" for key, value in agreed.items())
        client.write(f"@{packed} {line}" if packed else line)

    def _all(self, line: str) -> None:
        for one in self._clients:
            one.write(line)
