# SPDX-License-Identifier: AGPL-3.0-or-later
"""The line protocol, pure: RFC 1459, RFC 2812, IRCv3 message tags, modern.ircdocs.horse."""

import base64
import re
from collections.abc import Iterable, Mapping

import msgspec

from haoya.core.capabilities import Capabilities
from haoya.core.plan import cut

MAX_BYTES = 512
"""A line with its CRLF, without tags (RFC 2812 2.3)."""

_NICK_CHARACTER = r"A-Za-z0-9_\-\[\]\\`^{}|"
_FORMATTING = re.compile(
    r"\x03(?:\d{1,2}(?:,\d{1,2})?)?|\x04(?:[0-9A-Fa-f]{6})?|[\x00-\x08\x0b-\x1f\x7f]"
)
_UNSENDABLE = re.compile(r"[\x00\x01]")
_TAG_ESCAPES = {";": r"\:", " ": r"\s", "\\": r"\\", "\r": r"\r", "\n": r"\n"}
_TAG_UNESCAPES = {":": ";", "s": " ", "\\": "\\", "r": "\r", "n": "\n"}
_ASCII = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_FOLDS = {
    "ascii": _ASCII,
    "strict-rfc1459": _ASCII | str.maketrans("[]\\", "{}|"),
    "rfc1459": _ASCII | str.maketrans("[]\\^", "{}|~"),
}


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One line. `source` is `nick!user@host` or a server's name, empty on lines of our own."""

    command: str
    params: tuple[str, ...] = ()
    source: str = ""
    tags: Mapping[str, str] = {}

    @property
    def nick(self) -> str:
        """The nick of `source`, or the whole of it where it is no mask."""
        return self.source.split("!", 1)[0].split("@", 1)[0]

    @property
    def words(self) -> str:
        """What a server says to a person: numeric and last parameter, without formatting."""
        return plain(" ".join([self.command, *self.params[-1:]]))


def parse(line: bytes) -> Message | None:
    """A received line, or None where there is no command in it; bad UTF-8 is replaced.

    >>> parse(b"@time=now :a!b@c PRIVMSG #x :hi there").params
    ('#x', 'hi there')
    """
    rest = line.decode("utf-8", "replace").rstrip("\r\n").replace("\x00", "").lstrip(" ")
    tags: dict[str, str] = {}
    source = ""
    if rest.startswith("@"):
        packed, _, rest = rest[1:].partition(" ")
        pairs = (tag.partition("=") for tag in packed.split(";") if tag)
        tags = {key: unescape(value) for key, _, value in pairs if key}
        rest = rest.lstrip(" ")
    if rest.startswith(":"):
        source, _, rest = rest[1:].partition(" ")
    head, colon, last = f" {rest}".partition(" :")
    command, *params = [word for word in head.split(" ") if word] or [""]
    if not command:
        return None
    if colon:
        params.append(last)
    return Message(command=command.upper(), params=tuple(params), source=source, tags=tags)


def serialise(message: Message) -> bytes:
    """The line with its CRLF, cut to 512 bytes between UTF-8 sequences; tags do not count.

    Line ends and NUL inside it become spaces, so that nobody can smuggle in a second command.

    >>> serialise(Message(command="PRIVMSG", params=("#x", "hi there")))
    b'PRIVMSG #x :hi there\\r\\n'
    """
    *middle, last = message.params or ("",)
    pieces = [f":{message.source}"] if message.source else []
    pieces += [message.command, *middle]
    if message.params:
        bare = last and " " not in last and not last.startswith(":")
        pieces.append(last if bare else f":{last}")
    line = re.sub(r"[\x00\r\n]", " ", " ".join(pieces)).encode("utf-8", "replace")
    line = line[: MAX_BYTES - 2].decode("utf-8", "ignore").encode()
    tags = ";".join(f"{key}={escape(value)}" for key, value in message.tags.items())
    return (f"@{tags} ".encode("utf-8", "replace") if tags else b"") + line + b"\r\n"


def escape(value: str) -> str:
    r"""A tag's value as it stands on the wire.

    >>> escape("a; b")
    'a\\:\\sb'
    """
    return "".join(_TAG_ESCAPES.get(character, character) for character in value)


def unescape(value: str) -> str:
    """The inverse of `escape`; an unknown escape loses its backslash, as the standard asks."""
    return re.sub(r"\\(.?)", lambda found: _TAG_UNESCAPES.get(found[1], found[1]), value)


def fold(name: str, mapping: str) -> str:
    """A nick or room in the one form in which the server compares it (CASEMAPPING).

    >>> fold("Nick[1]", "rfc1459"), fold("Nick[1]", "ascii")
    ('nick{1}', 'nick[1]')
    """
    return name.translate(_FOLDS.get(mapping, _FOLDS["rfc1459"]))


def features(params: Iterable[str]) -> dict[str, str]:
    """The tokens of RPL_ISUPPORT (005) without the nick before and the words after them."""
    tokens = (token.partition("=") for token in list(params)[1:-1])
    return {key: value for key, _, value in tokens if key}


def sasl_plain(user: str, password: str) -> list[str]:
    """The parameters of AUTHENTICATE for PLAIN: base64 in pieces of at most 400 characters,
    closed by a shorter one or `+` (IRCv3 SASL 3.1)."""
    packed = base64.b64encode(f"{user}\0{user}\0{password}".encode()).decode()
    pieces = [packed[i : i + 400] for i in range(0, len(packed), 400)]
    return pieces if len(pieces[-1]) < 400 else [*pieces, "+"]


def plain(text: str) -> str:
    r"""Text without colours, styles and control characters.

    >>> plain("\x02bold\x02 \x0304,01red\x03")
    'bold red'
    """
    return _FORMATTING.sub("", text)


def sayable(text: str, max_length: int) -> list[str]:
    """The lines of a text as they can be sent: none empty, none longer than `max_length`
    bytes, none with a line end, NUL or the mark of a CTCP command in it."""
    fits = Capabilities(max_length=max_length, unit="utf8", multiline=False)
    return cut(_UNSENDABLE.sub("", text), fits)


def text_bytes(features: Mapping[str, str], *, nick: str, username: str, target: int) -> int:
    """How many bytes of text a PRIVMSG to a target of `target` bytes can carry.

    Others receive `:nick!user@host PRIVMSG target :text`, and the server cuts that at 512. Nick
    and host may change while we are connected (services, cloaks), so the longest count: what
    the server tells (NICKLEN, USERLEN, HOSTLEN), else 30, 10 and 63 (RFC 2812 2.3.1), and one
    for the `~` before a user name nobody vouched for.

    >>> text_bytes({"NICKLEN": "9"}, nick="haoya", username="haoya", target=9)
    404
    """
    nick_bytes = max(number(features, "NICKLEN", 30), len(nick.encode()) + 2)
    user_bytes = max(number(features, "USERLEN", 10), len(username.encode())) + 1
    mask = nick_bytes + len("!") + user_bytes + len("@") + number(features, "HOSTLEN", 63)
    return MAX_BYTES - len(":") - mask - len(" PRIVMSG ") - target - len(" :") - len("\r\n")


def number(features: Mapping[str, str], key: str, otherwise: int) -> int:
    """A number the server told, where it is a sensible one."""
    text = features.get(key, "")
    return min(int(text), 128) if text.isascii() and text.isdigit() else otherwise


def addressed(text: str, nicks: Iterable[str]) -> tuple[bool, str]:
    """Whether a text names one of our nicks, and the text without it where it leads.

    >>> addressed("haoya: hi", ["haoya"]), addressed("haoya你好", ["haoya"])
    ((True, 'hi'), (True, '你好'))
    >>> addressed("ask haoya_bot", ["haoya"]), addressed("hi Haoya?", ["haoya"])
    ((False, 'ask haoya_bot'), (True, 'hi Haoya?'))
    """
    names = "|".join(re.escape(nick) for nick in sorted(nicks, key=len, reverse=True) if nick)
    name = rf"(?<![{_NICK_CHARACTER}/#])(?:{names})(?![{_NICK_CHARACTER}]|\.[A-Za-z0-9])"
    if not names or not re.search(name, text, re.IGNORECASE):
        return False, text
    rest = re.sub(rf"^\s*@?{name}[\s:,;，：；、]*", "", text, count=1, flags=re.IGNORECASE)
    return True, rest if re.search(r"\w", rest) else text
