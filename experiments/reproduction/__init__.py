"""The paper's tables and figures again, on public data under one protocol; `experiments/reproduce.py` runs it."""
