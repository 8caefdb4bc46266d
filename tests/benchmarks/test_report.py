from __future__ import annotations

from pathlib import Path

from benchmarks import report


def test_write_replaces_its_own_section_and_no_other(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    report.write("sessions", "sessions, first", readme)
    report.write("proxy", "proxy, first", readme)
    report.write("sessions", "sessions, \\1 again", readme)
    text = readme.read_text(encoding="utf-8")
    assert text.startswith(report.HEADING)
    assert "sessions, first" not in text
    assert text.index("sessions, \\1 again") < text.index("proxy, first")
