"""One model in one process to one JSON line; many of them to a verdict."""
