# SPDX-License-Identifier: AGPL-3.0-or-later
"""Registries of models: Hugging Face, ModelScope and Ollama in one, with their faults.

    python -m tests.servers.hub --port 0 --folder F

serves `F/OWNER/REPO/FILE` in the three forms and prints `{"port": N, "cdn": M}`; the bytes of
files come from the second port, as from a delivery network, after a redirect. Ollama knows a
repository as `OWNER/REPO:TAG`, where the tag is the beginning of a file's name.

`POST /control` changes the behaviour (fields of `Control`), `GET /control` tells what was asked:
`{"requests": [{"port", "path", "range", "token"}], "cdn": M}`.
"""

import argparse
import asyncio
import hashlib
import json
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote

import msgspec

PAGE = 2
"""Files on one page of a listing."""


class Control(msgspec.Struct):
    """How to misbehave; what happens to files happens `times` times."""

    token: str = ""
    """With one, everything is for its bearer alone: 401 without, 403 with another."""
    status: int = 0
    cut_after: int = -1
    """Hang up after so many bytes of a file."""
    flip: int = -1
    """The byte at this place is another one."""
    times: int = 1_000_000
    ranges: bool = True
    rate: int = 0
    """Bytes a second of a file, 0 for all at once."""
    redirect: str = ""
    """Where files are sent for; `{cdn}` is our own second port."""


class Hub:
    """The registries over one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.control = Control()
        self.asked: list[dict[str, object]] = []
        self.ports: list[int] = []

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self.request(reader, writer):
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, _, rest = head.partition("\r\n")
        _, target, _ = line.split(" ", 2)
        headers = {
            name.lower(): value.strip()
            for name, _, value in (field.partition(":") for field in rest.splitlines() if field)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        path, _, query = target.partition("?")
        path = unquote(path)
        if path == "/control":
            if body:
                self.control = msgspec.json.decode(body, type=Control)
                self.asked.clear()
            told = {"requests": self.asked, "cdn": self.ports[1]}
            reply(writer, 200, json.dumps(told).encode())
            return True
        port = writer.get_extra_info("sockname")[1]
        token = headers.get("authorization") or headers.get("cookie") or ""
        self.asked.append(
            {"port": port, "path": path, "range": headers.get("range", ""), "token": token}
        )
        if port == self.ports[1]:
            data = (self.folder / path.lstrip("/")).read_bytes()
            return await self.file(bytearray(data), headers, writer)
        if self.control.token and self.control.token not in token:
            reply(writer, 403 if token else 401, b'{"error":"no"}')
            return True
        self.answer(path, {key: one[0] for key, one in parse_qs(query).items()}, writer)
        return True

    def answer(self, path: str, query: dict[str, str], writer: asyncio.StreamWriter) -> None:
        steps = path.strip("/").split("/")
        match steps:
            case ["api", "models", owner, repo, "tree", _]:
                self.tree(owner, repo, int(query.get("cursor", "0")), writer)
            case [owner, repo, "resolve", _, *name]:
                self.redirect("/".join([owner, repo, *name]), writer)
            case ["api", "v1", "models", owner, repo, "repo", "files"]:
                self.scope(owner, repo, writer)
            case ["api", "v1", "models", owner, repo, "repo"]:
                self.redirect("/".join([owner, repo, query["FilePath"]]), writer)
            case ["v2", owner, repo, "manifests", tag]:
                self.manifest(owner, repo, tag, writer)
            case ["v2", owner, repo, "blobs", digest]:
                for file in self.files(owner, repo):
                    if f"sha256:{sha256(file)}" == digest:
                        self.redirect(str(file.relative_to(self.folder)), writer)
                        return
                reply(writer, 404, b"{}")
            case _:
                reply(writer, 404, b"{}")

    def files(self, owner: str, repo: str) -> list[Path]:
        return sorted(file for file in (self.folder / owner / repo).rglob("*") if file.is_file())

    def tree(self, owner: str, repo: str, cursor: int, writer: asyncio.StreamWriter) -> None:
        files = self.files(owner, repo)
        if not files:
            reply(writer, 404, b'{"error":"Repository not found"}')
            return
        root = self.folder / owner / repo
        rows = [
            {
                "type": "file",
                "path": str(file.relative_to(root)),
                "size": file.stat().st_size,
                "oid": "0" * 40,
                "lfs": {"oid": sha256(file), "size": file.stat().st_size, "pointerSize": 130},
            }
            for file in files[cursor : cursor + PAGE]
        ]
        more = ""
        if cursor + PAGE < len(files):
            at = f"http://127.0.0.1:{self.ports[0]}/api/models/{owner}/{repo}/tree/main"
            more = f'Link: <{at}?recursive=true&cursor={cursor + PAGE}>; rel="next"\r\n'
        reply(writer, 200, json.dumps(rows).encode(), more)

    def scope(self, owner: str, repo: str, writer: asyncio.StreamWriter) -> None:
        files = self.files(owner, repo)
        root = self.folder / owner / repo
        rows = [
            {
                "Name": file.name,
                "Path": str(file.relative_to(root)),
                "Size": file.stat().st_size,
                "Sha256": sha256(file),
                "Type": "blob",
            }
            for file in files
        ]
        answer = {"Code": 200, "Data": {"Files": rows}, "Success": True}
        reply(writer, 200 if files else 404, json.dumps(answer).encode())

    def manifest(self, owner: str, repo: str, tag: str, writer: asyncio.StreamWriter) -> None:
        layers = [
            {
                "mediaType": "application/vnd.ollama.image."
                + ("projector" if "mmproj" in file.name else "model"),
                "digest": f"sha256:{sha256(file)}",
                "size": file.stat().st_size,
            }
            for file in self.files(owner, repo)
            if file.name.startswith((tag, "mmproj"))
        ]
        licence = {
            "mediaType": "application/vnd.ollama.image.license",
            "digest": f"sha256:{'0' * 64}",
            "size": 3,
        }
        body = json.dumps({"schemaVersion": 2, "layers": [*layers, licence]}).encode()
        reply(writer, 200 if layers else 404, body)

    def redirect(self, path: str, writer: asyncio.StreamWriter) -> None:
        if not (self.folder / path).is_file():
            reply(writer, 404, b"{}")
            return
        cdn = f"http://127.0.0.1:{self.ports[1]}"
        to = self.control.redirect.format(cdn=cdn) or f"{cdn}/{quote(path)}?signature=secret"
        reply(writer, 302, b"", f"Location: {to}\r\n")

    async def file(
        self, data: bytearray, headers: dict[str, str], writer: asyncio.StreamWriter
    ) -> bool:
        control = self.control
        wrong = control.times > 0
        if wrong and (control.status or control.cut_after >= 0 or control.flip >= 0):
            control.times -= 1
        if wrong and control.status:
            reply(writer, control.status, b"", "Retry-After: 0\r\n")
            return True
        if wrong and control.flip >= 0:
            data[control.flip] ^= 1
        start, end = 0, len(data)
        first = "HTTP/1.1 200 OK\r\n"
        if control.ranges and "range" in headers:
            low, _, high = headers["range"].removeprefix("bytes=").partition("-")
            start, end = int(low), min(int(high) + 1 if high else len(data), len(data))
            if start >= len(data):
                reply(writer, 416, b"", f"Content-Range: bytes */{len(data)}\r\n")
                return True
            first = "HTTP/1.1 206 Partial Content\r\n"
            first += f"Content-Range: bytes {start}-{end - 1}/{len(data)}\r\n"
        writer.write(f"{first}Content-Length: {end - start}\r\n\r\n".encode())
        sent = data[start:end]
        if wrong and control.cut_after >= 0:
            writer.write(sent[: control.cut_after])
            await writer.drain()
            return False
        step = max(1, control.rate // 20) if control.rate else len(sent)
        for at in range(0, len(sent), step):
            writer.write(sent[at : at + step])
            await writer.drain()
            if control.rate:
                await asyncio.sleep(0.05)
        return True


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def reply(writer: asyncio.StreamWriter, status: int, body: bytes, more: str = "") -> None:
    head = f"HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\n{more}"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


async def main(port: int, folder: Path) -> None:
    hub = Hub(folder)
    servers = [await asyncio.start_server(hub.connected, "127.0.0.1", one) for one in (port, 0)]
    hub.ports = [server.sockets[0].getsockname()[1] for server in servers]
    print(json.dumps({"port": hub.ports[0], "cdn": hub.ports[1]}), flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--folder", type=Path, required=True)
    given = parser.parse_args()
    asyncio.run(main(given.port, given.folder))
