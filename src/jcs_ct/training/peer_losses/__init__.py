"""Losses of the peer segmenters, each as in its own paper: one file a paper, one function."""
