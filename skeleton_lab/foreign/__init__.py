"""The files of PYSKL and MMAction2: their checkpoints and configs, and work directories made of them."""
