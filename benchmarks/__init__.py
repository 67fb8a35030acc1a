"""Compares adaptive dropout with other ways to a smaller encoder.

``python -m benchmarks.compare`` runs the comparison and ``python -m
benchmarks.tables`` writes the tables from what it left on disk. ``rows`` says what is
compared, ``plan`` turns that into commands, ``jobs`` runs them.
"""
