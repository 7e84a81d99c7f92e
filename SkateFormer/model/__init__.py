"""The models that configurations name: `model.skateformer.Model`, and its equations, `model.reference.Model`."""
