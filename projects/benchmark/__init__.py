"""Measures what refining costs: time and FLOPs by stage, memory, and the same beside plain alternatives.

Nothing of the product depends on this folder; `python -m projects.benchmark` is its command line.
"""
