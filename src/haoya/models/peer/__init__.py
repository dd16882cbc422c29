# SPDX-License-Identifier: AGPL-3.0-or-later
"""A stronger machine of the owner's as a model: another haoya thinks, this one speaks and acts."""

from haoya.core.plugin import Plugin
from haoya.models.peer.client import connect
from haoya.models.peer.settings import PeerSettings

plugin = Plugin(
    kind="model",
    name="peer",
    settings=PeerSettings,
    open=connect,
    summary="A model of another haoya node of yours, over one HTTP/2 connection",
    summary_zh="你另一台机器上的好呀所用的模型，经一条 HTTP/2 连接",
)
