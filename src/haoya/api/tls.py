# SPDX-License-Identifier: AGPL-3.0-or-later
"""TLS for those who come from another machine: 1.3, nothing older."""

import ssl
from pathlib import Path

from haoya.core.errors import ConfigError


def secured(
    home: Path, cert: str, key: str, *, section: str, protocol: str
) -> ssl.SSLContext | None:
    """A server's context with the owner's certificate; None where none is named.

    `cert` and `key` are PEM files relative to `home`, `protocol` what is spoken inside (ALPN).
    Raises `ConfigError` where they cannot be used.
    """
    if not (cert and key):
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols([protocol])
    try:
        context.load_cert_chain(home / cert, home / key)
    except OSError as error:  # ssl.SSLError is one
        why = error.strerror or getattr(error, "reason", "")
        raise ConfigError(
            f"[{section}] cert or key cannot be used: {why}",
            cure="name a PEM certificate and its key; docs/howto/use-a-stronger-machine.md "
            "shows how to make them",
        ) from error
    return context
