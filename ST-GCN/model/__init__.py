"""The model that configurations name: `model.stgcn.Model`."""
