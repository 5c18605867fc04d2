"""Measurements, never tests: one question each, next to a yardstick measured in the same run.

python -m benchmarks                everything; prints a table and writes benchmarks/results/latest.json
python -m benchmarks --quick        shorter runs, to see whether a change did anything
python -m benchmarks --only http    one question

questions/     what is asked: each module yields rows
comparison     interleaved runs of contenders, and the rows made of them
load, sockets  callers, written to the bone so that their cost does not hide the server's
processes      the servers that are measured, as child processes; ``servers`` is what runs in them
"""
