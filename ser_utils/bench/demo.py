"""The live demo: latency of answers and of streaming, and twenty clients for a minute."""

from __future__ import annotations

from ser_utils.app import load
from ser_utils.bench import measuring


def run() -> int:
    """0 where latency, pace, errors and memory hold their limits."""
    return load.bench(measuring.print_table, measuring.write)
