"""NW-UCLA, under the name that configurations hold: `feeders.feeder_ucla.Feeder`."""

from skeleton_lab.data.feeder_ucla import Feeder

__all__ = ["Feeder"]
