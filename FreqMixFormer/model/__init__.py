"""The model that configurations name: `model.freqmixformer.Model`."""
