# SPDX-License-Identifier: AGPL-3.0-or-later
"""The socket: dialled, read and written by the line, closed politely."""

import asyncio
import contextlib
import ssl

from haoya.channels.irc.settings import IrcSettings
from haoya.channels.irc.wire import Message, parse, serialise
from haoya.core.errors import ConfigError, Unready

DIAL_SECONDS = 20
QUIT_SECONDS = 0.5
_READ_LIMIT = 16384
"""A line has at most 8,191 bytes of tags and 512 of message."""


class Link:
    """A connected line. `read` and `write` know nothing of what the lines mean."""

    def __init__(
        self, host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.host = host
        self._reader = reader
        self._writer = writer

    @classmethod
    async def dial(cls, settings: IrcSettings) -> "Link":
        """Connect; raises `Unready` where nobody answers or TLS cannot be agreed on."""
        where = f"{settings.host}:{settings.port_number}"
        context = _tls(settings) if settings.encrypted else None
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                reader, writer = await asyncio.open_connection(
                    settings.host, settings.port_number, ssl=context, limit=_READ_LIMIT
                )
        except ssl.SSLCertVerificationError as error:
            raise Unready(
                f"the certificate of {where} is not to be trusted: {error.verify_message}; "
                "name its issuer in tls_ca, or set tls_verify = false"
            ) from error
        except ssl.SSLError as error:
            raise Unready(f"no TLS with {where}: {error.reason}; is the port right?") from error
        except TimeoutError as error:
            raise Unready(f"{where} does not answer within {DIAL_SECONDS} s") from error
        except OSError as error:
            raise Unready(f"cannot connect to {where}: {error.strerror or error}") from error
        return cls(settings.host, reader, writer)

    async def read(self) -> Message:
        """The next line that holds a command; `Unready` where there will be none."""
        while True:
            try:
                line = await self._reader.readuntil(b"\n")
            except asyncio.IncompleteReadError as error:
                raise Unready(f"{self.host} closed the connection") from error
            except asyncio.LimitOverrunError as error:
                raise Unready(f"{self.host} sent a line over {_READ_LIMIT} bytes") from error
            except OSError as error:
                raise Unready(f"lost {self.host}: {error.strerror or error}") from error
            if message := parse(line):
                return message

    def write(self, message: Message) -> None:
        """Hand a line to the kernel. Lines are few and short (they are paced) and a peer that
        takes none is noticed by its silence, so nothing waits for the buffer here."""
        if not self._writer.is_closing():
            self._writer.write(serialise(message))

    async def close(self, reason: str) -> None:
        """Say goodbye and leave, within a second whatever the other side does."""
        self.write(Message(command="QUIT", params=(reason,)))
        try:
            # A socket closed with unread bytes in it is reset, and the QUIT would be lost.
            async with asyncio.timeout(QUIT_SECONDS):
                while await self._reader.read(_READ_LIMIT):
                    pass
            self._writer.close()
            async with asyncio.timeout(QUIT_SECONDS / 2):
                await self._writer.wait_closed()
        except OSError:  # a timeout is one, too
            pass
        finally:
            # A TLS transport that was closed twice has forgotten what to abort (CPython 3.11).
            with contextlib.suppress(AttributeError):
                self._writer.transport.abort()


def _tls(settings: IrcSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca or None)
    except OSError as error:
        raise ConfigError(
            f"cannot read certificates from tls_ca {settings.tls_ca!r}: {error}",
            cure="name a readable PEM file",
        ) from error
    if not settings.tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
