# SPDX-License-Identifier: AGPL-3.0-or-later
"""A source package in the form of llama-cpp-python's, built in a second, and an index for it.

Its `llama-server` is a small C program that listens on a Unix socket, tells how fast it is, and
says after a prompt of n tokens the token (7 n + SHIFT) mod 50.
"""

import hashlib
import http.server
import io
import tarfile
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

VERSION = "9.9"
STEM = f"llama_cpp_python-{VERSION}"

SERVER = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char in[1 << 20], out[1 << 20];

static int count(const char *from, const char *to, char wanted) {
    int found = 0;
    for (; from && from < to; from++) found += *from == wanted;
    return found;
}

static void answer(void) {
    char *body = strstr(in, "\r\n\r\n") + 4, *at = out;
    if (!strncmp(in, "POST /tokenize", 14)) {
        int tokens = strlen(body) > 300 ? 300 : (int)strlen(body);
        at += sprintf(at, "{\"tokens\": [0");
        for (int i = 1; i < tokens; i++) at += sprintf(at, ", %d", i % 50);
        sprintf(at, "]}");
    } else if (!strncmp(in, "POST /completion", 16)) {
        char *open = strchr(body, '['), *close = strchr(body, ']');
        int read = count(open, close, ',') + 1;
        int wanted = atoi(strstr(body, "\"n_predict\":") + 12);
        at += sprintf(at, "{\"completion_probabilities\": [");
        for (int i = 0; i < wanted; i++) {
            int id = (7 * (read + i) + SHIFT * ((read + i) % 5 == 0)) % 50;
            at += sprintf(at, "%s{\"id\": %d, \"logprob\": -0.5, \"top_logprobs\": []}",
                          i ? ", " : "", id);
        }
        sprintf(at, "], \"timings\": {\"prompt_per_second\": %d, \"predicted_per_second\": %d}}",
                10 * SPEED, SPEED);
    } else {
        strcpy(out, "{}");
    }
}

int main(int argc, char **argv) {
    struct sockaddr_un place = {.sun_family = AF_UNIX};
    for (int i = 1; i + 1 < argc; i++)
        if (!strcmp(argv[i], "--host")) strcpy(place.sun_path, argv[i + 1]);
    int door = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(door, (struct sockaddr *)&place, sizeof place) || listen(door, 8)) return 1;
    for (;;) {
        int line = accept(door, NULL, NULL);
        size_t have = 0;
        char *end = NULL;
        long size = 0;
        for (;;) {
            ssize_t got = read(line, in + have, sizeof in - have - 1);
            if (got <= 0) break;
            in[have += (size_t)got] = 0;
            if (!end && (end = strstr(in, "\r\n\r\n")))
                size = atol(strstr(in, "Content-Length:") + 15);
            if (end && (long)(in + have - (end + 4)) >= size) break;
        }
        if (end) {
            answer();
            dprintf(line, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(out), out);
        }
        close(line);
    }
}
"""

CMAKE = """
cmake_minimum_required(VERSION 3.10)
project(fake C)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
add_executable(llama-server server.c)
target_compile_definitions(llama-server PRIVATE SPEED=%(speed)d SHIFT=%(shift)d)
add_executable(llama-quantize quantize.c)
add_custom_command(TARGET llama-quantize PRE_LINK COMMAND sh ${CMAKE_SOURCE_DIR}/wait.sh)
"""

BACKEND = f"""
import pathlib
def get_requires_for_build_wheel(config_settings=None):
    return []
def prepare_metadata_for_build_wheel(folder, config_settings=None):
    place = pathlib.Path(folder, "{STEM}.dist-info")
    place.mkdir()
    text = "Metadata-Version: 2.1\\nName: llama-cpp-python\\nVersion: {VERSION}\\n"
    (place / "METADATA").write_text(text)
    return place.name
"""

PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""


def archive(speed: int, shift: int = 0, gate: str = "/") -> bytes:
    """The package; its build goes on only where the file `gate` is."""
    llama = f"{STEM}/vendor/llama.cpp"
    files = {
        f"{STEM}/PKG-INFO": f"Metadata-Version: 2.1\nName: llama-cpp-python\nVersion: {VERSION}\n",
        f"{STEM}/pyproject.toml": PROJECT,
        f"{STEM}/backend.py": BACKEND,
        f"{llama}/CMakeLists.txt": CMAKE % {"speed": speed, "shift": shift},
        f"{llama}/wait.sh": f"test -e '{gate}' || sleep 600\n",
        f"{llama}/server.c": SERVER,
        f"{llama}/quantize.c": "int main(void) { return 0; }\n",
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as file:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            file.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()


@contextmanager
def index(package: bytes) -> Generator[str]:
    """A package index that has nothing but this package; its address."""
    name = f"{STEM}.tar.gz"
    digest = hashlib.sha256(package).hexdigest()
    page = f'<!DOCTYPE html><a href="/files/{name}#sha256={digest}">{name}</a>'.encode()

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = {f"/files/{name}": package, "/simple/llama-cpp-python/": page}
            body = known.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/simple"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def write_server(folder: Path) -> Path:
    """The server's source in a folder, to be compiled as the engine to compare with."""
    source = folder / "reference.c"
    source.write_text(SERVER)
    return source
