"""The model that configurations name: `model.msg3d.Model`."""
