"""Files to clips, in four rooms: prepare, feeders and generate stand on formats. Knows nothing of training."""
