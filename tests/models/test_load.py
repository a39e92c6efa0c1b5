"""Loading and saving: round trips, the published layout, and files that mean harm."""

from __future__ import annotations

import json
import os
import pickle

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file

from sightline import ModelError, Rasteriser, RasterModel, load, save, sketch_cnn
from sightline.models.load import SHIPPED
from sightline.models.published import as_published, from_published, is_published
from toys import LABELS, batch_of, scribble, stroke_net

BATCH = batch_of(scribble(1), scribble(2, 3))


def small_cnn(seed: int = 0, **settings) -> RasterModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = sketch_cnn(LABELS, width=4, **settings)
        for module in model.modules():  # statistics that a fresh net does not have
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 1.5)
    return model.eval()


def logits(model):
    with torch.no_grad():
        return model(BATCH)


def same(a, b, *, atol: float = 0.0) -> None:
    torch.testing.assert_close(logits(a), logits(b), atol=atol, rtol=0)


# --- round trips ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"dropout": 0.3, "cell": "gru", "padding": "attended", "epsilon": 1.5},
        {"padding": "zeroed", "max_strokes": 7, "use_order": False},
        {"heads": 4, "layers": 1, "use_shape": False, "use_location": False},
    ],
)
def test_a_stroke_net_comes_back(tmp_path, settings):
    net = stroke_net(**settings)
    save(net, tmp_path)
    again = load(tmp_path)
    same(net, again)
    assert again.config == net.config
    assert not again.training
    assert {p.dtype for p in again.parameters()} == {torch.float32}


def test_a_picture_net_comes_back(tmp_path):
    net = small_cnn()
    save(net, tmp_path)
    again = load(tmp_path)
    same(net, again)
    assert again.labels == LABELS
    assert (again.epsilon, again.rasteriser) == (net.epsilon, net.rasteriser)
    assert not again.training


def test_a_picture_net_comes_back_with_its_eyes(tmp_path):
    """Ink, scale, simplification and rasteriser are part of what it learnt."""
    net = small_cnn()
    net.ink, net.mean, net.std, net.epsilon = "black", 0.2, 0.5, None
    net.rasteriser = Rasteriser(size=32, line_width=0.1)
    save(net, tmp_path)
    again = load(tmp_path)
    same(net, again)
    assert again.epsilon is None


def test_a_model_of_anothers_module_is_not_saved_as_ours(tmp_path):
    """What `load` could not read back must not be written."""
    stranger = RasterModel(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(4)))
    with pytest.raises(ModelError, match=r"cannot save .*Sequential.*state_dict"):
        save(stranger, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("make", [stroke_net, small_cnn])
def test_half_precision_is_half_the_file_and_nearly_the_numbers(tmp_path, make):
    net = make()
    save(net, tmp_path / "full")
    save(net, tmp_path / "half", half=True)
    size = {k: (tmp_path / k / "model.safetensors").stat().st_size for k in ("full", "half")}
    assert size["half"] < 0.75 * size["full"]
    again = load(tmp_path / "half")
    same(net, again, atol=0.02)
    assert {p.dtype for p in again.parameters()} == {torch.float32}
    for name, weight in again.state_dict().items():
        torch.testing.assert_close(weight, net.state_dict()[name].half().to(weight.dtype))


def test_saving_replaces_what_was_there(tmp_path):
    save(stroke_net(0), tmp_path)
    save(stroke_net(1), tmp_path)
    same(load(tmp_path), stroke_net(1))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


# --- the published layout -------------------------------------------------------------------------


def test_published_layout_and_back():
    ours = stroke_net().state_dict()
    theirs = as_published(ours)
    assert is_published(theirs)
    assert not is_published(ours)
    assert theirs["vit.embeddings.cls_token"].shape == (1, 1, 16)
    query = theirs["vit.encoder.layer.1.attention.attention.query.weight"]
    torch.testing.assert_close(query, ours["layers.1.qkv.weight"][:16])
    back = from_published(theirs)
    assert back.keys() == ours.keys()
    for name, weight in back.items():
        torch.testing.assert_close(weight, ours[name], atol=0, rtol=0)


@pytest.mark.parametrize("case", ["lstm", "gru", "lstm_masked"])
def test_reference_weights_survive_the_way_there_and_back(reference, case):
    """Every weight that the original uses comes back under its own name."""
    state = load_file(reference / "sketchxai" / f"{case}.safetensors")
    back = as_published(from_published(state))
    unused = {n for n in state if n not in back}
    assert all(
        n.startswith("classifier.") or "patch_emb" in n or "position_emb" in n or "mask_token" in n
        for n in unused
    )
    for name, weight in back.items():
        torch.testing.assert_close(weight, state[name], atol=0, rtol=0)


def test_published_weights_without_a_config_attend_to_their_pads(tmp_path):
    net = stroke_net(padding="attended")
    save_file(_contiguous(as_published(net.state_dict())), tmp_path / "weights.safetensors")
    again = load(tmp_path / "weights.safetensors", heads=2)
    same(net, again)
    assert again.config.padding == "attended"
    assert again.labels == ("0", "1", "2", "3")
    assert load(tmp_path / "weights.safetensors", heads=2, padding="none").config.padding == "none"


def test_a_broken_published_file_says_what_is_wrong(tmp_path):
    state = as_published(stroke_net().state_dict())
    gap = {k: v for k, v in state.items() if "layer.1.attention.attention.key.bias" not in k}
    save_file(_contiguous(gap), tmp_path / "gap.safetensors")
    with pytest.raises(ModelError, match=r"lack .*layer\.1.*key\.bias.*incomplete"):
        load(tmp_path / "gap.safetensors", heads=2)
    odd = state | {"vit.encoder.layer.0.extra.weight": torch.zeros(2)}
    save_file(_contiguous(odd), tmp_path / "odd.safetensors")
    with pytest.raises(ModelError, match=r"no SketchXAINet has a weight named .*extra\.weight"):
        load(tmp_path / "odd.safetensors", heads=2)


def _contiguous(state):
    return {name: weight.clone() for name, weight in state.items()}


# --- files of torch.save --------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", ["plain", "state_dict", "module"])
def test_bin_files_are_read_as_weights(tmp_path, wrap):
    """As torch.save leaves them: bare, inside a checkpoint, from DataParallel."""
    net = stroke_net(padding="attended")
    state = _contiguous(as_published(net.state_dict()))
    if wrap == "state_dict":
        state = {"state_dict": state, "epoch": 3}
    if wrap == "module":
        state = {f"module.{name}": weight for name, weight in state.items()}
    torch.save(state, tmp_path / "pytorch_model.bin")
    same(net, load(tmp_path / "pytorch_model.bin", heads=2))
    same(net, load(tmp_path, heads=2))


class Trap:
    """Unpickling this makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("writer", ["pickle", "torch"])
def test_a_malicious_file_is_refused_and_not_run(tmp_path, writer):
    sprung = tmp_path / "sprung"
    bomb = {"head.weight": Trap(sprung)}
    path = tmp_path / "model.bin"
    if writer == "pickle":
        path.write_bytes(pickle.dumps(bomb, protocol=2))
    else:
        torch.save(bomb, path)
    with pytest.raises(ModelError, match=r"model\.bin cannot be read .*nothing in it was executed"):
        load(path)
    assert not sprung.exists()
    # the trap is a real one: an ordinary unpickling springs it
    torch.load(path, weights_only=False) if writer == "torch" else pickle.loads(path.read_bytes())  # noqa: S301
    assert sprung.exists()


@pytest.mark.parametrize("name", ["model.bin", "model.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights", b"\x80\x02}q\x00.", b"PK\x03\x04 torn"])
def test_garbage_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError):
        load(tmp_path / name)


def test_a_pickled_module_is_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "whole.bin")
    with pytest.raises(ModelError, match="nothing in it was executed"):
        load(tmp_path / "whole.bin")


def test_a_table_of_other_things_is_refused(tmp_path):
    torch.save({"state_dict": {"epoch": 3}}, tmp_path / "odd.bin")
    with pytest.raises(ModelError, match=r"no table of tensors; save model\.state_dict\(\)"):
        load(tmp_path / "odd.bin")


# --- names ----------------------------------------------------------------------------------------


def test_an_unknown_name_lists_the_shipped_models():
    with pytest.raises(
        ModelError,
        match=r"did you mean 'sketchxainet-tiny'\? Known: sketchxainet-tiny, sketch-cnn; or give",
    ):
        load("sketchxainet-tny")


def test_an_empty_folder_says_what_it_should_hold(tmp_path):
    with pytest.raises(ModelError, match=r"neither model\.safetensors nor pytorch_model\.bin"):
        load(tmp_path)


def test_no_network_is_said_plainly(monkeypatch):
    def offline(*_, **__):
        raise OSError("network is unreachable\nand much more")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(
        ModelError,
        match=r"someone/sketches is not in the cache and could not be fetched from the hub "
        r"\(OSError: network is unreachable\); .* local folder\. Shipped: sketchxainet-tiny",
    ):
        load("someone/sketches")


def test_an_error_without_a_message_is_told_too(monkeypatch):
    def silent(*_, **__):
        raise TimeoutError

    monkeypatch.setattr(huggingface_hub, "snapshot_download", silent)
    with pytest.raises(ModelError, match="TimeoutError"):
        load("someone/sketches")


def test_the_hub_is_asked_for_the_revision_and_no_more_than_is_needed(monkeypatch, tmp_path):
    net = stroke_net()
    save(net, tmp_path)
    asked = {}

    def download(name, **settings):
        asked.update(settings, name=name)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    same(net, load("someone/sketches", revision="v2"))
    assert (asked["name"], asked["revision"]) == ("someone/sketches", "v2")
    assert set(asked["allow_patterns"]) == {
        "config.json",
        "model.safetensors",
        "pytorch_model.bin",
    }


def test_a_local_folder_goes_before_the_hub(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    net = stroke_net()
    save(net, tmp_path / "org" / "name")
    same(net, load("org/name"))


# --- what does not fit ----------------------------------------------------------------------------


def test_a_wrong_number_of_labels_is_counted(tmp_path):
    save(stroke_net(), tmp_path / "strokes")
    with pytest.raises(ModelError, match="weights know 4 classes, 2 labels were given"):
        load(tmp_path / "strokes", labels=("cat", "dog"))
    save(small_cnn(), tmp_path / "pictures")
    with pytest.raises(ModelError, match="weights know 4 classes, 2 labels were given"):
        load(tmp_path / "pictures", labels=("cat", "dog"))
    assert load(tmp_path / "pictures", labels=tuple("wxyz")).labels == tuple("wxyz")


def test_weights_of_another_net_are_refused(tmp_path):
    save_file({"fc.weight": torch.zeros(3, 3)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"not the weights of a SketchXAINet: no 'head\.weight'"):
        load(tmp_path)


def test_weights_and_config_of_two_nets_are_refused(tmp_path):
    save(stroke_net(), tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"kind": "sketch-cnn", "labels": LABELS}))
    with pytest.raises(ModelError, match=r"not the weights of a SketchCNN: no 'module\.stem"):
        load(tmp_path)


def test_a_config_without_labels_numbers_them(tmp_path):
    save(small_cnn(), tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"kind": "sketch-cnn"}))
    assert load(tmp_path).labels == ("0", "1", "2", "3")


def test_a_config_that_is_no_json_is_named(tmp_path):
    save(stroke_net(), tmp_path)
    (tmp_path / "config.json").write_text("{hidden: 16")
    with pytest.raises(ModelError, match=r"config\.json is not JSON"):
        load(tmp_path)


def test_heads_come_from_the_argument_then_the_config_then_a_width_of_64(tmp_path):
    wide = stroke_net(hidden=128, heads=2, layers=1, padding="attended")
    save_file(_contiguous(as_published(wide.state_dict())), tmp_path / "model.safetensors")
    assert load(tmp_path).config.heads == 2
    same(load(tmp_path), wide)
    (tmp_path / "config.json").write_text(json.dumps({"num_attention_heads": 8}))
    assert load(tmp_path).config.heads == 8
    assert load(tmp_path, heads=4).config.heads == 4
    assert (logits(load(tmp_path)) - logits(wide)).abs().max() > 1e-4  # heads do matter
    with pytest.raises(ModelError, match=r"5 heads do not divide a width of 128; give heads="):
        load(tmp_path, heads=5)


def test_a_narrow_net_without_heads_asks_for_them(tmp_path):
    save_file(_contiguous(as_published(stroke_net().state_dict())), tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="give heads="):
        load(tmp_path)


def test_a_torn_checkpoint_names_what_does_not_fit(tmp_path):
    state = stroke_net().state_dict()
    del state["layers.1.up.bias"]
    save_file(_contiguous(state), tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r'does not fit the model: .*\s.*"layers\.1\.up\.bias"'):
        load(tmp_path, heads=2)


# --- what is shipped ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_models_are_there_and_ready(name):
    model = load(name)
    assert not model.training
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    sketch = model.prepare(scribble(1, 3, longest=30))
    with torch.no_grad():
        answer = model(batch_of(sketch))
    assert answer.shape == (1, len(model.labels))
    assert answer.isfinite().all()
    assert len(set(model.labels)) == len(model.labels) > 1
    assert not any(label.isdigit() for label in model.labels)
