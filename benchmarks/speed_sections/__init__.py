"""The parts of `benchmarks/speed.py`: each module measures one thing and gives its figures for JSON."""
