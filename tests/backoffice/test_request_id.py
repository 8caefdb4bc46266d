from __future__ import annotations

import pytest
from django.test import Client

from backoffice.request_id import HEADER

pytestmark = pytest.mark.django_db


def test_every_answer_has_its_own(client: Client) -> None:
    one, two = client.get("/sign-in/")[HEADER], client.get("/sign-in/")[HEADER]
    assert one != two
    assert len(one) == 16


def test_id_from_a_proxy_is_kept(client: Client) -> None:
    answer = client.get("/sign-in/", headers={HEADER: "abcdef-0123456789"})
    assert answer[HEADER] == "abcdef-0123456789"


@pytest.mark.parametrize("given", ["", "short", "x" * 65, "a b c d e f", "<script>aaa"])
def test_id_of_another_form_is_replaced(client: Client, given: str) -> None:
    assert client.get("/sign-in/", headers={HEADER: given})[HEADER] != given
