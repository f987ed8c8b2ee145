"""What the claims about speed rest on. `make bench`, or `python -m benchmarks [NAME ...]`, measures and records.

One module per benchmark, each with a function `measure() -> Result`; its docstring says what is measured and against
what. Results go to benchmarks/results/latest.json. Frames are drawn by pageflip.synthetic and kept in
PAGEFLIP_HOME/benchmarks for the next run. Speeds depend on the machine; ratios of contestants that alternate in one
run depend on it much less.
"""
