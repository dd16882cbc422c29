# SPDX-License-Identifier: AGPL-3.0-or-later
"""Sealing, key derivation and authentication in two families of algorithms."""

import hmac
import os
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from haoya.policy.vault.words import SuiteName

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16


class Broken(ValueError):
    """Sealed bytes that this key and context did not make."""


class Suite(Protocol):
    """One family. Keys have `KEY_BYTES` bytes; what is sealed begins with its random nonce."""

    def seal(self, key: bytes, text: bytes, context: bytes) -> bytes:
        """Encrypt `text`; it opens with the same key and `context` only."""
        ...

    def open(self, key: bytes, sealed: bytes, context: bytes) -> bytes:
        """Decrypt; raises `Broken` where a bit of key, bytes or context differs."""
        ...

    def derive(self, key: bytes, purpose: bytes) -> bytes:
        """A key for one purpose (HKDF, RFC 5869)."""
        ...

    def mac(self, key: bytes, text: bytes) -> bytes:
        """An HMAC (RFC 2104)."""
        ...


class _Common:
    """Derivation and authentication over a hash."""

    def __init__(self, digest: hashes.HashAlgorithm) -> None:
        self._digest = digest

    def derive(self, key: bytes, purpose: bytes) -> bytes:
        return HKDF(self._digest, KEY_BYTES, None, b"haoya vault 1 " + purpose).derive(key)

    def mac(self, key: bytes, text: bytes) -> bytes:
        made = HMAC(key, self._digest)
        made.update(text)
        return made.finalize()


class _Aes(_Common):
    """AES-256-GCM."""

    def __init__(self) -> None:
        super().__init__(hashes.SHA256())

    def seal(self, key: bytes, text: bytes, context: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + AESGCM(key).encrypt(nonce, text, context)

    def open(self, key: bytes, sealed: bytes, context: bytes) -> bytes:
        if len(sealed) < NONCE_BYTES + TAG_BYTES:
            raise Broken
        try:
            return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
        except InvalidTag:
            raise Broken from None


class _Sm4(_Common):
    """SM4-GCM. SM4 has keys of 128 bits: the first half of what is derived for the purpose."""

    def __init__(self) -> None:
        super().__init__(hashes.SM3())

    def seal(self, key: bytes, text: bytes, context: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        sealing = Cipher(algorithms.SM4(self._half(key)), modes.GCM(nonce)).encryptor()
        sealing.authenticate_additional_data(context)
        sealed = sealing.update(text) + sealing.finalize()
        return nonce + sealed + sealing.tag

    def open(self, key: bytes, sealed: bytes, context: bytes) -> bytes:
        if len(sealed) < NONCE_BYTES + TAG_BYTES:
            raise Broken
        mode = modes.GCM(sealed[:NONCE_BYTES], sealed[-TAG_BYTES:])
        opening = Cipher(algorithms.SM4(self._half(key)), mode).decryptor()
        opening.authenticate_additional_data(context)
        try:
            return opening.update(sealed[NONCE_BYTES:-TAG_BYTES]) + opening.finalize()
        except InvalidTag:
            raise Broken from None

    def _half(self, key: bytes) -> bytes:
        return self.derive(key, b"sm4")[:16]


SUITES: dict[SuiteName, Suite] = {"aes-256-gcm": _Aes(), "sm4-gcm": _Sm4()}


def same(one: bytes, other: bytes) -> bool:
    """Whether two MACs agree, in a time that does not tell where they differ."""
    return hmac.compare_digest(one, other)
