"""Dict-valued flags: every form of the spec's table, and nothing that runs code."""

import pytest

from skeleton_lab.train.literals import parse_assignments


@pytest.mark.parametrize(("token", "expected"), [
    ("bone=True", {"bone": True}),
    ("bone=True,vel=True", {"bone": True, "vel": True}),
    ("bone=True, vel=True", {"bone": True, "vel": True}),
    ("p_interval=[0.5,1]", {"p_interval": [0.5, 1]}),
    ("data_path='data/x.npz'", {"data_path": "data/x.npz"}),
    ("data_path=/a/\udcc3\udca4.npz", {"data_path": "/a/\udcc3\udca4.npz"}),  # an umlaut under an ASCII locale
    ("graph_args=dict(labeling_mode='spatial')", {"graph_args": {"labeling_mode": "spatial"}}),
    ("graph_args={'labeling_mode':'spatial'}", {"graph_args": {"labeling_mode": "spatial"}}),
    ("{'bone':True}", {"bone": True}),
    ("[('bone',True)]", {"bone": True}),
    ("**{'bone':True}", {"bone": True}),
    ("{'bone':True},vel=True", {"bone": True, "vel": True}),
    ("", {}),
    ("data_path=bone motion", {"data_path": "bone motion"}),
    ("data_path=../data/x-1.npz,split=test", {"data_path": "../data/x-1.npz", "split": "test"}),
    ("graph_args.labeling_mode=spatial", {"graph_args": {"labeling_mode": "spatial"}}),
    ("name='a,b=c'", {"name": "a,b=c"}),
    ("p=-0.5", {"p": -0.5}),
    ("label_path=None", {"label_path": None}),
])
def test_reads(token, expected):
    assert parse_assignments(token) == expected


@pytest.mark.parametrize("token", [
    "bone", "=3", "bone=__import__('os').system('true')", "a=(lambda: 1)()", "[1,2]", "{1: 2}", "a=1,a.b=2", "a=[1",
    "3", "**3",
])
def test_refuses(token):
    with pytest.raises(ValueError, match=r"\S"):
        parse_assignments(token)


@pytest.mark.parametrize("token", [
    "a=1j", "a=...", "a=b'x'", "a={1, 2}", "a=[1, (2, b'x')]", "a=" + "[" * 30 + "]" * 30,
    "a=" + "dict(a=" * 400 + "1" + ")" * 400, "a." * 30 + "a=1",
])
def test_refuses_what_no_setting_can_be(token):
    with pytest.raises(ValueError, match=r"no setting has|nested too deeply") as caught:
        parse_assignments(token)
    assert len(str(caught.value)) < 200
