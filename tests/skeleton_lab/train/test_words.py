"""What a run calls its joints and classes: by its options, its graph, its feeder, its record."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from skeleton_lab.class_names import NTU_60
from skeleton_lab.own_skeletons import MSR_ACTION3D_20, UTD_MHAD_20
from skeleton_lab.skeletons import NTU_25, OPENPOSE_18, UCLA_20, Skeleton
from skeleton_lab.train.words import Words, skeleton_of, words_of_feeder, words_of_run
from skeleton_lab.train.workdir import read_record
from tests.trees import open_tree

MINE = Skeleton("mine", ("chest", "head", "hips"), ((1, 0), (2, 0)), 0)


class Linked:
    """A graph class as published ones are: it knows its links, and nothing of skeletons."""

    def __init__(self, labeling_mode: str = "spatial") -> None:
        self.num_node, self.inward = UTD_MHAD_20.num_joints, list(UTD_MHAD_20.edges)


def config(graph: str = "", feeder: str = "", **options: object) -> SimpleNamespace:
    arguments = {"graph": graph, "graph_args": {"labeling_mode": "spatial"}} if graph else {}
    return SimpleNamespace(model_args=arguments, feeder=feeder, test_feeder_args=options, train_feeder_args={})


@pytest.mark.parametrize(("tree", "graph", "skeleton"), [
    ("CTR-GCN", "graph.ntu_rgb_d.Graph", NTU_25), ("CTR-GCN", "graph.ucla.Graph", UCLA_20),
    ("CTR-GCN", "graph.msr_action3d.Graph", MSR_ACTION3D_20), ("ST-GCN", "graph.ucla.Graph", UCLA_20),
    ("MS-G3D", "graph.kinetics.AdjMatrixGraph", OPENPOSE_18), ("MS-G3D", "graph.utd_mhad.AdjMatrixGraph", UTD_MHAD_20)])
def test_a_graph_tells_the_skeleton(tree: str, graph: str, skeleton: Skeleton) -> None:
    with open_tree(tree):
        assert skeleton_of(config(graph)) is skeleton


def test_links_options_and_feeders_tell_it_too() -> None:
    assert skeleton_of(config(f"{__name__}.Linked")) is UTD_MHAD_20
    assert skeleton_of(config(f"{__name__}.Linked", skeleton=f"{__name__}.MINE")) is MINE  # what is said comes first
    with open_tree("CTR-GCN"):
        assert skeleton_of(config(feeder="feeders.feeder_ntu.Feeder")) is NTU_25
    assert skeleton_of(config(), SimpleNamespace(skeleton=UCLA_20)) is UCLA_20
    for graph in ("nowhere.Graph", f"{__name__}.MINE", ""):
        assert skeleton_of(config(graph)) is None


def test_data_name_their_classes_or_are_a_whole_benchmark() -> None:
    """A model of sixty outputs on data of ten classes is not called by NTU RGB+D's names."""
    named = SimpleNamespace(class_names=["wave", "bow"], skeleton=NTU_25, label=[0, 1])
    assert words_of_feeder(named, config()) == Words(NTU_25, ("wave", "bow"))
    for labels, names in ((range(10), None), (range(60), NTU_60), ([], None)):
        feeder = SimpleNamespace(skeleton=NTU_25, label=np.array(labels, np.int64))
        assert words_of_feeder(feeder, config()) == Words(NTU_25, names)


def test_a_record_is_believed(tmp_path) -> None:
    words = Words(UTD_MHAD_20, ("wave", "bow"))
    (tmp_path / "run.json").write_text(json.dumps(words.recorded()))
    assert words_of_run(read_record(tmp_path), config(), 60) == words
    assert words_of_run({"skeleton": None, "class_names": None}, config(skeleton=f"{__name__}.MINE"), 60) == Words(MINE)
    assert words_of_run({}, config(skeleton="skeleton_lab.skeletons.NTU_25"), 60) == Words(NTU_25, NTU_60)  # published
    (tmp_path / "run.json").write_text("[")
    assert read_record(tmp_path) == {} == read_record(tmp_path / "nowhere")
