"""The models that configurations name: `model.ctrgcn.Model`, `model.baseline.Model`."""
