"""The paper's tables and figures on public data under one protocol; `experiments/reproduce.py` runs it."""
