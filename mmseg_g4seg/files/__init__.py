"""Masks in files: formats, and a folder of them refined into another."""
