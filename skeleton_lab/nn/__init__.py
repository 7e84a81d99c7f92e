"""What models are built from: layers, blocks and operators. Knows no file and no training."""
