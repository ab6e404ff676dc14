"""Data sets that mmseg lacks, and those that are checked before a run."""
