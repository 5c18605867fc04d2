"""Measurements, never tests: one question each, next to a yardstick measured in the same run.

python -m benchmarks            everything; prints a table and writes benchmarks/results/latest.json
python -m benchmarks --quick    shorter runs, to see whether a change did anything
"""
