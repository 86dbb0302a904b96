"""Arithmetic on predictions and splits; knows neither networks nor files."""
