"""Where a tree's `main.py` enters the engine: the one place that knows all rooms."""
