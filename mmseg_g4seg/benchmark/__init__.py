"""Measures what refining costs: time and FLOPs by stage, memory, and the same beside plain alternatives.

Nothing of the product depends on this folder; `tools/benchmark.py` is its command line.
"""
