"""The engine of Skeleton Action Lab: what both model trees and the root scripts share."""
