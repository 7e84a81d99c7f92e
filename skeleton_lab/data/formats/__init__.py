"""Files to arrays and back, one module a format. Large ones stay mapped; knows nothing of clips for training."""
