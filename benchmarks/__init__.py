"""Benchmarks behind the claims about speed. `make bench`, or `python -m benchmarks [NAME ...]`, measures and records.

Each module has a function `measure`, which returns one result or several; its docstring says what is measured and
compared. Results are written to benchmarks/results/latest.json. Frames are drawn by pageflip.synthetic and cached in
PAGEFLIP_HOME/benchmarks. Speeds depend on the machine; ratios of variants that alternate in one run depend on it much
less.
"""
