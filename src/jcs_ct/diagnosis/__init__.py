"""From a study to a diagnosis: classify, decide, segment, measure. No torch."""
