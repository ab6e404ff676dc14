"""The main job on procedural scenes with the embedded prior: one table and one gallery in three minutes."""
