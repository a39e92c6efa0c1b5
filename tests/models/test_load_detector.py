"""One name, one detector."""

from __future__ import annotations

import json
from importlib.util import find_spec

import pytest
import torch

from query_detectors import NAMES, SIZES, noise, query_detector
from sightline.errors import ModelError
from sightline.models import load_detector as room
from sightline.models.black_box import OnnxDetector
from sightline.models.doors_transformers import TransformersDetector
from sightline.models.load_detector import load_detector
from sightline.models.scene_ssd import SceneSSD, save_scene_ssd
from sightline.models.ssd_mobilenet import SSDMobileNet
from sightline.models.ssd_vgg import SSDVGG


def test_every_kind_is_told():
    refused = {"ultralytics"}  # known, so as to say why not
    assert {known.split(":")[0] for known in room.KNOWN} == set(room._LOADERS) - refused


# --- what is there --------------------------------------------------------------------------------


def test_a_folder_of_transformers(tmp_path):
    pytest.importorskip("transformers")
    query_detector("detr").save_pretrained(tmp_path)
    settings = {"size": SIZES["detr"]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    answers = []
    for name in (tmp_path, f"transformers:{tmp_path}"):
        door = load_detector(name, labels=list("abcde"))
        assert isinstance(door, TransformersDetector)
        assert door.labels[:5] == ("a", "b", "c", "d", "e")
        answers += door.detect([noise(90, 120)], threshold=0.1)
    assert torch.equal(answers[0].boxes, answers[1].boxes)


def test_a_folder_of_arrays(data):
    folder = data / "ssd_mobilenet_v1_coco_quant"
    for name in (folder, f"ssd-mobilenet:{folder}"):
        assert isinstance(load_detector(name), SSDMobileNet)
    with pytest.raises(ModelError, match="ssd-mobilenet brings its own labels"):
        load_detector(folder, labels=NAMES)


def test_weights_of_an_ssd300(tmp_path):
    from safetensors.torch import save_file

    save_file(SSDVGG(NAMES).state_dict(), tmp_path / "ssd.safetensors")
    door = load_detector(f"ssd300-vgg16:{tmp_path / 'ssd.safetensors'}", labels=NAMES)
    assert isinstance(door, SSDVGG)
    assert door.labels == tuple(NAMES)


def test_an_onnx_file(data):
    (file,) = sorted((data / "small_detector_weights").rglob("*astest*.onnx"))[:1]
    door = load_detector(f"onnx:{file}", labels=[str(i) for i in range(80)], bgr=True)
    assert isinstance(door, OnnxDetector)
    with pytest.raises(ModelError, match=r"does not name its labels; give labels=\[...\]"):
        load_detector(f"onnx:{file}")


def test_a_detector_of_scenes(tmp_path):
    own = SceneSSD(("background", "cup"), widths=(8, 8, 8, 8, 8))
    save_scene_ssd(own, tmp_path, card={})
    for name in (tmp_path, f"scene-ssd:{tmp_path}"):
        assert load_detector(name).labels == ("background", "cup")
    with pytest.raises(ModelError, match="scene-ssd brings its own labels"):
        load_detector(tmp_path, labels=NAMES)


def test_the_shipped_one():
    assert "cup" in load_detector("scene-ssd").labels


# --- what is not ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "scene-sdd",
            "unknown detector 'scene-sdd'; did you mean 'scene-ssd'\\? Known: scene-ssd, ",
        ),
        ("torchvsion:ssd300_vgg16", "unknown detector 'torchvsion:ssd300_vgg16'"),
        ("net.onnx", "did you mean 'onnx:net.onnx'"),
        ("yolo11n.pt", "did you mean 'ultralytics:yolo11n.pt'"),
        ("ultralytics:yolo11n.pt", r"is a pickle, .* open it yourself .* sl\.UltralyticsDetector"),
        ("onnx:", "'onnx:' names no model; write onnx:FILE"),
        ("torchvision", "'torchvision' names no model; write torchvision:NAME"),
        ("ssd300-vgg16:nowhere.pth", "no weights at nowhere.pth"),
        ("ssd-mobilenet:nowhere", "nowhere"),
    ],
)
def test_what_is_not_there_is_told(name, told):
    with pytest.raises(ModelError, match=told):
        load_detector(name)


def test_an_empty_folder_is_told(tmp_path):
    with pytest.raises(ModelError, match=r"holds no detector: neither layers\.json and weights_u8"):
        load_detector(tmp_path)


def test_a_setting_of_another_kind_is_told(tmp_path):
    with pytest.raises(ModelError, match="ssd300-vgg16 does not take the settings weight "):
        load_detector(f"ssd300-vgg16:{tmp_path}/x.pth", weight=3)


@pytest.mark.skipif(find_spec("torchvision") is not None, reason="torchvision is installed here")
def test_a_missing_package_is_told_with_its_cure():
    with pytest.raises(ModelError, match="pip install torchvision"):
        load_detector("torchvision:ssd300_vgg16")


def test_a_torchvision_that_does_not_fit_is_told(monkeypatch):
    """A wheel for another torch fails with RuntimeError, not with ImportError."""
    import builtins

    own = builtins.__import__

    def unfit(name, *rest):
        if name.startswith("torchvision"):
            raise RuntimeError("operator torchvision::nms does not exist")
        return own(name, *rest)

    monkeypatch.setattr(builtins, "__import__", unfit)
    with pytest.raises(ModelError, match=r"cannot be imported \(operator torchvision::nms"):
        load_detector("torchvision:ssd300_vgg16")
