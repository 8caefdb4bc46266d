"""What is measured, in the order in which a round goes through it.

A new one is a class of its own in a module of its own, and a line here.
"""

from __future__ import annotations

from benchmarks.proxy.subjects.apache import ApacheOpenIdc
from benchmarks.proxy.subjects.django import StockDjango
from benchmarks.proxy.subjects.doors import Door1, Door2, Door2WithoutLua, Door3
from benchmarks.proxy.subjects.nginx import PlainNginx
from benchmarks.proxy.subjects.node import H3, Express, H3OnUndici
from benchmarks.proxy.subjects.subject import Subject

SUBJECTS: tuple[type[Subject], ...] = (
    Door1,
    Door2,
    Door2WithoutLua,
    Door3,
    H3,
    H3OnUndici,
    Express,
    StockDjango,
    ApacheOpenIdc,
    PlainNginx,
)
