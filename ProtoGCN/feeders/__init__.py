"""The data sets that configurations name: `feeders.feeder_pyskl.Feeder`, which its own recipes are for, and others."""
