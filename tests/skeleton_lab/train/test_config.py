"""Command line > YAML > default."""

from pathlib import Path

import pytest
import yaml

from skeleton_lab.errors import UserError
from skeleton_lab.train.config import read_config, save_config
from skeleton_lab.train.spec import Flag, TreeSpec

SPEC = TreeSpec(root=Path("."), defaults={"base_lr": 0.05}, flags=(Flag("extra", int, 7, "an own flag"),))


def read(*words: str, spec: TreeSpec = SPEC):
    return read_config(spec, list(words))


@pytest.fixture
def config_file(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "c.yaml"
        path.write_text(text)
        return str(path)

    return write


def test_priority_of_command_line_over_yaml_over_tree_over_engine(config_file):
    path = config_file("num_epoch: 3\nbase_lr: 0.2\nstep: [1, 2]\n")
    assert read().base_lr == 0.05
    assert read().num_epoch == 80
    config = read("--config", path)
    assert (config.num_epoch, config.base_lr, config.step) == (3, 0.2, [1, 2])
    config = read("--config", path, "--base-lr", "0.3", "--step", "9")
    assert (config.num_epoch, config.base_lr, config.step) == (3, 0.3, [9])
    assert config.extra == 7


def test_mappings_merge_at_the_top_level(config_file):
    path = config_file("train_feeder_args: {a: 1, b: {x: 1, y: 2}}\n")
    config = read("--config", path, "--train-feeder-args", "b={'x':5}", "--train-feeder-args", "c=3,d=word")
    assert config.train_feeder_args == {"a": 1, "b": {"x": 5}, "c": 3, "d": "word"}


def test_defaults_are_not_shared_between_runs():
    read("--train-feeder-args", "a=1").train_feeder_args["b"] = 2
    assert read().train_feeder_args == {}


@pytest.mark.parametrize("words", [("--work_dir", "w"), ("--work-dir", "w"), ("--work_dir=w",)])
def test_hyphens_and_underscores_are_alike(words):
    assert read(*words).work_dir == "w"


@pytest.mark.parametrize("flag", ["-model_saved_name", "--model_saved_name", "--model-saved-name"])
def test_upstream_spelling_of_model_saved_name(flag):
    assert read(flag, "n").model_saved_name == "n"


@pytest.mark.parametrize(("word", "value"), [("yes", True), ("T", True), ("1", True), ("No", False), ("0", False)])
def test_booleans_take_upstream_words(word, value):
    assert read("--nesterov", word).nesterov is value


def test_switches_need_no_value_but_take_one(config_file):
    assert read("--half").half is True
    assert read("--config", config_file("half: true"), "--half", "no").half is False


@pytest.mark.parametrize(("text", "part"), [
    ("base_lrr: 0.1", "unknown key 'base_lrr'; did you mean 'base_lr'?"),
    ("batch_size: many", "key 'batch_size'"),
    ("batch_size: 1.5", "key 'batch_size'"),
    ("batch_size: 0", "key 'batch_size'"),
    ("nesterov: perhaps", "key 'nesterov'"),
    ("optimizer: RMSprop", "expected one of SGD, Adam"),
    ("train_feeder_args: 3", "key 'train_feeder_args'"),
    ("- a\n- b", "expected 'key: value' lines"),
    ("a: [", "not valid YAML"),
    ("!!python/object/apply:os.system ['true']", "not valid YAML"),
    ("seed: 2001-99-99", "not valid YAML (month must be in 1..12)"),
    ("[" * 5000, "more than a config can have to say"),
    ("[" * 300, "not valid YAML"),
    ("model_args: &a {a: *a}", "more than a config can have to say"),
    ("#" * (1 << 20) + "\nseed: 1", "more than a config can have to say"),
    ("base_lr: " + "9" * 5000, "not valid YAML"),
])
def test_bad_yaml_names_file_and_key(config_file, text, part):
    path = config_file(text)
    with pytest.raises(UserError) as caught:
        read("--config", path)
    assert str(caught.value).startswith(path)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_string_in_yaml_goes_through_the_flag_type(config_file):
    assert read("--config", config_file("base_lr: 1e-1")).base_lr == 0.1  # YAML 1.1 reads 1e-1 as a string


def test_missing_config_file():
    with pytest.raises(UserError, match=r"nowhere\.yaml: no such file"):
        read("--config", "nowhere.yaml")


@pytest.mark.parametrize("words", [("--nesterov", "perhaps"), ("--train-feeder-args", "bone"), ("--batch-size", "-1"),
                                   ("--phase", "dance"), ("--unheard-of", "1"), ("--train-feeder-args", "a=1", "b=2")])
def test_bad_words_are_usage_errors(words):
    with pytest.raises(SystemExit) as caught:
        read(*words)
    assert caught.value.code == 2


def test_chunks_divide_the_batch():
    assert read("--batch-size", "8").forward_batch_size == 8
    with pytest.raises(UserError, match="does not divide"):
        read("--batch-size", "8", "--forward-batch-size", "3")


def test_device_is_a_list_of_indices_or_cpu(config_file):
    assert read("--device", "cuda:1").device == [1]
    assert read("--device", "cpu").device == ["cpu"]
    assert read("--config", config_file("device: 2")).device == [2]
    assert read("--config", config_file("device: [0, 1]")).device == [0, 1]  # upstream's Kinetics configs


def test_several_gpus_on_the_command_line_are_told_of_torchrun():
    with pytest.raises(UserError, match=r"torchrun --nproc_per_node=2 .*--device 0 1"):
        read("--device", "0", "1")


def test_saved_config_reads_back_the_same(tmp_path):
    config = read("--train-feeder-args", "a=1", "--step", "3", "--resume")
    save_config(config, SPEC, tmp_path / "saved.yaml")
    lines = (tmp_path / "saved.yaml").read_text().splitlines()
    assert lines[0].startswith("# command line: ") and lines[1] == ""
    keys = list(yaml.safe_load("\n".join(lines)))
    assert keys == sorted(keys)
    again = read("--config", str(tmp_path / "saved.yaml"))
    before = {**vars(config), "config": None, "resume": False}
    assert {**vars(again), "config": None} == before


def test_a_tree_may_adjust_with_the_explicit_keys_at_hand(config_file):
    seen = []
    spec = TreeSpec(root=Path("."), adjust=lambda config, given: seen.append(given))
    read("--config", config_file("seed: 3"), "--num-epoch", "1", spec=spec)
    assert seen[0] == {"config", "seed", "num_epoch"}
