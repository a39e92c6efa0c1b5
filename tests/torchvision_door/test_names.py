"""Detectors by torchvision's names, from files of weights, and beside our own SSD300."""

from __future__ import annotations

from urllib.error import URLError

import pytest
import torch

from query_detectors import NAMES, noise
from sightline.errors import ModelError
from sightline.models.doors_torchvision import as_torchvision_detector, torchvision_detector
from sightline.models.load_detector import load_detector
from sightline.models.ssd_vgg import SSDVGG, load_ssd_vgg
from torchvision_door.modules import LOW, made


@pytest.fixture(scope="module")
def ssd_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("weights") / "ssd.pth"
    torch.save(made("ssd").state_dict(), file)
    return file


def test_by_name_with_a_file_of_weights(ssd_file):
    door = load_detector("torchvision:ssd300_vgg16", weights=ssd_file, labels=NAMES)
    assert door.labels == tuple(NAMES)
    assert not door.training
    (found,) = door.detect([noise(90, 120)], threshold=LOW)
    (same,) = as_torchvision_detector(made("ssd")).detect([noise(90, 120)], threshold=LOW)
    assert len(found) > 5
    assert torch.equal(found.boxes, same.boxes)
    assert torch.equal(found.scores, same.scores)


def test_published_resnets_come_without_counts_of_batches(tmp_path):
    from torchvision.models.detection import fasterrcnn_resnet50_fpn

    module = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=5)
    state = {k: v for k, v in module.state_dict().items() if "num_batches" not in k}
    torch.save(state, tmp_path / "faster.pth")
    door = torchvision_detector(
        "fasterrcnn_resnet50_fpn", weights=tmp_path / "faster.pth", labels=NAMES
    )
    assert door.module.backbone.body.bn1.eps == 0.0  # as the published weights were trained
    same = door.module.state_dict()
    assert all(torch.equal(same[k], v) for k, v in state.items())


def test_files_that_do_not_fit_are_told(ssd_file, tmp_path):
    with pytest.raises(ModelError, match=r"no weights at .*nowhere.pth; give a file"):
        torchvision_detector("ssd300_vgg16", weights=tmp_path / "nowhere.pth")
    with pytest.raises(ModelError, match=r"is \[20, 512, 3, 3\], expected \[364, 512, 3, 3\]"):
        torchvision_detector("ssd300_vgg16", weights=ssd_file)
    state = made("ssd").state_dict()
    state["extra"] = state.pop("backbone.scale_weight")
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(ModelError, match=r"1 weights are missing \(backbone.scale_weight\), 1 are"):
        torchvision_detector("ssd300_vgg16", weights=tmp_path / "other.pth", labels=NAMES)


def test_without_a_network_the_file_is_asked_for(monkeypatch):
    def offline(*_, **__):
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(ModelError, match=r"could not be fetched .*no route.* download https://"):
        torchvision_detector("ssdlite320_mobilenet_v3_large")


def test_unknown_names_list_the_known():
    with pytest.raises(ModelError, match="did you mean 'ssd300_vgg16'"):
        load_detector("torchvision:ssd300_vgg")


# --- our own SSD300, which needs no torchvision ---------------------------------------------------


def test_our_ssd300_is_torchvisions(ssd_file):
    ours = load_ssd_vgg(ssd_file, labels=NAMES)  # strict
    assert isinstance(ours, SSDVGG)
    door = as_torchvision_detector(made("ssd"), labels=NAMES)
    pictures = torch.stack([ours.frame(90, 120).pixels(noise(90, 120, seed=i)) for i in (0, 1)])
    with torch.no_grad():
        a, b = ours.dense(pictures), door.dense(pictures)
    assert torch.equal(a.level, b.level)
    torch.testing.assert_close(a.scores, b.scores, atol=1e-4, rtol=0)
    torch.testing.assert_close(a.logits, b.logits, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(a.boxes, b.boxes, atol=1e-2, rtol=1e-4)
    for mine, theirs in zip(a.features, b.features, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-3, rtol=1e-4)
    (found,), (own,) = (d.detect([noise(90, 120)], threshold=LOW) for d in (ours, door))
    assert len(found) == len(own) > 5
    torch.testing.assert_close(found.scores, own.scores, atol=1e-4, rtol=0)
    torch.testing.assert_close(found.boxes, own.boxes, atol=1e-2, rtol=0)
