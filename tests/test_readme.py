"""The README's and the pages' links lead somewhere, and their commands name scripts and flags that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

import skeleton_lab
from tests.early import answers
from tests.trees import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
MOST_WORDS = 1_200


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as they are made of them."""
    heads = re.findall(r"^#+ (.+)$", path.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not target.startswith(("http:", "https:")):
            name, _, anchor = target.partition("#")
            there = page if not name else page.parent / name
            if not there.exists() or (anchor and anchor not in anchors(there)):
                broken.append(target)
    assert broken == []


def commands(text: str) -> list[tuple[Path, list[str]]]:
    """(script, flags) of each `python3 SCRIPT ...` in a page's blocks and tables; `cd` counts within its block."""
    found = []
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
    inline = [span for span in re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
              if span.startswith("python3 ")]
    for block in [*blocks, *inline]:
        folder = ROOT
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|;", line.partition(" #")[0]):
                words = shlex.split(part, comments=True)
                if words[:1] == ["cd"]:
                    folder = (folder / words[1]) if (folder / words[1]).is_dir() else ROOT / words[1]
                starts = [place for place, word in enumerate(words) if re.fullmatch(r"(.*/)?python3?", word)]
                if starts and words[starts[0] + 1:] and words[starts[0] + 1].endswith(".py"):
                    flags = [word.partition("=")[0] for word in words[starts[0] + 2:] if word.startswith("--")]
                    script = folder / words[starts[0] + 1]
                    found.append((script if script.exists() else ROOT / "CTR-GCN" / script.name, flags))
    return found


def test_commands_of_the_readme_name_scripts_and_flags_that_exist():
    named = commands((ROOT / "README.md").read_text())
    assert len(named) > 15 and [str(path) for path, _ in named if not path.is_file()] == []
    scripts = sorted({path for path, flags in named if flags})
    helped = answers([[str(path.parent), path.name, "--help"] for path in scripts])
    known = {path: set(re.findall(r"--[a-z][\w-]*", answer.out)) for path, answer in zip(scripts, helped, strict=True)}
    assert [(path.name, flag) for path, flags in named for flag in flags if flag not in known[path]] == []


def test_it_is_short_and_can_be_cited():
    assert len((ROOT / "README.md").read_text().split()) <= MOST_WORDS
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["cff-version"] == "1.2.0" and cited["version"] == skeleton_lab.__version__
    assert {"title", "message", "authors", "license"} <= cited.keys() and cited["authors"][0]["name"]
