"""NTU RGB+D 60 and 120, under the name that configurations hold: `feeders.feeder_ntu.Feeder`."""

from skeleton_lab.data.feeders.feeder_ntu import Feeder

__all__ = ["Feeder"]
