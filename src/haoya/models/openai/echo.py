# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a Chat Completions server wants back with its own line, in the words it sent it.

`details` is OpenRouter's `reasoning_details`, `extra` the `extra_content` of each call (Gemini's
thought signatures), `thoughts` plain reasoning where the provider asks for it again.
"""

import msgspec


class Echo(msgspec.Struct, frozen=True, omit_defaults=True):
    """The content of `Finish.echo` and `Line.echo` on this wire."""

    thoughts: str = ""
    details: list[msgspec.Raw] = []
    extra: list[msgspec.Raw] = []

    def extra_of(self, index: int) -> msgspec.Raw | None:
        """The extra content of one call, if it had any."""
        if index >= len(self.extra) or bytes(self.extra[index]) == b"null":
            return None
        return self.extra[index]


_DECODER = msgspec.json.Decoder(Echo)


def echo_of(text: str) -> Echo:
    """An echo from its text; an empty one where it is of another wire's."""
    try:
        return _DECODER.decode(text)
    except msgspec.DecodeError:
        return Echo()


def text_of_echo(echo: Echo) -> str:
    """The text to keep; empty where there is nothing to give back."""
    return "" if echo == Echo() else msgspec.json.encode(echo).decode()
