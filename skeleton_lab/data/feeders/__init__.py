"""Archives to clips for training: feeders and their transforms."""
