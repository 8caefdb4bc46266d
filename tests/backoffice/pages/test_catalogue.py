from __future__ import annotations

import gettext
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po
from django.conf import settings

FOLDERS = {
    code: Path(settings.BASE_DIR, "locale", code, "LC_MESSAGES")
    for code, _ in settings.LANGUAGES
}


def read(code: str) -> Catalog:
    with (FOLDERS[code] / "django.po").open("rb") as source:
        return read_po(source, locale=code)


def texts(code: str) -> list[Message]:
    return [message for message in read(code) if message.id]


def strings(message: Message) -> tuple[str, ...]:
    found = message.string
    return (found,) if isinstance(found, str) else tuple(found)


def first(text: str | tuple[str, ...] | list[str]) -> str:
    return text if isinstance(text, str) else text[0]


def test_every_text_has_a_korean_translation_nobody_doubts() -> None:
    assert [m.id for m in texts("ko") if m.fuzzy or not all(strings(m))] == []


def test_english_and_korean_have_the_same_texts() -> None:
    assert {m.id for m in texts("en")} == {m.id for m in texts("ko")}


@pytest.mark.parametrize("code", FOLDERS)
def test_compiled_catalogue_is_current(code: str) -> None:
    with (FOLDERS[code] / "django.mo").open("rb") as compiled:
        found = gettext.GNUTranslations(compiled)
    for message in (m for m in texts(code) if any(strings(m))):
        source, wanted = first(message.id), strings(message)[0]
        if message.pluralizable:
            assert found.ngettext(*message.id, 1) == wanted
        elif message.context:
            assert found.pgettext(message.context, source) == wanted
        else:
            assert found.gettext(source) == wanted
