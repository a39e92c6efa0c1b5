"""torchvision's detectors, held against the library itself."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from query_detectors import NAMES, noise
from sightline.errors import ModelError
from sightline.image.boxes import clip
from sightline.models.detector import DenseDetector, ProposingDetector
from sightline.models.doors_torchvision import as_torchvision_detector
from sightline.models.suppress import report
from torchvision_door.modules import LOW, ONE_STAGE, TWO_STAGE, made

KINDS = ONE_STAGE + TWO_STAGE


def door_of(kind: str):
    return as_torchvision_detector(made(kind), labels=NAMES)


def by_library(kind: str, photo):
    """The library's boxes, without our door."""
    pixels = torch.from_numpy(photo.pixels).permute(2, 0, 1) / 255
    with torch.no_grad():
        return made(kind)([pixels])[0]


def pictures_of(door, size=(90, 120), count=1):
    frame = door.frame(*size)
    return torch.stack([frame.pixels(noise(*size, seed=i)) for i in range(count)])


# --- frames ---------------------------------------------------------------------------------------

SIZES = [(90, 120), (64, 64), (480, 640), (33, 200), (427, 640), (101, 37)]


@pytest.mark.parametrize("kind", ["ssd", "retinanet"])
@pytest.mark.parametrize("size", SIZES)
def test_the_picture_is_the_librarys(kind, size):
    door, photo = door_of(kind), noise(*size)
    pixels = torch.from_numpy(photo.pixels).permute(2, 0, 1) / 255
    own, _ = made(kind).transform([pixels])
    frame = door.frame(*size)
    assert frame.picture == tuple(own.image_sizes[0])
    from sightline.models.torchvision_sight import as_images

    ours = as_images(made(kind).transform, frame.pixels(photo)[None])
    assert ours.image_sizes == own.image_sizes
    close = {"atol": 2e-3 if kind == "ssd" else 1e-5, "rtol": 0}  # SSD reads 0 to 255
    torch.testing.assert_close(ours.tensors, own.tensors, **close)


def test_real_sizes_round_as_torchvision_does():
    """With the sizes that models are published with."""
    from torchvision.models.detection.transform import GeneralizedRCNNTransform

    from sightline.models.torchvision_sight import frame_of

    transform = GeneralizedRCNNTransform(800, 1333, [0.5] * 3, [0.2] * 3).eval()
    for size in [(480, 640), (427, 640), (640, 333), (612, 612), (375, 1242), (1080, 1920)]:
        resized, _ = transform.resize(torch.zeros(3, *size))
        assert frame_of(transform, size).picture == tuple(resized.shape[1:])


# --- one stage ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_it_reports_exactly_what_the_library_reports(kind):
    door, photo = door_of(kind), noise(90, 120)
    own = by_library(kind, photo)
    (found,) = door.detect([photo], threshold=0.0)
    assert len(found) == len(own["scores"]) > 5
    assert torch.equal(found.boxes, own["boxes"])
    assert torch.equal(found.scores, own["scores"])
    assert torch.equal(found.labels, own["labels"])
    assert found.names == tuple(NAMES[i] for i in found.labels.tolist())
    cut = float(own["scores"][2])
    (best,) = door.detect([photo], threshold=cut)
    assert torch.equal(best.scores, own["scores"][own["scores"] >= cut])


@pytest.mark.parametrize("kind", ONE_STAGE)
def test_the_candidate_behind_a_box_has_its_score_and_place(kind):
    door, photo = door_of(kind), noise(90, 120)
    frame = door.frame(*photo.size)
    (found,) = door.detect([photo], threshold=0.0)
    dense = door.dense(frame.pixels(photo)[None])
    behind = found.candidates
    scores = dense.scores[0].detach()[behind]
    torch.testing.assert_close(found.distributions, scores, atol=1e-5, rtol=0)
    own = scores.gather(1, found.labels[:, None])[:, 0]
    torch.testing.assert_close(own, found.scores, atol=1e-4, rtol=0)
    places = frame.back_boxes(clip(dense.boxes[0].detach()[behind], frame.picture))
    torch.testing.assert_close(places, found.boxes, atol=0.02, rtol=0)


@pytest.mark.parametrize("kind", ONE_STAGE)
def test_all_candidates_suppressed_by_us_are_what_the_library_reports(kind):
    """So no candidate is missing, and none is in another place."""
    door, module, photo = door_of(kind), made(kind), noise(90, 120, 3)
    own, frame = by_library(kind, photo), door.frame(*photo.size)
    with torch.no_grad():
        (ours,) = report(
            door.dense(frame.pixels(photo)[None]),
            [frame],
            NAMES,
            threshold=LOW,
            overlap=module.nms_thresh,
            without=(0,) if kind.startswith("ssd") else (),
            most=module.detections_per_img,
            most_a_label=module.topk_candidates,
        )
    assert len(ours) == len(own["scores"])
    torch.testing.assert_close(ours.scores, own["scores"], atol=1e-4, rtol=0)
    # places where the network sees the same tie, and then the order means nothing
    gaps = own["scores"][:-1] - own["scores"][1:]
    alone = torch.nn.functional.pad(gaps > 1e-4, (1, 0), value=True)
    alone &= torch.nn.functional.pad(gaps > 1e-4, (0, 1), value=True)
    assert int(alone.sum()) > 5
    torch.testing.assert_close(ours.boxes[alone], own["boxes"][alone], atol=0.02, rtol=0)
    assert ours.labels[alone].tolist() == own["labels"][alone].tolist()


@pytest.mark.parametrize("kind", ONE_STAGE)
def test_scores_follow_from_logits(kind):
    dense = door_of(kind).dense(pictures_of(door_of(kind)))
    activation = torch.sigmoid if kind in ("retinanet", "fcos") else lambda x: x.softmax(-1)
    torch.testing.assert_close(activation(dense.logits), dense.scores, atol=1e-6, rtol=1e-5)


def test_log_odds_of_fcos_are_finite_at_the_ends():
    from sightline.models.torchvision_dense import _centred

    ends = torch.tensor([[[-80.0, 0.0, 80.0], [-200.0, 0.0, 200.0]]], requires_grad=True)
    sure = torch.tensor([[[80.0], [200.0]]])
    scores, logits = _centred({"cls_logits": ends, "bbox_ctrness": sure})
    root = torch.tensor(0.5).sqrt()
    torch.testing.assert_close(scores[0, :, 1], root.expand(2))
    torch.testing.assert_close(logits[0, 0], torch.tensor([-40.0, float(root.logit()), 80.0]))
    assert bool(logits.isfinite().all())
    logits.sum().backward()
    assert bool(ends.grad.isfinite().all())


@pytest.mark.parametrize("kind", ONE_STAGE)
def test_a_candidate_hears_only_of_the_map_of_its_level(kind):
    door = door_of(kind)
    needs = [p.requires_grad for p in door.parameters()]
    door.requires_grad_(False)
    dense = door.dense(pictures_of(door))
    for level, _ in enumerate(dense.features):
        mine = int((dense.level == level).nonzero()[0])
        slopes = torch.autograd.grad(
            dense.logits[0, mine, 1], dense.features, retain_graph=True, allow_unused=True
        )
        heard = [s is not None and bool(s.abs().max() > 0) for s in slopes]
        assert heard == [i == level for i in range(len(heard))]
    for weight, need in zip(door.parameters(), needs, strict=True):
        weight.requires_grad_(need)


@pytest.mark.parametrize("kind", KINDS)
def test_the_picture_has_a_slope(kind):
    door = door_of(kind)
    pictures = pictures_of(door).requires_grad_()
    dense = door.dense(pictures)
    (slope,) = torch.autograd.grad(dense.scores[..., 1].sum(), pictures)
    assert bool(slope.isfinite().all())
    assert float(slope.abs().max()) > 0


@pytest.mark.parametrize("kind", ONE_STAGE)
def test_a_picture_does_not_hear_of_the_others(kind):
    door = door_of(kind)
    pictures = pictures_of(door, count=3)
    with torch.no_grad():
        together = door.dense(pictures)
        alone = [door.dense(p[None]) for p in pictures]
    torch.testing.assert_close(
        together.scores, torch.cat([a.scores for a in alone]), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(
        together.boxes, torch.cat([a.boxes for a in alone]), atol=5e-3, rtol=1e-5
    )


def test_maps_span_the_padding_too():
    """The photo is 64 x 85 pixels for the network, which pads it to 64 x 96."""
    for kind in ("retinanet", "faster"):
        door = door_of(kind)
        assert door.frame(90, 120).picture == (64, 85)
        assert door.dense(pictures_of(door)).extent == (64, 96)
        assert door.dense(pictures_of(door, (64, 96))).extent is None
    assert door_of("ssd").dense(pictures_of(door_of("ssd"))).extent is None


# --- two stages -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TWO_STAGE)
def test_the_proposal_behind_a_box_has_its_score_and_place(kind):
    door, photo = door_of(kind), noise(90, 120)
    frame = door.frame(*photo.size)
    picture = frame.pixels(photo)
    (found,) = door.detect([photo], threshold=0.0)
    dense = door.dense_at(picture[None], door.propose(picture))
    scores = dense.scores[0].detach()[found.candidates]
    torch.testing.assert_close(found.distributions, scores, atol=1e-5, rtol=0)
    own = scores.gather(1, found.labels[:, None])[:, 0]
    torch.testing.assert_close(own, found.scores, atol=1e-3, rtol=0)
    places = frame.back_boxes(clip(dense.boxes[0].detach()[found.candidates], frame.picture))
    best = scores[:, 1:].argmax(1) + 1 == found.labels
    assert 0 < int(best.sum()) < len(best)  # weaker labels have boxes of their own
    torch.testing.assert_close(places[best], found.boxes[best], atol=0.05, rtol=0)
    assert float((places[~best] - found.boxes[~best]).abs().max()) > 0.05


@pytest.mark.parametrize("kind", TWO_STAGE)
def test_proposals_are_the_librarys(kind):
    door, photo = door_of(kind), noise(90, 120)
    seen = []
    handle = made(kind).rpn.register_forward_hook(lambda _, __, out: seen.append(out[0][0]))
    by_library(kind, photo)
    handle.remove()
    proposals = door.propose(door.frame(*photo.size).pixels(photo))
    assert len(proposals) == len(seen[0])
    torch.testing.assert_close(proposals, seen[0], atol=1e-3, rtol=0)
    assert not proposals.requires_grad


def test_proposals_stay_put_while_the_picture_changes():
    door = door_of("faster")
    assert isinstance(door, ProposingDetector)
    pictures = pictures_of(door, count=3)
    proposals = door.propose(pictures[0])
    with torch.no_grad():
        together = door.dense_at(pictures, proposals)
        alone = [door.dense_at(p[None], proposals) for p in pictures]
        own = door.dense(pictures[:1])
    assert together.scores.shape == (3, len(proposals), 5)
    torch.testing.assert_close(
        together.scores, torch.cat([a.scores for a in alone]), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(own.scores[0], together.scores[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(own.logits.softmax(-1), own.scores)


def test_pictures_of_fewer_proposals_are_filled_with_background():
    module = copy.deepcopy(made("faster"))
    module.rpn._post_nms_top_n["testing"] = 1000  # as many as are left
    door = as_torchvision_detector(module, labels=NAMES)
    pictures = torch.stack([pictures_of(door)[0], torch.zeros(3, 64, 85)])
    counts = [len(door.propose(p)) for p in pictures]
    assert counts[0] != counts[1]
    few, fewest = counts.index(min(counts)), min(counts)
    with torch.no_grad():
        dense = door.dense(pictures)
        alone = door.dense(pictures[few : few + 1])
    assert dense.level is None
    assert dense.boxes.shape[1] == max(counts)
    torch.testing.assert_close(dense.scores[few, :fewest], alone.scores[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(dense.boxes[few, :fewest], alone.boxes[0], atol=1e-2, rtol=0)
    rest = dense.scores[few, fewest:]
    assert torch.equal(rest, torch.tensor([1.0, 0, 0, 0, 0]).expand_as(rest))
    assert not dense.boxes[few, fewest:].any()
    torch.testing.assert_close(dense.logits.softmax(-1), dense.scores)


def test_a_proposal_hears_of_the_map_that_it_is_pooled_from():
    door = door_of("faster")
    picture = pictures_of(door)
    small = torch.tensor([[10.0, 10.0, 30.0, 30.0], [0.0, 0.0, 84.0, 63.0], [0.0, 0.0, 900, 900]])
    needs = [p.requires_grad for p in door.parameters()]
    door.requires_grad_(False)
    dense = door.dense_at(picture, small)
    assert dense.level.tolist() == [0, 0, 3]
    assert len(dense.features) == 4
    for row, level in enumerate(dense.level.tolist()):
        slopes = torch.autograd.grad(
            dense.logits[0, row, 1], dense.features, retain_graph=True, allow_unused=True
        )
        heard = [s is not None and bool(s.abs().max() > 0) for s in slopes]
        assert heard == [i == level for i in range(4)]
    for weight, need in zip(door.parameters(), needs, strict=True):
        weight.requires_grad_(need)


# --- as found, errors -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ssdlite", "fcos", "faster", "mask"])
def test_the_module_is_left_as_it_came(kind):
    module = copy.deepcopy(made(kind)).train()
    module.backbone.eval()
    door = as_torchvision_detector(module, labels=NAMES)
    assert isinstance(door, DenseDetector)
    modes = [m.training for m in module.modules()]
    needs = [p.requires_grad for p in module.parameters()]
    state = copy.deepcopy(module.state_dict())
    (found,) = door.detect([noise(90, 120)], threshold=0.0)
    assert torch.equal(found.scores, by_library(kind, noise(90, 120))["scores"])
    assert [m.training for m in module.modules()] == modes
    assert [p.requires_grad for p in module.parameters()] == needs
    assert all(p.grad is None for p in module.parameters())
    assert all(torch.equal(v, state[k]) for k, v in module.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())

    def fail(*_):
        raise RuntimeError("out of paper")

    module.backbone.forward = fail
    with pytest.raises(RuntimeError, match="out of paper"):
        door.detect([noise(90, 120)])
    assert [m.training for m in module.modules()] == modes


def test_without_labels_columns_are_numbered():
    assert as_torchvision_detector(made("ssd")).labels == ("0", "1", "2", "3", "4")
    assert as_torchvision_detector(made("fcos")).labels == ("0", "1", "2", "3", "4")
    assert as_torchvision_detector(made("mask")).labels == ("0", "1", "2", "3", "4")


def test_what_does_not_fit_is_told():
    with pytest.raises(ModelError, match="has 5 columns, 2 labels were given; background is one"):
        as_torchvision_detector(made("ssdlite"), labels=["a", "b"])
    with pytest.raises(ModelError, match="Linear is no detection module of torchvision"):
        as_torchvision_detector(nn.Linear(2, 2))
    module = copy.deepcopy(made("faster"))
    module.roi_heads.box_roi_pool.featmap_names = ["c4"]
    with pytest.raises(ModelError, match=r"pools from \['c4'\], the backbone gives"):
        as_torchvision_detector(module).dense(torch.zeros(1, 3, 64, 64))
    module.roi_heads.box_predictor = nn.Linear(2, 2)
    with pytest.raises(ModelError, match="does not say how many labels it knows"):
        as_torchvision_detector(module)
