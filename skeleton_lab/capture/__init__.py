"""Videos and cameras to poses. Runs without PyTorch, in an environment that has a pose estimator (`make pose`)."""
