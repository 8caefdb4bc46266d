from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

import pytest

from backoffice.demo.children import Child, kernel_tether_is_safe
from tests.backoffice.demo.processes import first_line, is_gone, python
from tests.waiting import wait_until

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""
PARENT = """
import sys, time
from pathlib import Path
from backoffice.demo.children import Child
tether = {"kernel": True, "watchdog": False, "default": None}[sys.argv[2]]
child = Child("child", ["sleep", "600"], log=Path(sys.argv[1]), kernel_tether=tether)
print(child.pid, flush=True)
time.sleep(600)
"""
GRANDPARENT = """
import subprocess, time
print(subprocess.Popen(["sleep", "600"]).pid, flush=True)
time.sleep(600)
"""

on_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the kernel's tether is Linux's"
)


@pytest.mark.parametrize(
    "tether", [pytest.param("kernel", marks=on_linux), "watchdog", "default"]
)
def test_child_dies_with_its_parent(tmp_path: Path, tether: str) -> None:
    with python("-c", PARENT, str(tmp_path / "log"), tether) as parent:
        pid = int(first_line(parent))
        parent.kill()
    assert is_gone(pid)


@pytest.mark.parametrize("tether", [None, False])
def test_child_stops_when_told(tmp_path: Path, tether: bool | None) -> None:
    child = Child("child", ["sleep", "600"], log=tmp_path / "log", kernel_tether=tether)
    assert child.is_alive()
    child.stop()
    assert child.exit_code == -signal.SIGTERM


def test_child_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = Child("child", [sys.executable, "-c", STUBBORN], log=log)
    assert wait_until(lambda: child.last_lines() == "ready")
    child.stop(timeout=0.2)
    assert child.exit_code == -signal.SIGKILL


def test_child_of_a_child_ends_with_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = Child("child", [sys.executable, "-c", GRANDPARENT], log=log)
    assert wait_until(lambda: bool(child.last_lines()))
    grandchild = int(child.last_lines())
    child.stop()
    assert is_gone(grandchild)


def test_child_whose_program_is_missing_says_so(tmp_path: Path) -> None:
    child = Child("child", ["/no/such/program"], log=tmp_path / "log")
    assert wait_until(lambda: not child.is_alive())
    child.stop()
    assert "cannot run /no/such/program" in child.last_lines()


def test_child_gets_the_environment_and_the_folder(tmp_path: Path) -> None:
    script = "import os; print(os.environ['GIVEN'], os.getcwd(), 'HOME' in os.environ)"
    child = Child(
        "child",
        [sys.executable, "-c", script],
        log=tmp_path / "log",
        environment={"GIVEN": "yes"},
        folder=tmp_path,
    )
    assert wait_until(lambda: not child.is_alive())
    child.stop()
    assert child.last_lines() == f"yes {tmp_path.resolve()} False"


def test_kernel_tether_is_not_for_children_of_short_threads() -> None:
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(kernel_tether_is_safe()))
    thread.start()
    thread.join()
    assert answers == [False]
