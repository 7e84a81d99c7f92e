"""Which NW-UCLA recordings train and which validate; see `skeleton_lab.data.feeders.ucla_split`."""

from skeleton_lab.data.feeders.ucla_split import Recording, recordings

__all__ = ["Recording", "recordings"]
