"""The protocols of `experiments/generalisation.py`, one module each, and what they share."""
