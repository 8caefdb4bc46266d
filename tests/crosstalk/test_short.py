"""The attack in short; `make test-crosstalk` has it at full length."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import nginx
from tests.crosstalk.attack import ENTRANCES, Ground, attack, running_ground
from tests.crosstalk.upstreams import KINDS

RESPONSES = 20 * len(KINDS)

pytestmark = pytest.mark.skipif(nginx.find() is None, reason=nginx.HOW_TO_GET_IT)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with running_ground(tmp_path_factory.mktemp("crosstalk")) as running:
        yield running


@pytest.mark.parametrize("keepalive", ["person", "off"])
@pytest.mark.parametrize("entrance", ENTRANCES)
def test_nobody_gets_another_person_s_response(
    ground: Ground, entrance: str, keepalive: str
) -> None:
    found = attack(ground, entrance, keepalive, RESPONSES)
    assert found.total.responses >= RESPONSES, found.kinds
    assert found.total.passed > RESPONSES / 2, found.kinds
    assert (found.total.other_person, found.total.altered) == (0, 0), found.examples
    if keepalive == "off" or entrance != "embedded":
        assert found.total.other_request == 0, found.examples


def test_the_attack_finds_what_it_looks_for(ground: Ground) -> None:
    """nginx with connections for everybody mixes up what such upstreams send."""
    kinds = ["second-late", "one-behind"]
    found = attack(ground, "nginx-lua", "shared", 600, kinds)
    assert found.total.other_person > 0
