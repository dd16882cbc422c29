# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where an address leads to, in one spelling."""

from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def origin_of(address: str) -> str:
    """The origin of a URL (RFC 6454), without the port that its scheme implies; "" for no URL.

    >>> origin_of("https://API.example.com:443/v1"), origin_of("http://[::1]:8081"), origin_of("x")
    ('https://api.example.com', 'http://[::1]:8081', '')
    """
    try:
        url = urlsplit(address)
        port = url.port
    except ValueError:
        return ""
    host = (url.hostname or "").rstrip(".")
    if not url.scheme or not host:
        return ""
    host = f"[{host}]" if ":" in host else host
    return f"{url.scheme}://{host}" + (
        f":{port}" if port and port != _PORTS.get(url.scheme) else ""
    )
