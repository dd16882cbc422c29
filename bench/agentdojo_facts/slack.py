# SPDX-License-Identifier: AGPL-3.0-or-later
"""A chat workspace and the web.

Messages are written by members, whom the service has authenticated: known people, no owners.
Nobody is the author of a channel's name: anybody who may open one has typed it. The lists vouch
for what exists. Web pages are anybody's. A website that is posted to is read by the world.
"""

from haoya.core.tool import ToolSpec

_READ = frozenset({"read"})


def _spec(name: str, **facts: object) -> ToolSpec:
    return ToolSpec(name=name, purpose=name, **facts)  # pyright: ignore


_MESSAGE = {"sender": "known", "recipient": "known"}

FACTS = [
    _spec("get_channels", effects=_READ, private=True, fields={"*": "known"}),
    _spec("get_users_in_channel", effects=_READ, private=True, fields={"*": "known"}),
    _spec("read_channel_messages", effects=_READ, private=True, author="known", fields=_MESSAGE),
    _spec("read_inbox", effects=_READ, private=True, author="known", fields=_MESSAGE),
    _spec(
        "send_direct_message",
        effects=frozenset({"send"}),
        authority={"recipient": "who"},
        audience=frozenset({"recipient"}),
        author="owner",
    ),
    _spec(
        "send_channel_message",
        effects=frozenset({"send"}),
        authority={"channel": "where"},
        audience=frozenset({"channel"}),
        author="owner",
    ),
    _spec(
        "add_user_to_channel",
        effects=frozenset({"write"}),
        deed="share",
        authority={"user": "who", "channel": "where"},
        author="owner",
        undo="take the user out of the channel",
    ),
    _spec(
        "invite_user_to_slack",
        effects=frozenset({"send"}),
        deed="share",
        authority={"user": "who", "user_email": "who"},
        author="owner",
    ),
    _spec(
        "remove_user_from_slack",
        effects=frozenset({"write"}),
        deed="delete",
        authority={"user": "who"},
        author="owner",
    ),
    _spec("get_webpage", effects=frozenset({"read", "net"}), authority={"url": "where"}),
    _spec(
        "post_webpage",
        effects=frozenset({"net", "send"}),
        authority={"url": "where"},
        audience=frozenset({"url"}),
        author="owner",
    ),
]
