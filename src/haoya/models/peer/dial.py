# SPDX-License-Identifier: AGPL-3.0-or-later
"""The way to the other node: TCP, and TLS 1.3 with the certificate we know."""

import asyncio
import hashlib
import hmac
import ssl

from haoya.core.errors import Rejected, Unready
from haoya.models.peer.settings import PeerSettings

CONNECT_SECONDS = 5.0
CLOSE_SECONDS = 2.0
"""How long TLS may take to say goodbye."""

RETRY_SECONDS = 5.0
"""A machine that sleeps or starts is tried again after so long."""


async def dial(settings: PeerSettings) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """An open connection to the right node; nothing has been said on it.

    Raises `Unready` where nobody answers, and `Rejected` where somebody else does.
    """
    url, host = settings.url, settings.url.hostname or ""
    secured = _context(settings) if url.scheme == "https" else None
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(
                host,
                settings.port,
                ssl=secured,
                ssl_shutdown_timeout=CLOSE_SECONDS if secured else None,
            )
    except ssl.SSLCertVerificationError as error:
        text = f"{url.netloc} shows a certificate that this system does not trust"
        cure = "write its fingerprint into the settings; `haoya peers invite` there prints it"
        raise Rejected(f"{text} ({error.verify_message}); {cure}") from None
    except ssl.SSLError as error:
        text = f"{url.netloc} speaks no TLS 1.3 ({error.reason}); look at [peers] there"
        raise Unready(text, retry_after=RETRY_SECONDS, trouble="unreachable") from None
    except OSError as error:
        why = error.strerror or "no connection in time"
        text = f"no haoya node at {url.netloc} ({why}); start it there, or correct address"
        raise Unready(
            text, retry_after=RETRY_SECONDS, reached=False, trouble="unreachable"
        ) from None
    if settings.fingerprint and secured:
        _check(settings, writer)
    return reader, writer


def _context(settings: PeerSettings) -> ssl.SSLContext:
    """TLS 1.3 only. A pinned certificate needs no chain and no name: it is compared itself."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    if settings.fingerprint:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _check(settings: PeerSettings, writer: asyncio.StreamWriter) -> None:
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True) or b""
    if hmac.compare_digest(hashlib.sha256(shown).hexdigest(), settings.fingerprint):
        return
    writer.transport.abort()
    raise Rejected(
        f"{settings.url.netloc} shows another certificate than the one whose fingerprint is in the "
        "settings; if you renewed it, take the new fingerprint from `haoya peers list` there"
    )
