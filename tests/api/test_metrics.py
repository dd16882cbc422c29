# SPDX-License-Identifier: AGPL-3.0-or-later
"""What monitoring reads: health, readiness and numbers that are true."""

import re

import haoya
from tests.api.daemon import Daemon, ModelServer, answer, ask, until

SAMPLE = re.compile(
    r"^(?P<name>[a-z_]+)(\{(?P<labels>[a-z_]+=\"(\\.|[^\"\\])*\"(,[a-z_]+=\"(\\.|[^\"\\])*\")*)\})?"
    r" (?P<value>-?[0-9.]+(e[+-][0-9]+)?)$"
)


def read(daemon: Daemon) -> dict[str, float]:
    """All samples by name and labels; the format (Prometheus text 0.0.4) is checked."""
    with daemon.owner() as owner:
        reply = owner.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert reply.text.endswith("\n")
    samples: dict[str, float] = {}
    family = ""
    for line in reply.text.splitlines():
        if line.startswith("# HELP "):
            assert line.split(" ")[2] not in samples
            continue
        if line.startswith("# TYPE "):
            _, _, family, kind = line.split(" ")
            assert kind == ("counter" if family.endswith("_total") else "gauge")
            continue
        found = SAMPLE.match(line)
        assert found, line
        assert found["name"] == family, "a sample stands outside its family"
        samples[line.rpartition(" ")[0]] = float(found["value"])
    return samples


def test_health_needs_no_key_and_tells_the_version(daemon: Daemon) -> None:
    with daemon.client() as stranger:
        assert stranger.get("/healthz").json() == {"ok": True, "version": haoya.__version__}
        assert stranger.head("/healthz").status_code == 200
        ready = stranger.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"ready": True, "reason": ""})


def test_readiness_names_the_parts_to_those_who_are_signed_in(daemon: Daemon) -> None:
    with daemon.owner() as owner:
        ready = owner.get("/readyz").json()
    assert ready["parts"]["journal"] == "open"
    assert ready["parts"]["channels.local"] == "open"


def test_the_numbers_follow_what_happens(daemon: Daemon, model: ModelServer) -> None:
    before = read(daemon)
    with daemon.owner() as owner:
        said = owner.post("/v1/chat/completions", json=ask("count me"))
        assert answer(said) == "heard: count me"
        owner.post("/v1/chat/completions", json=ask('tool clock {"zone": "Asia/Tokyo"}'))

    def grown(name: str) -> float:
        return read(daemon)[name] - before.get(name, 0)

    until(lambda: grown("haoya_messages_answered_total") == 2)
    assert grown("haoya_messages_received_total") == 2
    assert grown('haoya_tool_calls_total{result="ok"}') == 1
    tokens = [name for name in read(daemon) if name.startswith("haoya_model_tokens_total")]
    assert sum(grown(name) for name in tokens if 'kind="completion"' in name) > 0
    assert grown("haoya_journal_entries") > 4
    now = read(daemon)
    assert now[f'haoya_up{{version="{haoya.__version__}"}}'] == 1
    assert now["haoya_ready"] == 1
    assert now["haoya_resident_bytes"] > 10_000_000
    assert now["haoya_journal_bytes"] > 0
    assert now["haoya_commit_seconds"] > 0
    assert now['haoya_part_state{part="journal",state="open"}'] == 1
    assert now['haoya_part_state{part="journal",state="parked"}'] == 0
    assert now["haoya_uptime_seconds"] > 0
    assert now['haoya_owed{channel="local"}'] == 0
    assert 'haoya_last_heard_seconds{channel="local"}' in now
