"""What the processes of `tests.forked` and `tests.ranks` have imported when they start."""

import os

os.environ["JOBLIB_MULTIPROCESSING"] = "0"  # scikit-learn's helper would leave a semaphore behind

import matplotlib.backends.backend_agg  # noqa: F401
import pytest  # noqa: F401
import sklearn.metrics  # noqa: F401
import torch._dynamo
import torch.utils.tensorboard  # noqa: F401

import skeleton_lab.train.phases  # noqa: F401
