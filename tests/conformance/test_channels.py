# SPDX-License-Identifier: AGPL-3.0-or-later
"""Every channel keeps the contract, against the best far side that can be had."""

import asyncio
from pathlib import Path

import pytest

from tests.conformance.cases import CASES, Case, Scene
from tests.conformance.counterpart import Counterpart, registered
from tests.conformance.matrix import Outcome, Outcomes

CASE_SECONDS = 60
CHANNELS = registered()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("channel", CHANNELS)
def test_channel(channel: str, case: Case, outcomes: Outcomes, tmp_path: Path) -> None:
    far = CHANNELS[channel]()
    outcome = outcomes.setdefault(
        channel, Outcome(evidence=far.evidence, server=far.server, abilities=far.abilities)
    )
    if reason := far.missing():
        outcome.missing = reason
        pytest.skip(reason)
    if not case.needs <= far.abilities:
        outcome.cases[case.name] = "n/a"
        return
    outcome.cases[case.name] = "fail"
    scene = Scene(far, tmp_path)
    asyncio.run(_run(case, scene, far))
    outcome.cases[case.name] = "pass"
    outcome.capabilities = scene.capabilities or outcome.capabilities


async def _run(case: Case, scene: Scene, far: Counterpart) -> None:
    await far.start()
    try:
        async with asyncio.timeout(CASE_SECONDS):
            await case.run(scene)
    finally:
        await far.stop()
