# SPDX-License-Identifier: AGPL-3.0-or-later
"""One daemon and one model server for all tests that leave them as they were."""

from collections.abc import Iterator

import pytest

from tests.api.daemon import MODEL, Daemon, ModelServer


@pytest.fixture(scope="session")
def model_server() -> Iterator[ModelServer]:
    server = ModelServer()
    yield server
    server.close()


@pytest.fixture
def model(model_server: ModelServer) -> ModelServer:
    model_server.control(reset=True)
    return model_server


@pytest.fixture(scope="session")
def daemon(model_server: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    settings = '[agent]\ntools = ["clock", "memory", "message"]\n'
    settings += '[policy]\nverdicts = { "owner.send" = "ask" }\n'
    settings += MODEL.format(port=model_server.port)
    daemon = Daemon(tmp_path_factory.mktemp("home"), settings)
    yield daemon.ready()
    daemon.stop()
