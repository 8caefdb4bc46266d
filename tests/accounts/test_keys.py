from __future__ import annotations

import pytest
from pytest_django.fixtures import Settings

from accounts import keys

KEY = "k" * 32


def test_id_has_its_form_and_is_no_key() -> None:
    identifier = keys.session_id(KEY)
    assert keys.is_session_id(identifier)
    assert not keys.is_session_key(identifier)
    assert KEY not in identifier


def test_id_depends_on_the_key_and_on_the_secret(settings: Settings) -> None:
    first = keys.session_id(KEY)
    assert keys.session_id("j" * 32) != first
    settings.SECRET_KEY = "another secret"
    assert keys.session_id(KEY) != first


def test_every_accepted_secret_gives_a_candidate(settings: Settings) -> None:
    old = keys.session_id(KEY)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another secret"
    assert keys.session_ids(KEY) == [keys.session_id(KEY), old]


@pytest.mark.parametrize(
    "value",
    [None, 1, "", "k" * 31, "k" * 33, "K" * 32, "k" * 31 + "\n", "k" * 31 + "é"],
)
def test_key_of_another_form_is_none(value: object) -> None:
    assert not keys.is_session_key(value)


def test_same_subject_of_another_issuer_is_another_person() -> None:
    assert keys.person("https://a", "1") != keys.person("https://b", "1")
    assert keys.person("https://a", "1") != keys.origin("https://a", "1")


def test_names_do_not_run_into_each_other() -> None:
    assert keys.person("https://a", "b") != keys.person("https://ab", "")


def test_session_and_its_cutoff_share_a_slot() -> None:
    identifier = keys.session_id(KEY)
    tag = "{" + identifier[0] + "}"
    assert tag in keys.value(identifier)
    assert tag in keys.cutoff(identifier[0])
    assert tag in keys.tombstone(identifier)
