from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.template.loader import render_to_string
from pytest_django.fixtures import Settings

STATIC = Path(settings.BASE_DIR, "backoffice/static/backoffice")
TEMPLATES = sorted(Path(settings.BASE_DIR, "templates").rglob("*.html"))
PLAIN = ("400", "403", "403_csrf", "404", "500", "store_down", "database_down")
KINDS = (
    "not-staff",
    "suspended",
    "cancelled",
    "expired",
    "provider-down",
    "provider-answer",
    "other",
)
# What the content security policy would block, or what would leave this site.
REFUSED = re.compile(r"<style|<script(?! src=)|\s(style|on[a-z]+)=|https?://", re.I)


@pytest.mark.parametrize(
    "template", TEMPLATES, ids=lambda path: "-".join(path.parts[-2:])
)
def test_template_carries_nothing_inline_and_nothing_foreign(template: Path) -> None:
    assert not REFUSED.findall(template.read_text())


def test_stylesheet_loads_nothing() -> None:
    sheet = (STATIC / "site.css").read_text()
    assert "url(" not in sheet
    assert "@import" not in sheet


def test_icons_drawn_are_those_used() -> None:
    pages = "".join(template.read_text() for template in TEMPLATES)
    used = set(re.findall(r'parts/icon\.html" with name="(\w+)"', pages))
    assert used == set(re.findall(r'id="(\w+)"', (STATIC / "icons.svg").read_text()))


@pytest.mark.parametrize("page", PLAIN)
def test_error_page_needs_no_request_and_no_manifest(
    page: str, settings: Settings
) -> None:
    manifest = "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": manifest},
    }
    assert "R-1" in render_to_string(f"{page}.html", {"reference": "R-1"})


def test_every_kind_of_refusal_has_words_of_its_own() -> None:
    pages = [render_to_string("accounts/refused.html", {"kind": k}) for k in KINDS]
    headings = {page.partition("<h1>")[2].partition("</h1>")[0] for page in pages}
    assert len(headings) == len(KINDS)
