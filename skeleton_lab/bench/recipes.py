"""The models that the benchmark knows, each at its paper's recipe. Adding a model is adding a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NUM_CLASS = 60
NUM_JOINTS = 25
NUM_PERSON = 2
NTU60_EPOCH_CLIPS = 40_091  # training clips of NTU RGB+D 60, cross-subject


@dataclass(frozen=True)
class Recipe:
    """A model and how its authors train it on NTU RGB+D 60.

    Attributes:
        tree: the folder that its process runs in, relative to the repository root.
        model, arguments: dotted path and keyword arguments of the model's class.
        batch_size: clips per optimiser step. forward_batch_size: clips per forward pass.
        num_frames: T of a clip. epochs: length of the recipe. num_joints: V.
        optimizer: "SGD" (momentum 0.9, Nesterov) or "AdamW".
        smaller_batch_flag: the training command's flag for fewer clips per forward pass.
        cpu_clips: clips per step when timed on a CPU, where the recipe's batch would take too long.
        probe_clips: the two batch sizes that a prediction of memory extrapolates from.
    """

    name: str
    tree: str
    model: str
    batch_size: int
    forward_batch_size: int
    num_frames: int
    epochs: int
    optimizer: str = "SGD"
    smaller_batch_flag: str = "--forward-batch-size"
    cpu_clips: int = 4
    probe_clips: tuple[int, int] = (1, 2)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    num_joints: int = NUM_JOINTS


_CTRGCN_ARGUMENTS = {"num_class": NUM_CLASS, "num_point": NUM_JOINTS, "num_person": NUM_PERSON,
                     "graph": "graph.ntu_rgb_d.Graph", "graph_args": {"labeling_mode": "spatial"}}
_MSG3D_ARGUMENTS = {"num_class": NUM_CLASS, "num_point": NUM_JOINTS, "num_person": NUM_PERSON, "num_gcn_scales": 13,
                    "num_g3d_scales": 6, "graph": "graph.ntu_rgb_d.AdjMatrixGraph"}
_SKATEFORMER_ARGUMENTS = {"num_class": NUM_CLASS, "num_point": 24, "num_person": NUM_PERSON, "type_1_size": [8, 8],
                          "type_2_size": [8, 12], "type_3_size": [8, 8], "type_4_size": [8, 12], "attn_drop": 0.5,
                          "drop_path": 0.2, "index_t": True}

RECIPES = {recipe.name: recipe for recipe in (
    # Chen et al., ICCV 2021, and its published NTU-60 configuration; the baseline is trained the same way.
    Recipe("ctrgcn", "CTR-GCN", "model.ctrgcn.Model", batch_size=64, forward_batch_size=64, num_frames=64, epochs=65,
           arguments=_CTRGCN_ARGUMENTS),
    # Liu et al., CVPR 2020, and its published NTU-60 configuration: 32 clips as two passes of 16.
    Recipe("msg3d", "MS-G3D", "model.msg3d.Model", batch_size=32, forward_batch_size=16, num_frames=300, epochs=50,
           cpu_clips=1, arguments=_MSG3D_ARGUMENTS),
    Recipe("baseline", "CTR-GCN", "model.baseline.Model", batch_size=64, forward_batch_size=64, num_frames=64,
           epochs=65, arguments=_CTRGCN_ARGUMENTS),
    # Duan et al., ACM MM 2022: ST-GCN++.
    Recipe("stgcn", "ST-GCN", "model.stgcn.Model", batch_size=128, forward_batch_size=128, num_frames=100, epochs=80,
           arguments=_CTRGCN_ARGUMENTS),
    # Do and Kim, ECCV 2024, and its published NTU-60 configuration.
    Recipe("skateformer", "SkateFormer", "model.skateformer.Model", batch_size=128, forward_batch_size=128,
           num_frames=64, epochs=500, optimizer="AdamW", cpu_clips=2, arguments=_SKATEFORMER_ARGUMENTS, num_joints=24),
    # Zhou et al., ICCV 2025: Hyper-GCN, base, and its published NTU-60 configuration.
    Recipe("hypergcn", "Hyper-GCN", "model.hypergcn.Model", batch_size=64, forward_batch_size=64, num_frames=64,
           epochs=140, arguments={"graph": "graph.ntu_rgb_d.Graph", "hyper_joints": 3}),
    # Liu et al., CVPR 2025, joint stream.
    Recipe("protogcn", "ProtoGCN", "model.protogcn.Model", batch_size=16, forward_batch_size=16, num_frames=100,
           epochs=150, cpu_clips=2, arguments={"num_class": NUM_CLASS, "num_prototype": 400}),
    # Zhou et al., CVPR 2024, and its published NTU-60 configuration.
    Recipe("blockgcn", "BlockGCN", "model.blockgcn.Model", batch_size=64, forward_batch_size=64, num_frames=64,
           epochs=140, arguments=_CTRGCN_ARGUMENTS),
    # Wu et al., ACM MM 2024, and its published NTU-60 configuration.
    Recipe("freqmixformer", "FreqMixFormer", "model.freqmixformer.Model", batch_size=128, forward_batch_size=128,
           num_frames=64, epochs=100, cpu_clips=2, arguments=_CTRGCN_ARGUMENTS),
    # The defaults of train_skeleton_gcn.py and train_npz_mlp.py.
    Recipe("gcn", ".", "skeleton_lab.toys.models.SkeletonGCN", batch_size=32, forward_batch_size=32, num_frames=64,
           epochs=5, optimizer="AdamW", smaller_batch_flag="--batch-size", cpu_clips=16, probe_clips=(8, 16),
           arguments={"num_class": NUM_CLASS}),
    Recipe("mlp", ".", "skeleton_lab.toys.models.SkeletonMLP", batch_size=256, forward_batch_size=256, num_frames=32,
           epochs=5, optimizer="AdamW", smaller_batch_flag="--batch-size", cpu_clips=64, probe_clips=(64, 128),
           arguments={"num_class": NUM_CLASS}),
)}
