# SPDX-License-Identifier: AGPL-3.0-or-later
"""The vault of a home: opened, changed, locked anew. Loads cryptography.

The daemon never imports this: it runs it (`python -m haoya.runtime.vault`, a `Take` on standard
input, an `Answer` on standard output) and has the values without the 10 MB and the keys. The
command line imports it for `haoya secrets`.
"""

import sys
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from haoya.core.errors import ConfigError, HaoyaError
from haoya.policy.vault import age, envelope, keyfile, sources, store
from haoya.policy.vault.envelope import Open
from haoya.policy.vault.words import Lock, Source, SuiteName, Value, Vault
from haoya.runtime.hardening import shield
from haoya.runtime.migration import clear_text, rewrite_settings, wipe
from haoya.runtime.vault_words import Answer, Fault, Held, Take, Taken

SUITE: SuiteName = "aes-256-gcm"


def take(wish: Take) -> Taken:
    """Open the vault for the daemon, and take in what lies about in the clear."""
    home = Path(wish.home)
    found = clear_text(home)
    old = store.read(home)
    if old is None and not (found or wish.plain or wish.new):
        return Taken()
    with store.alone(home):
        before = _opened(home, wish.phrase)
        after = _bound(_taken_in(before, wish, found | wish.new), wish)
        if after is not before or old is None:
            store.write(home, after.vault)
        # Only now, with all of it durable in the vault, may the clear text go.
        left = rewrite_settings(home, wish.plain)
        if found:
            left += wipe(home)
    moved = [*(plain.name for plain in wish.plain), *found]
    held = after.values().values()
    return Taken(
        held=tuple(Held(name=v.name, text=v.text, origins=v.origins) for v in held),
        source=after.vault.lock.source,
        recoverable=bool(after.vault.recoveries),
        fleeting=after.vault.lock.source == "file" and keyfile.fleeting(home),
        moved=tuple(dict.fromkeys(moved)),
        left=tuple(left),
    )


def values(home: Path, *, phrase: str = "") -> dict[str, Value]:
    """All secrets by name."""
    return _opened(home, phrase).values() if store.read(home) else {}


def put(home: Path, new: dict[str, str], origins: Sequence[str] = (), *, phrase: str = "") -> None:
    """Keep secrets; the vault is made where there is none. With new `origins` they may go to
    those alone, without any they keep the ones they have."""

    def change(open: Open) -> Open:
        known = open.values()
        for name, text in new.items():
            kept = known[name].origins if name in known else ()
            value = Value(name=name, text=text, origins=tuple(origins) or kept)
            open = open.put(value, time.time())
        return open

    _change(home, change, phrase)


def remove(home: Path, name: str, *, phrase: str = "") -> None:
    """Forget one; ConfigError where there is none of that name."""

    def change(open: Open) -> Open:
        _require(open.vault, name)
        return open.remove([name])

    _change(home, change, phrase)


def bind(home: Path, name: str, origins: Sequence[str], *, phrase: str = "") -> None:
    """Let a secret go to these origins alone; none: to those of the section that uses it next."""

    def change(open: Open) -> Open:
        _require(open.vault, name)
        return open.bind(name, origins)

    _change(home, change, phrase)


def asks(home: Path) -> bool:
    """Whether a passphrase must be typed to open the vault: none is laid out."""
    vault = store.read(home)
    locked = vault is not None and vault.lock.source == "passphrase"
    return locked and not sources.standing_passphrase()


def vault_of(home: Path) -> Vault | None:
    """The vault as it lies there, unopened: names, origins and dates."""
    return store.read(home)


def rotate(
    home: Path,
    *,
    source: Source | None = None,
    suite: SuiteName | None = None,
    phrase: str = "",
    new_phrase: str = "",
) -> Vault:
    """A new lock and a new data key; every secret is sealed anew. Without a `source` it stays
    where it is, except that a key file gives way to something better."""
    with store.alone(home):
        old = _opened(home, phrase)
        lock = old.vault.lock
        wanted = source or (lock.source if lock.source != "file" else None)
        chosen = sources.best(wanted)[0]
        new = _relocked(home, old, chosen, suite or old.vault.suite, new_phrase or phrase)
        store.write(home, new.vault)
        _forget_others(new.vault, lock.id, old)
    return new.vault


def recovery(home: Path, recipient: str = "", *, phrase: str = "") -> tuple[str, str]:
    """Let an age recipient open the vault too; without one a new key pair is made. Returns the
    identity, which is kept nowhere ("" where a recipient was given), and the recipient."""
    identity = ""
    if recipient:
        recipient = age.check_recipient(recipient)
    else:
        identity, recipient = age.generate()

    def change(open: Open) -> Open:
        known = [one.recipient for one in open.vault.recoveries]
        return open.recoverable_by([*known, recipient])

    _change(home, change, phrase)
    return identity, recipient


def unrecover(home: Path, recipient: str, *, phrase: str = "") -> None:
    """Take a recovery key away; the data key changes, so that old copies of it are no use."""
    with store.alone(home):
        old = _opened(home, phrase)
        left = [one.recipient for one in old.vault.recoveries if one.recipient != recipient]
        if len(left) == len(old.vault.recoveries):
            raise ConfigError(
                f"{recipient} is no recovery key of this vault", cure="haoya secrets list"
            )
        new = _relocked(
            home, old.recoverable_by(left), old.vault.lock.source, old.vault.suite, phrase
        )
        store.write(home, new.vault)
        _forget_others(new.vault, old.vault.lock.id, old)


def recover(
    home: Path, identity: str, *, source: Source | None = None, new_phrase: str = ""
) -> Vault:
    """Open the vault with a recovery key and lock it anew for this machine."""
    with store.alone(home):
        vault = store.read(home)
        if vault is None:
            raise ConfigError(f"there is no vault in {home}", cure="haoya backup restore FILE")
        old = envelope.recover(vault, identity.strip())
        new = _relocked(home, old, sources.best(source)[0], vault.suite, new_phrase)
        store.write(home, new.vault)
    return new.vault


def export(
    home: Path, recipients: Sequence[str] = (), passphrase: str = "", *, phrase: str = ""
) -> str:
    """All secrets as an armoured age file for the recipients, or for who knows the passphrase."""
    held = [
        Held(name=value.name, text=value.text, origins=value.origins)
        for value in values(home, phrase=phrase).values()
    ]
    checked = [age.check_recipient(one) for one in recipients]
    data = msgspec.json.encode({"haoya": "secrets", "secrets": held})
    return age.armoured(age.encrypt(data, checked, passphrase))


class _Exported(msgspec.Struct):
    secrets: list[Held]


def import_(
    home: Path, data: bytes, *, identity: str = "", passphrase: str = "", phrase: str = ""
) -> list[str]:
    """Take in what `export` wrote; the names. Secrets of the same names get the values there."""
    try:
        text = age.decrypt(data, identity=identity.strip(), passphrase=passphrase)
        found = msgspec.json.decode(text, type=_Exported).secrets
    except age.NotForUs:
        raise ConfigError(
            "this key or passphrase does not open the file", cure="use the one it was made for"
        ) from None
    except msgspec.MsgspecError:
        raise ConfigError(
            "the file holds no secrets of haoya's", cure="use one that `haoya secrets export` wrote"
        ) from None

    def change(open: Open) -> Open:
        for held in found:
            value = Value(name=held.name, text=held.text, origins=held.origins)
            open = open.put(value, time.time())
        return open

    _change(home, change, phrase)
    return [held.name for held in found]


def _change(home: Path, change: Callable[[Open], Open], phrase: str) -> None:
    with store.alone(home):
        after = change(_opened(home, phrase))
        store.write(home, after.vault)


def _opened(home: Path, phrase: str) -> Open:
    """The vault, made where there is none."""
    vault = store.read(home)
    if vault is not None:
        return envelope.unlock(vault, sources.key_of(vault.lock, phrase))
    id = uuid.uuid4().hex
    standing = sources.standing_passphrase()
    source: Source = "passphrase" if phrase or standing else sources.best()[0]
    lock, key = _new_lock(home, source, id, phrase or standing)
    return envelope.create(id, SUITE, lock, key)


def _relocked(home: Path, old: Open, source: Source, suite: SuiteName, phrase: str) -> Open:
    phrase = phrase or sources.standing_passphrase()
    lock, key = _new_lock(home, source, old.vault.id, phrase)
    return old.relocked(lock, key, suite)


def _new_lock(home: Path, source: Source, id: str, phrase: str) -> tuple[Lock, bytes]:
    folder = keyfile.folder()
    if source == "file" and folder.resolve().is_relative_to(home.resolve()):
        raise ConfigError(
            f"the vault's key would lie in {folder}, inside of the home, and so in every backup",
            cure=f"name a folder elsewhere with {keyfile.FOLDER}",
        )
    return sources.new_lock(source, id, phrase)


def _forget_others(new: Vault, old_id: str, old: Open) -> None:
    """The old key opens nothing any more; neither do those of rotations that were killed."""
    if old_id != new.lock.id:
        sources.forget(old.vault.lock)
    for left in keyfile.others(new.id, new.lock.id):
        keyfile.forget(left)


def _taken_in(open: Open, wish: Take, found: dict[str, str]) -> Open:
    known = open.values()
    for plain in wish.plain:
        old = known.get(plain.name)
        same = old is not None and old.text == plain.value
        if not same or not set(plain.origins) <= set(old.origins if old else ()):
            value = Value(name=plain.name, text=plain.value, origins=plain.origins)
            open = open.put(value, time.time())
    for name, text in found.items():
        old = known.get(name)
        if old is None or old.text != text:
            origins = old.origins if old else ()
            open = open.put(Value(name=name, text=text, origins=origins), time.time())
    return open


def _bound(open: Open, wish: Take) -> Open:
    for name, value in open.values().items():
        if not value.origins and (origins := wish.bind.get(name)):
            open = open.bind(name, origins)
    return open


def is_for_passphrase(data: bytes) -> bool:
    """Whether an exported file asks for a passphrase rather than a key."""
    return age.is_for_passphrase(data)


def _require(vault: Vault, name: str) -> None:
    names = sorted(record.name for record in vault.records)
    if name not in names:
        there = ", ".join(names) or "none"
        raise ConfigError(
            f"no secret is named {name!r}; there are: {there}", cure="haoya secrets list"
        )


def main() -> int:
    """Answer one `Take`."""
    shield()
    try:
        wish = msgspec.json.decode(sys.stdin.buffer.read(), type=Take)
        answer = Answer(taken=take(wish))
    except HaoyaError as error:
        cure = error.cure if isinstance(error, ConfigError) else ""
        kind = "ConfigError" if isinstance(error, ConfigError) else "Unready"
        answer = Answer(fault=Fault(kind=kind, message=str(error), cure=cure))
    sys.stdout.buffer.write(msgspec.json.encode(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
