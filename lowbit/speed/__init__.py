"""Benchmark records, and what a machine can do at most."""
