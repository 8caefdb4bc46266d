from __future__ import annotations

from benchmarks.proxy.load import Burst
from benchmarks.proxy.memory import Memory
from benchmarks.proxy.rounds import Kind, Results
from benchmarks.proxy.targets import Verdict, best, ratio, verdicts

MEGABYTE = 2**20


def results(**rates: list[float]) -> Results:
    found = Results()
    for name, each in rates.items():
        for rate in each:
            found.add(name, Kind.PASS, Burst(rate, p50=1, p99=1000 / rate))
    return found


def verdict(of: list[Verdict], beginning: str) -> Verdict:
    return next(each for each in of if each.what.startswith(beginning))


def test_ratio_is_the_median_of_the_rounds_own() -> None:
    # In the second round the machine had other work, for both alike.
    measured = results(door1=[300, 30, 330], django=[100, 10, 100])
    assert ratio(measured, ("door1", Kind.PASS), ("django", Kind.PASS)) == 3


def test_target_is_neither_met_nor_missed_without_its_peer() -> None:
    found = verdict(verdicts(results(door2=[1000]), {}), "door 2 / mod_auth_openidc")
    assert found.found is None
    assert not found.is_met


def test_best_peer_is_unknown_when_one_was_left_out() -> None:
    assert best(results(h3=[1000]), ("h3", "express")) == ""


def test_tail_latency_must_be_at_most_the_peers() -> None:
    measured = results(door1=[100], h3=[99], express=[50])
    assert verdict(verdicts(measured, {}), "p99: door 1").is_met


def test_tail_latency_above_the_peers_is_missed() -> None:
    measured = results(door1=[99], h3=[100], express=[50])
    assert not verdict(verdicts(measured, {}), "p99: door 1").is_met


def test_refusal_must_cost_less_than_half() -> None:
    measured = results(door1=[100])
    measured.add("door1", Kind.DEAD, Burst(200, p50=1, p99=1))
    found = verdict(verdicts(measured, {}), f"door1: cost of {Kind.DEAD}")
    assert found.found == 0.5
    assert not found.is_met


def test_growth_with_the_body_is_missed() -> None:
    memories = {"door1": Memory(rest=0, idle=0, download=0, upload=90 * MEGABYTE)}
    found = verdicts(Results(), memories)
    assert verdict(found, "door1: growth by download").is_met
    assert not verdict(found, "door1: growth by upload").is_met
