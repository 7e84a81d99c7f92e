"""Recordings to labels: files of any kind the lab knows, prepared as training data are, through a trained model."""
