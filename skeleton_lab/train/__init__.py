"""A resolved configuration to a work directory. Knows no model's name and no file format of clips."""
