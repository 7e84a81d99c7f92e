"""Files to clips: archives, layouts, transforms. Knows nothing of training."""
