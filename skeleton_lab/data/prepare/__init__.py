"""Raw recordings to archives: the pipelines of data preparation."""
