# SPDX-License-Identifier: AGPL-3.0-or-later
"""`haoya secrets rotate|recovery|recover|export|import`: the keys of the vault, and moving it."""

from pathlib import Path
from typing import Annotated, Literal, cast

import msgspec
from cyclopts import Parameter

from haoya.cli.files import write_private
from haoya.cli.house import room
from haoya.cli.lent import Lent
from haoya.cli.secrets import VAULT, Shown, hidden, new_phrase, phrase_of
from haoya.cli.view import OK, View
from haoya.cli.words import say
from haoya.core.errors import ConfigError

Source = Literal["tpm", "keyring", "passphrase", "file"]
Cipher = Literal["aes-256-gcm", "sm4-gcm"]

To = Annotated[Source | None, Parameter(help=say("option.to"))]
Recipients = Annotated[tuple[str, ...], Parameter(help=say("option.recipient"))]
ExportFile = Annotated[Path, Parameter(help=say("option.export"))]


def rotate(
    *,
    to: To = None,
    cipher: Annotated[Cipher | None, Parameter(help=say("option.cipher"))] = None,
    view: Lent,
) -> int:
    """Seal everything anew under new keys, or under a key from elsewhere."""
    phrase = phrase_of(view)
    fresh = new_phrase(view) if to == "passphrase" else ""
    return _locked(
        view,
        room(view, VAULT, "rotate")(
            view.home, source=to, suite=cipher, phrase=phrase, new_phrase=fresh
        ),
    )


def recovery(
    *,
    recipient: Annotated[str, Parameter(help=say("option.recipient.one"))] = "",
    remove: Annotated[str, Parameter(help=say("option.recipient.remove"))] = "",
    view: Lent,
) -> int:
    """Make a recovery key, which opens the vault on any machine; it is shown once."""
    phrase = phrase_of(view)
    if remove:
        room(view, VAULT, "unrecover")(view.home, remove, phrase=phrase)
        return _said(view, {"removed": remove}, say("secrets.recovery.removed", recipient=remove))
    made = room(view, VAULT, "recovery")(view.home, recipient, phrase=phrase)
    identity, public = cast("tuple[str, str]", made)
    if view.json:
        view.document({"recipient": public, "identity": identity})
    elif identity:
        view.print(say("secrets.recovery.made"), "", f"  {identity}", "")
    else:
        view.print(say("secrets.recovery.is", recipient=public))
    return OK


def recover(*, to: To = None, view: Lent) -> int:
    """Open the vault with its recovery key and lock it anew for this machine."""
    identity = hidden(view, say("secrets.recovery.ask"))
    fresh = new_phrase(view) if to == "passphrase" else ""
    return _locked(
        view, room(view, VAULT, "recover")(view.home, identity, source=to, new_phrase=fresh)
    )


def export(file: ExportFile, /, *, recipient: Recipients = (), view: Lent) -> int:
    """Write all secrets into an age file: for recipients, or under a passphrase."""
    if file.exists():
        raise ConfigError(say("secrets.export.there", file=file), cure=say("secrets.export.other"))
    phrase = phrase_of(view)
    passphrase = ""
    if not recipient:
        if not view.interactive:
            cure = "haoya secrets export FILE --recipient age1…"
            raise ConfigError(say("secrets.export.who"), cure=cure)
        passphrase = new_phrase(view)
    text = room(view, VAULT, "export")(view.home, recipient, passphrase, phrase=phrase)
    write_private(file.absolute(), str(text))
    return _said(view, {"file": str(file)}, say("secrets.exported", file=file))


def import_secrets(file: ExportFile, /, *, view: Lent) -> int:
    """Take in the secrets of a file that `export` wrote."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}", cure=say("secrets.import.cure")) from None
    by_phrase = bool(room(view, VAULT, "is_for_passphrase")(data))
    key = hidden(view, say("secrets.phrase.file" if by_phrase else "secrets.recovery.ask"))
    ways = {"passphrase": key} if by_phrase else {"identity": key}
    names = room(view, VAULT, "import_")(view.home, data, **ways, phrase=phrase_of(view))
    listed = cast("list[str]", names)
    return _said(view, {"names": listed}, say("secrets.imported", names=", ".join(listed)))


def _locked(view: View, vault: object) -> int:
    now = msgspec.convert(msgspec.to_builtins(vault), Shown)
    sentence = say(f"secrets.source.{now.lock.source}", cipher=now.suite)
    return _said(view, {"source": now.lock.source, "cipher": now.suite}, sentence)


def _said(view: View, document: object, sentence: str) -> int:
    if view.json:
        view.document(document)
    else:
        view.print(sentence)
    return OK
