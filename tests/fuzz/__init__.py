"""Mutated files for every reader: each ends with a result or an error of one line, in little time and memory.

PYTHONPATH=tests python -m fuzz --count 20000 --seed 1
"""
