"""The model that configurations name: `model.blockgcn.Model`."""
