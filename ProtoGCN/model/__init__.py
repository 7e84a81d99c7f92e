"""The model that configurations name: `model.protogcn.Model`."""
