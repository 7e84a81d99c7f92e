"""The data sets that configurations name: `feeders.feeder_ntu.Feeder`, `feeders.feeder_ucla.Feeder`."""
