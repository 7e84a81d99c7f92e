"""Several streams, one prediction: score files to one accuracy."""
