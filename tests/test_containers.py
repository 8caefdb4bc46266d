"""deploy/Dockerfile and compose.yaml need Docker to run; what they name exists."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

from django.core.management import load_command_class

from tests.journeys.site import ROOT

DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = (ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8")
# What an operator puts beside compose.yaml.
OPERATORS = {"routes.toml", "tls"}


def test_the_build_s_own_settings_are_enough_for_it() -> None:
    (run,) = re.findall(r"^RUN (SECRET_KEY=.*?)\n\n", DOCKERFILE, re.M | re.S)
    words = run.replace("\\\n", " ").split()
    environment = dict(word.split("=", 1) for word in words if "=" in word)
    command = words[words.index("manage.py") :]
    done = subprocess.run(
        [sys.executable, *command, "--dry-run"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_image_is_made_with_the_locked_tools() -> None:
    (version,) = re.findall(r"uv==(\S+)", DOCKERFILE)
    assert f"UV_VERSION := {version}\n" in (ROOT / "Makefile").read_text("utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert set(re.findall(r"--extra (\S+)", DOCKERFILE)) <= set(
        project["optional-dependencies"]
    )


def test_what_is_started_exists() -> None:
    (config,) = re.findall(r'"--config", "([^"]+)"', DOCKERFILE)
    assert (ROOT / config).is_file()
    for place in re.findall(r"\./([\w./-]+):", COMPOSE):
        assert place in OPERATORS or (ROOT / "deploy" / place).exists(), place


def test_the_export_is_asked_for_as_the_command_takes_it() -> None:
    (asked,) = re.findall(r"manage\.py export_nginx (.*?)\n    volumes", COMPOSE, re.S)
    command = load_command_class("backoffice", "export_nginx")
    options = command.create_parser("manage.py", "export_nginx").parse_args(
        asked.split()
    )
    assert options.site == "site:8000"
    assert f"{options.folder}:ro" in COMPOSE
    assert f"{options.snippets}:ro" in COMPOSE


def test_nginx_is_the_trusted_proxy() -> None:
    (trusted,) = re.findall(r"TRUSTED_PROXIES=(\S+)", COMPOSE)
    assert f"subnet: {trusted}" in COMPOSE
