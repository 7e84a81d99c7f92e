"""Trained models as files that run without this lab: ONNX and torch.export, each checked before it is kept."""
