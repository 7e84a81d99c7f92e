"""Which NW-UCLA recordings train and which validate; see `skeleton_lab.data.feeders.ucla_split`."""

from skeleton_lab.data.feeders.ucla_split import ListedRecording, recordings

__all__ = ["ListedRecording", "recordings"]
