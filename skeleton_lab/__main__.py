"""List the commands: python3 -m skeleton_lab."""

from skeleton_lab import __version__
from skeleton_lab.command.listing import listing

if __name__ == "__main__":
    print(f"Skeleton Action Lab {__version__}\n\n{listing()}")
