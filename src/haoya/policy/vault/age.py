# SPDX-License-Identifier: AGPL-3.0-or-later
"""Files in the age format, version 1, that every other age program reads and writes too.

The format is https://c2sp.org/age. A random file key seals the payload in chunks of 64 KiB; a
stanza for each recipient holds the file key: X25519 for a key pair, scrypt for a passphrase.
"""

import base64
import hashlib
import hmac
import os
import re
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from haoya.core.errors import ConfigError

_INTRO = b"age-encryption.org/v1\n"
_X25519 = b"age-encryption.org/v1/X25519"
_SCRYPT = b"age-encryption.org/v1/scrypt"
_ARMOUR = (b"-----BEGIN AGE ENCRYPTED FILE-----", b"-----END AGE ENCRYPTED FILE-----")
_CHUNK = 65536
_TAG = 16
_FILE_KEY = 16
_LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_LOG_N = 18
"""scrypt's cost, as in the reference program: 2^18 blocks of 1 KiB, about a second."""
_MOST_LOG_N = 20
"""A file from elsewhere may ask for so much (1 GiB) and no more."""


class NotForUs(ValueError):
    """The file is not for this key or passphrase."""


def generate() -> tuple[str, str]:
    """A new key pair: the identity (secret) and the recipient (public)."""
    key = X25519PrivateKey.generate()
    identity = _bech32("age-secret-key-", key.private_bytes_raw()).upper()
    return identity, _bech32("age", key.public_key().public_bytes_raw())


def recipient_of(identity: str) -> str:
    """The public half of an identity."""
    key = X25519PrivateKey.from_private_bytes(_unbech32("age-secret-key-", identity))
    return _bech32("age", key.public_key().public_bytes_raw())


def check_recipient(recipient: str) -> str:
    """It back, or `ConfigError` where it is none."""
    _unbech32("age", recipient)
    return recipient.strip().lower()


def encrypt(data: bytes, recipients: Sequence[str] = (), passphrase: str = "") -> bytes:
    """An age file for all `recipients`, or for whoever knows the passphrase."""
    file_key = os.urandom(_FILE_KEY)
    if passphrase:
        stanzas = _scrypt_stanza(file_key, passphrase)
    else:
        stanzas = b"".join(_x25519_stanza(file_key, one) for one in recipients)
    header = _INTRO + stanzas + b"---"
    head = header + b" " + _base64(_header_mac(file_key, header)) + b"\n"
    nonce = os.urandom(16)
    return head + nonce + _sealed(_derive(file_key, nonce, b"payload"), data)


def decrypt(data: bytes, *, identity: str = "", passphrase: str = "") -> bytes:
    """What is in an age file, armoured or not.

    Raises `NotForUs` where the key or passphrase is another one, `ConfigError` where the file is
    damaged or no age file.
    """
    header, mac, stanzas, payload = _parsed(_unarmoured(data))
    file_key = None
    for kind, arguments, body in stanzas:
        if kind == b"X25519" and identity:
            file_key = _x25519_open(arguments, body, identity)
        elif kind == b"scrypt" and passphrase and len(stanzas) == 1:
            file_key = _scrypt_open(arguments, body, passphrase)
        if file_key:
            break
    if file_key is None:
        raise NotForUs
    if not hmac.compare_digest(_header_mac(file_key, header), mac):
        raise _damaged()
    return _opened(_derive(file_key, payload[:16], b"payload"), payload[16:])


def is_for_passphrase(data: bytes) -> bool:
    """Whether a passphrase opens the file, and no key."""
    _, _, stanzas, _ = _parsed(_unarmoured(data))
    return [kind for kind, _, _ in stanzas] == [b"scrypt"]


def armoured(data: bytes) -> str:
    """As text that survives mail and copying."""
    text = base64.b64encode(data)
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return b"\n".join([_ARMOUR[0], *lines, _ARMOUR[1], b""]).decode("ascii")


def _unarmoured(data: bytes) -> bytes:
    text = data.strip()
    if not text.startswith(_ARMOUR[0]):
        return data
    if not text.endswith(_ARMOUR[1]):
        raise _damaged()
    try:
        inner = text[len(_ARMOUR[0]) : -len(_ARMOUR[1])]
        return base64.b64decode(b"".join(inner.split()), validate=True)
    except ValueError:
        raise _damaged() from None


def _parsed(data: bytes) -> tuple[bytes, bytes, list[tuple[bytes, list[bytes], bytes]], bytes]:
    """Header without its MAC, the MAC, the stanzas, and what follows."""
    found = re.match(rb"(.*?\n---) ([A-Za-z0-9+/]{43})\n", data[:100_000], re.DOTALL)
    if not data.startswith(_INTRO) or not found:
        raise _damaged()
    header, mac = found.group(1), found.group(2)
    stanzas: list[tuple[bytes, list[bytes], bytes]] = []
    for stanza in header[len(_INTRO) : -3].split(b"-> ")[1:]:
        first, *body = stanza.split(b"\n")
        kind, *arguments = first.split(b" ")
        stanzas.append((kind, arguments, _unbase64(b"".join(body))))
    return header, _unbase64(mac), stanzas, data[found.end() :]


def _stanza(arguments: Sequence[bytes], body: bytes) -> bytes:
    text = _base64(body)
    lines = [text[at : at + 64] for at in range(0, len(text) + 1, 64)]
    return b"-> " + b" ".join(arguments) + b"\n" + b"\n".join(lines) + b"\n"


def _x25519_stanza(file_key: bytes, recipient: str) -> bytes:
    public = _unbech32("age", recipient)
    ephemeral = X25519PrivateKey.generate()
    share = ephemeral.public_key().public_bytes_raw()
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(public))
    wrap = _derive(shared, share + public, _X25519)
    return _stanza([b"X25519", _base64(share)], _wrapped(wrap, file_key))


def _x25519_open(arguments: Sequence[bytes], body: bytes, identity: str) -> bytes | None:
    key = X25519PrivateKey.from_private_bytes(_unbech32("age-secret-key-", identity))
    try:
        (share,) = (_unbase64(one) for one in arguments)
        shared = key.exchange(X25519PublicKey.from_public_bytes(share))
    except ValueError:
        raise _damaged() from None
    public = key.public_key().public_bytes_raw()
    return _unwrapped(_derive(shared, share + public, _X25519), body)


def _scrypt_stanza(file_key: bytes, passphrase: str) -> bytes:
    salt = os.urandom(16)
    wrap = _scrypt(passphrase, salt, _LOG_N)
    arguments = [b"scrypt", _base64(salt), str(_LOG_N).encode()]
    return _stanza(arguments, _wrapped(wrap, file_key))


def _scrypt_open(arguments: Sequence[bytes], body: bytes, passphrase: str) -> bytes | None:
    if len(arguments) != 2 or not re.fullmatch(rb"[1-9][0-9]?", arguments[1]):
        raise _damaged()
    cost = int(arguments[1])
    if cost > _MOST_LOG_N:
        raise _damaged()
    return _unwrapped(_scrypt(passphrase, _unbase64(arguments[0]), cost), body)


def _scrypt(passphrase: str, salt: bytes, cost: int) -> bytes:
    return hashlib.scrypt(
        passphrase.encode(), salt=_SCRYPT + salt, n=1 << cost, r=8, p=1, dklen=32,
        maxmem=(1 << cost) * 1024 + (1 << 20),
    )  # fmt: skip


def _wrapped(key: bytes, file_key: bytes) -> bytes:
    return ChaCha20Poly1305(key).encrypt(bytes(12), file_key, None)


def _unwrapped(key: bytes, body: bytes) -> bytes | None:
    if len(body) != _FILE_KEY + _TAG:
        raise _damaged()
    try:
        return ChaCha20Poly1305(key).decrypt(bytes(12), body, None)
    except InvalidTag:
        return None


def _sealed(key: bytes, data: bytes) -> bytes:
    """STREAM: each chunk under a counter, the last one marked."""
    cipher = ChaCha20Poly1305(key)
    starts = range(0, max(len(data), 1), _CHUNK)
    return b"".join(
        cipher.encrypt(_nonce(number, start == starts[-1]), data[start : start + _CHUNK], None)
        for number, start in enumerate(starts)
    )


def _opened(key: bytes, sealed: bytes) -> bytes:
    cipher = ChaCha20Poly1305(key)
    step = _CHUNK + _TAG
    starts = range(0, max(len(sealed), 1), step)
    chunks: list[bytes] = []
    try:
        for number, start in enumerate(starts):
            nonce = _nonce(number, start == starts[-1])
            chunks.append(cipher.decrypt(nonce, sealed[start : start + step], None))
    except InvalidTag:
        raise _damaged() from None
    if len(chunks) > 1 and not chunks[-1]:
        raise _damaged()
    return b"".join(chunks)


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _derive(key: bytes, salt: bytes, purpose: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt, purpose).derive(key)


def _header_mac(file_key: bytes, header: bytes) -> bytes:
    return hmac.digest(_derive(file_key, b"", b"header"), header, "sha256")


def _base64(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def _unbase64(text: bytes) -> bytes:
    try:
        data = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except ValueError:
        raise _damaged() from None
    if _base64(data) != text:  # other spellings of the same bytes are refused
        raise _damaged()
    return data


def _damaged() -> ConfigError:
    return ConfigError(
        "this is no whole age file", cure="use the file as it was written, all of it"
    )


# Bech32 (BIP 173), without its limit on length.


def _bech32(prefix: str, data: bytes) -> str:
    words = _regrouped(data, 8, 5, pad=True)
    rest = _checksum([*_expanded(prefix), *words, 0, 0, 0, 0, 0, 0]) ^ 1
    words += [(rest >> 5 * (5 - at)) & 31 for at in range(6)]
    return f"{prefix}1{''.join(_LETTERS[word] for word in words)}"


def _unbech32(prefix: str, text: str) -> bytes:
    text = text.strip()
    kind = "an age recipient (age1…)" if prefix == "age" else "a key (AGE-SECRET-KEY-1…)"
    wrong = ConfigError(f"this is not {kind}", cure="copy it whole, without spaces")
    if text not in (text.lower(), text.upper()):
        raise wrong
    start, _, rest = text.lower().rpartition("1")
    if start != prefix or any(letter not in _LETTERS for letter in rest):
        raise wrong
    words = [_LETTERS.index(letter) for letter in rest]
    if _checksum([*_expanded(prefix), *words]) != 1:
        raise wrong
    data = bytes(_regrouped(bytes(words[:-6]), 5, 8, pad=False))
    if len(data) != 32:
        raise wrong
    return data


def _expanded(prefix: str) -> list[int]:
    return [*(ord(letter) >> 5 for letter in prefix), 0, *(ord(letter) & 31 for letter in prefix)]


def _checksum(values: Sequence[int]) -> int:
    terms = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
    rest = 1
    for value in values:
        top, rest = rest >> 25, (rest & 0x1FFFFFF) << 5 ^ value
        for at, term in enumerate(terms):
            rest ^= term if top >> at & 1 else 0
    return rest


def _regrouped(data: bytes, before: int, after: int, *, pad: bool) -> list[int]:
    held, bits, out = 0, 0, list[int]()
    for value in data:
        held, bits = held << before | value, bits + before
        while bits >= after:
            bits -= after
            out.append(held >> bits & (1 << after) - 1)
        held &= (1 << bits) - 1
    if pad and bits:
        out.append(held << after - bits & (1 << after) - 1)
    return out
