"""The sections of `benchmarks/speed.py`: each module measures one thing and returns its figures for JSON."""
