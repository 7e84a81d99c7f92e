"""Skeletons as pictures: one drawing for the report, for GIF and for MP4."""
