"""Measures the doors beside their peers: `python -m benchmarks.proxy`.

The peers, small programs of our own, are in `benchmarks/peers`.
"""
