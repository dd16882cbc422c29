# SPDX-License-Identifier: AGPL-3.0-or-later
"""`haoya peers`: other machines of the owner's that may think with the models of this one."""

from typing import Annotated

from cyclopts import Parameter

from haoya.cli.answers import Invitation, PeerList, PeerState
from haoya.cli.house import ask_anyhow, shaped
from haoya.cli.lent import Lent
from haoya.cli.view import OK, View, ago, paint, table
from haoya.cli.words import say

PeerName = Annotated[str, Parameter(help=say("option.peer"))]


def invite(
    name: PeerName,
    /,
    *models: Annotated[str, Parameter(help=say("option.lent"))],
    view: Lent,
) -> int:
    """Let another machine ask models of this one; prints what to write there."""
    result = ask_anyhow(view, "peers_invite", name=name, models=list(models))
    if view.json:
        view.document(result)
        return OK
    given = shaped(result, Invitation)
    view.print(say("peers.invited", name=given.name, models=", ".join(given.models)), "")
    view.print(say("peers.token"), f"  haoya secrets set {SECRET}", f"  {given.token}", "")
    view.print(say("peers.settings"), *_settings(given))
    _hint(view, given)
    return OK


def list_peers(*, view: Lent) -> int:
    """Show the machines that may ask, and where they find this one."""
    result = ask_anyhow(view, "peers_list")
    if view.json:
        view.document(result)
        return OK
    found = shaped(result, PeerList)
    if found.address:
        shut = found.reason or say("peers.closed")
        view.print(say("peers.address", address=found.address), *([] if found.open else [shut]))
    if found.fingerprint:
        view.print(say("peers.fingerprint", fingerprint=found.fingerprint))
    view.print(*table([_row(peer) for peer in found.peers]) or [say("peers.none")])
    return OK


def remove(name: PeerName, /, *, view: Lent) -> int:
    """Let a machine ask no more; answers under way end at once."""
    result = ask_anyhow(view, "peers_remove", name=name)
    if view.json:
        view.document(result)
    else:
        view.print(say("peers.removed", name=name))
    return OK


SECRET = "big-token"
"""What the secret is called in the lines to paste."""


def _settings(given: Invitation) -> list[str]:
    lines = ["[models.big]", 'use = "peer"', f'address = "{given.address or ADDRESS}"']
    lines.append(f'token = "secret:{SECRET}"')
    if given.fingerprint:
        lines.append(f'fingerprint = "{given.fingerprint}"')
    return [*(f"  {line}" for line in lines), f'  model = "{given.models[0]}"']


ADDRESS = "http://127.0.0.1:8643"
"""Shown where this machine does not listen yet."""


def _hint(view: View, given: Invitation) -> None:
    if not given.listens:
        view.print("", paint(say("peers.deaf"), "yellow"), '  [peers]\n  listen = "127.0.0.1:8643"')
    elif given.address.startswith("http://"):
        port = given.address.rpartition(":")[2]
        view.print("", say("peers.tunnel"), f"  ssh -N -L {port}:127.0.0.1:{port} HOST")


def _row(peer: PeerState) -> tuple[str, ...]:
    heard = say("peers.last", ago=ago(peer.last), count=peer.asked) if peer.last else ""
    here = say("peers.here") if peer.connections else ""
    return peer.name, ", ".join(peer.models), here, heard
