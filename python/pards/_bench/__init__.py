"""Measuring pards beside others: what `pards bench` and the programs of benchmarks/ share."""
