"""Segmenters that the paper compares with, and two beyond it: one file a paper, one interface."""
