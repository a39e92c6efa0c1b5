"""The page of generation says what runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

import sightline as sl
from sightline.scenes.pairs import draw_pair

PAGE = Path(__file__).resolve().parents[3] / "docs" / "generation.md"


@pytest.fixture(scope="module")
def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)


def test_the_first_example_runs(blocks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made: dict[str, object] = {}
    exec(blocks[0], made)  # noqa: S102, our own page
    assert {"why.png", "generation.html"} <= {path.name for path in tmp_path.iterdir()}
    assert made["maps"].maps.shape == (len(made["sketch"]), 64, 64)


def test_the_door_for_pix2pix_fits_its_ranges(blocks):
    """A stand-in that checks what it is shown: black lines (-1) on white (1), three channels."""

    class Pix2Pix(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert x.shape[1:] == (3, 256, 256)
            assert float(x.max()) == 1
            return torch.tanh(3 * x)

    made: dict[str, object] = {"sl": sl, "network": Pix2Pix()}
    exec(blocks[1], made)  # noqa: S102, our own page
    sketch = draw_pair(5).sketch
    picture = made["generator"].generate(sketch)
    assert float(picture.min()) < 0.01
    assert 0.99 < float(picture.max()) <= 1


def test_the_door_for_pipelines_takes_a_function(blocks):
    class Answer:
        def __init__(self, images: torch.Tensor) -> None:
            self.images = images

    def pipeline(prompts, *, image, generator, output_type, num_inference_steps):
        assert image.shape == (len(prompts), 3, 512, 512)
        assert output_type == "pt"
        noise = [torch.rand(1, 1, 1, generator=luck) for luck in generator]
        assert len({float(n) for n in noise}) == 1
        return Answer(1 - 0.5 * image.detach())

    sketch = draw_pair(5).sketch
    region = sl.Region.of_boxes([(150, 150, 400, 400)], (512, 512))
    made = {"sl": sl, "torch": torch, "pipeline": pipeline, "sketch": sketch, "region": region}
    text = blocks[2].replace("Rasteriser(size=512)", "Rasteriser(size=512, line_width=0.05)")
    exec(text, made)  # noqa: S102, our own page
    with pytest.raises(sl.GameError, match="shapley, kernel_shap"):
        sl.sla(made["game"])
