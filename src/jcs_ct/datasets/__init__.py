"""Public data sets as slices in the one form. No torch: evaluation runs on the exported networks."""
