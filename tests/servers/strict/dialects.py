# SPDX-License-Identifier: AGPL-3.0-or-later
"""The wires a strict stand-in speaks."""

from collections.abc import Callable

from tests.servers.strict.chat import Chat
from tests.servers.strict.life import Dialect
from tests.servers.strict.messages import Messages
from tests.servers.strict.ollama import Ollama
from tests.servers.strict.responses import Responses

DIALECTS: dict[str, Callable[[], Dialect]] = {
    "chat": Chat,
    "responses": Responses,
    "messages": Messages,
    "ollama": Ollama,
}
