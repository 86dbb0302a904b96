"""What `experiments/generalisation.py` trains and judges: one module a protocol, above what they share."""
