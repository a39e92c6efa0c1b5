"""Benchmarks with a known truth: which explanation of strokes is right."""

from __future__ import annotations

from sightline.benchmark.findings import Findings
from sightline.benchmark.strokes import BenchmarkSettings, benchmark_strokes

__all__ = ["BenchmarkSettings", "Findings", "benchmark_strokes"]
