"""One name, one classifier of photos."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

from sightline.errors import ModelError
from sightline.models import load_classifier as room
from sightline.models.load_classifier import load_classifier, save_classifier
from sightline.models.photo_classifier import PictureClassifier
from sightline.models.small_resnet import small_resnet
from sightline.models.transformers_classifier import _only_the_head_is_new
from toys import unchecked

LABELS = ("cup", "duck", "kite")
TRANSFORMERS = ("transformers-config:resnet", "transformers-config:vit")
SMALL = {"widths": (8, 12, 16)}


def pictures(model: PictureClassifier) -> torch.Tensor:
    return torch.rand(2, 3, *model.size, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def timm(monkeypatch):
    """What this needs of timm, with one architecture."""

    class Net(nn.Sequential):
        def __init__(self, classes: int) -> None:
            super().__init__(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
            self.append(nn.Linear(4, classes))
            self.num_classes = classes
            self.pretrained_cfg = {
                "architecture": "resnet18",
                "input_size": (3, 32, 48),
                "mean": (0.1, 0.2, 0.3),
                "std": (0.4, 0.5, 0.6),
            }

    def create_model(name, *, num_classes=1000, **asked):
        stub.asked.append(asked)
        if name != "resnet18":
            raise RuntimeError(f"Unknown model ({name})")
        return Net(num_classes)

    stub = ModuleType("timm")
    stub.asked = []
    stub.create_model = create_model
    stub.get_pretrained_cfg = lambda name: SimpleNamespace(hf_hub_id=f"timm/{name}.a1")
    monkeypatch.setitem(sys.modules, "timm", stub)
    return stub


# --- what is there --------------------------------------------------------------------------------


def test_every_kind_is_told():
    assert {known.split(":")[0] for known in room.KNOWN} == set(room._LOADERS) - {"folder"}


def test_ours():
    model = load_classifier("small-resnet", labels=list(LABELS), size=(32, 40), seed=5, **SMALL)
    assert model.labels == LABELS
    assert model.size == (32, 40)
    assert not any(module.training for module in model.modules())
    same = small_resnet(LABELS, (32, 40), seed=5, **SMALL).eval()
    assert torch.equal(model.look(pictures(model)), same.look(pictures(model)))


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_small_ones_of_transformers(name):
    pytest.importorskip("transformers")
    before = torch.random.get_rng_state()
    model, same, other = (load_classifier(name, labels=LABELS, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert model.labels == LABELS
    logits = model.look(pictures(model))
    assert logits.shape == (2, 3)
    assert torch.equal(logits, same.look(pictures(model)))
    assert not torch.equal(logits, other.look(pictures(model)))


def test_settings_go_to_the_config():
    pytest.importorskip("transformers")
    model = load_classifier(TRANSFORMERS[1], labels=LABELS, size=(32, 48), patch_size=16)
    assert model.module.config.image_size == [32, 48]
    assert model.module.config.patch_size == 16
    assert model.look(pictures(model)).shape == (2, 3)


@pytest.mark.usefixtures("timm")
def test_timm_with_random_weights():
    model = load_classifier("timm:resnet18", labels=LABELS, pretrained=False)
    assert model.labels == LABELS
    assert model.size == (32, 48)
    assert (model.mean, model.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert model.look(pictures(model)).shape == (2, 3)
    assert load_classifier("timm:resnet18", pretrained=False).look(pictures(model)).shape[1] == 1000


def test_timm_reads_safetensors_only(timm, monkeypatch):
    fetched = []

    def fetch(*asked):
        fetched.append(asked)
        return "/there"

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
    load_classifier("timm:resnet18", labels=LABELS)
    assert fetched == [("timm/resnet18.a1", "model.safetensors")]
    asked = {"pretrained": True, "pretrained_cfg_overlay": {"file": "/there"}}
    assert timm.asked == [asked]


# --- folders of transformers ----------------------------------------------------------------------


def published(folder, kind: str = TRANSFORMERS[0], **processor) -> PictureClassifier:
    """A folder as the hub has it."""
    pytest.importorskip("transformers")
    model = load_classifier(kind, labels=LABELS, size=(32, 32))
    model.module.save_pretrained(folder)
    if processor:
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return model


@pytest.mark.parametrize("kind", TRANSFORMERS)
def test_a_folder_of_transformers(kind, tmp_path):
    half = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    own = published(tmp_path, kind, size={"height": 32, "width": 32}, resample=3, **half)
    for name in (tmp_path, f"transformers:{tmp_path}"):
        model = load_classifier(name)
        assert (model.labels, model.size) == (LABELS, (32, 32))
        assert (model.mean, model.std) == ((0.5,) * 3, (0.25,) * 3)
        given = pictures(model)
        assert torch.equal(model.look(given), own.module((given - 0.5) / 0.25).logits)


@pytest.mark.parametrize(
    ("processor", "size"),
    [
        ({"size": {"height": 40, "width": 48}}, (40, 48)),
        ({"size": {"shortest_edge": 64}}, (64, 64)),
        ({"size": {"shortest_edge": 64}, "crop_size": {"height": 56, "width": 48}}, (64, 64)),
        (
            {
                "size": {"shortest_edge": 64},
                "do_center_crop": True,
                "crop_size": {"height": 56, "width": 48},
            },
            (56, 48),
        ),
        ({"size": 64}, (64, 64)),
        ({"do_resize": False, "do_normalize": False}, (224, 224)),
        ({}, (224, 224)),
    ],
)
def test_the_size_is_what_the_processor_cuts_out(processor, size, tmp_path):
    published(tmp_path, **processor)
    assert load_classifier(tmp_path).size == size
    assert load_classifier(tmp_path, size=(48, 32)).size == (48, 32)


def test_a_vision_transformer_reads_its_own_size(tmp_path):
    published(tmp_path, TRANSFORMERS[1])
    assert load_classifier(tmp_path).size == (32, 32)
    with pytest.raises(ModelError, match=r"reads pictures of 32 x 32 pixels, not of 48 x 48"):
        load_classifier(tmp_path, size=(48, 48))


@pytest.mark.parametrize("kind", TRANSFORMERS)
def test_a_new_head_where_labels_are_others(kind, tmp_path):
    own = published(tmp_path, kind)
    model = load_classifier(tmp_path, labels=["one", "other"])
    assert model.labels == ("one", "other")
    assert model.look(pictures(model)).shape == (2, 2)
    old, new = own.module.state_dict(), model.module.state_dict()
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    assert changed
    assert all("classifier" in name for name in changed)
    again = load_classifier(tmp_path, labels=["one", "other"]).module.state_dict()
    assert all(torch.equal(new[name], again[name]) for name in new)


def test_other_names_keep_the_head(tmp_path):
    own = published(tmp_path)
    model = load_classifier(tmp_path, labels=["a", "b", "c"])
    assert model.labels == ("a", "b", "c")
    assert torch.equal(model.module.classifier[1].weight, own.module.classifier[1].weight)


@pytest.mark.parametrize("kind", TRANSFORMERS)
def test_the_same_names_in_another_order_keep_the_models(kind, tmp_path):
    """Names given as a set of folders are sorted; the head's rows are not, and keep theirs."""
    own = published(tmp_path, kind)
    model = load_classifier(tmp_path, labels=LABELS[::-1])
    assert model.labels == LABELS
    given = pictures(model)
    expected = [own.labels[i] for i in own.module(given).logits.argmax(1).tolist()]
    said = model.module(given).logits
    assert torch.equal(said, own.module(given).logits)
    assert [model.labels[i] for i in said.argmax(1).tolist()] == expected
    assert model.module.config.id2label == dict(enumerate(LABELS))


def without(folder, part: str) -> None:
    """Take the weights whose names hold ``part`` out of a folder."""
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in state.items() if part not in name}
    assert len(kept) < len(state)
    save_file(kept, folder / "model.safetensors", {"format": "pt"})


def test_a_missing_head_is_told_and_missing_features_are_refused(tmp_path):
    published(tmp_path)
    without(tmp_path, "classifier")
    with pytest.raises(ModelError, match=r"no weights for the head .*; give labels=\[...\]"):
        load_classifier(tmp_path)
    assert load_classifier(tmp_path, labels=LABELS).labels == LABELS
    without(tmp_path, "embedder")
    with pytest.raises(ModelError, match=r"weights are missing .* the first is resnet\.embedder"):
        load_classifier(tmp_path, labels=LABELS)


TRUNK = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 32,
    "patch_size": 8,
}  # fmt: skip


def test_a_missing_weight_of_the_trunk_is_no_head_whatever_its_name(tmp_path):
    """Many transformers call the halves of a block fc1 and fc2."""
    transformers = pytest.importorskip("transformers")
    config = transformers.Dinov2Config(**TRUNK, mlp_ratio=2, id2label=dict(enumerate(LABELS)))
    transformers.Dinov2ForImageClassification(config).save_pretrained(tmp_path)
    assert load_classifier(tmp_path, labels=["one", "other"]).labels == ("one", "other")
    without(tmp_path, "mlp.fc1")
    with pytest.raises(ModelError, match=r"2 weights are missing .* the first is .*mlp\.fc1\.bias"):
        load_classifier(tmp_path, labels=LABELS)


def test_distilled_transformers_have_two_heads(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.DeiTConfig(
        **TRUNK, intermediate_size=16, id2label=dict(enumerate(LABELS))
    )
    transformers.DeiTForImageClassificationWithTeacher(config).save_pretrained(tmp_path)
    assert load_classifier(tmp_path).labels == LABELS
    model = load_classifier(tmp_path, labels=["one", "other"])
    assert model.look(pictures(model)).shape == (2, 2)


def test_timms_heads_within_transformers_are_heads():
    timm = {"missing_keys": ["timm_model.head.fc.weight", "timm_model.fc.bias"]}
    _only_the_head_is_new({**timm, "mismatched_keys": []}, "here", LABELS)
    trunk = {"missing_keys": ["timm_model.blocks.0.mlp.fc1.weight"], "mismatched_keys": []}
    with pytest.raises(ModelError, match=r"the first is timm_model\.blocks\.0\.mlp\.fc1"):
        _only_the_head_is_new(trunk, "here", LABELS)


# --- saved and read back --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["small-resnet", *TRANSFORMERS, "timm:resnet18"])
def test_a_round_trip_is_exact(name, tmp_path, timm):
    if name in TRANSFORMERS:
        pytest.importorskip("transformers")
    settings = {"small-resnet": SMALL, "timm:resnet18": {"pretrained": False}}.get(name, {})
    model = load_classifier(name, labels=LABELS, size=(32, 48), **settings)
    model.mean, model.std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    assert model.resampling == "antialiased"  # which is not the default of a PictureClassifier
    if name == TRANSFORMERS[0]:  # batch statistics are saved too
        model.train().look(pictures(model))
        model.eval()
    save_classifier(model, tmp_path / "kept")
    assert sorted(p.name for p in (tmp_path / "kept").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    same = load_classifier(tmp_path / "kept", seed=7)
    assert torch.equal(same.look(pictures(model)), model.look(pictures(model)))
    for told in ("labels", "size", "mean", "std", "resampling"):
        assert getattr(same, told) == getattr(model, told)
    assert type(same.module) is type(model.module) or name.startswith("timm")
    assert not any(module.training for module in same.modules())


def test_a_fine_tuned_one_of_transformers_stays_what_it_became(tmp_path):
    """A new head, then other weights: no trace of the hub is needed to read it back."""
    published(tmp_path / "hub")
    model = load_classifier(tmp_path / "hub", labels=["one", "other"])
    for weight in model.module.parameters():
        weight.data += 0.01
    save_classifier(model, tmp_path / "tuned")
    for file in (tmp_path / "hub").iterdir():
        file.unlink()
    same = load_classifier(tmp_path / "tuned")
    assert same.labels == ("one", "other")
    assert torch.equal(same.look(pictures(model)), model.look(pictures(model)))


def test_a_model_without_labels_and_one_with_others(tmp_path):
    model = PictureClassifier(small_resnet(LABELS, **SMALL).module, size=(32, 32))
    save_classifier(model, tmp_path)
    assert load_classifier(tmp_path).labels == ()
    assert load_classifier(tmp_path, labels=["a", "b", "c"]).labels == ("a", "b", "c")
    save_classifier(small_resnet(LABELS, **SMALL), tmp_path)
    assert load_classifier(tmp_path, size=(40, 40)).size == (40, 40)
    with pytest.raises(ModelError, match="knows 3 classes, 2 labels were given; leave labels out"):
        load_classifier(tmp_path, labels=["a", "b"])


def test_a_module_of_the_users_own_is_not_written(tmp_path):
    with pytest.raises(ModelError, match="cannot save a PictureClassifier of Linear"):
        save_classifier(PictureClassifier(nn.Linear(3, 2)), tmp_path / "none")
    assert not (tmp_path / "none").exists()


# --- what is not there, or broken -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("smal-resnet", "unknown classifier 'smal-resnet'; did you mean 'small-resnet'"),
        ("small-resnet:x", "unknown classifier 'small-resnet:x'"),
        ("timm:", "unknown classifier 'timm:'.* Known: .* or a folder of a saved one"),
        ("folder:here", "unknown classifier 'folder:here'"),
        ("small-resnet", r"small-resnet has random weights .* give labels=\[...\]"),
        ("transformers-config:vit", "transformers-config:vit has random weights"),
    ],
)
def test_what_is_not_there_is_told(name, told):
    with pytest.raises(ModelError, match=told):
        load_classifier(name)


def test_settings_that_are_not_taken_are_told(tmp_path):
    with pytest.raises(ModelError, match=r"small-resnet does not take the settings width .*width"):
        load_classifier("small-resnet", labels=LABELS, width=8)
    with pytest.raises(ModelError, match="transformers:x/y does not take the settings depth"):
        load_classifier("transformers:x/y", depth=8)
    save_classifier(small_resnet(LABELS, **SMALL), tmp_path)
    with pytest.raises(ModelError, match="does not take the settings revision"):
        load_classifier(tmp_path, revision="main")


def test_a_config_of_another_kind():
    pytest.importorskip("transformers")
    with pytest.raises(ModelError, match=r"unknown config of transformers 'resnt'.*'resnet'"):
        load_classifier("transformers-config:resnt", labels=LABELS)
    with pytest.raises(ModelError, match="30 x 32 pixels cannot be cut into patches of 8"):
        load_classifier(TRANSFORMERS[1], labels=LABELS, size=(30, 32))


def test_transformers_has_nothing_there(tmp_path):
    pytest.importorskip("transformers")
    with pytest.raises(ModelError, match="cannot be loaded as a classifier of transformers"):
        load_classifier(f"transformers:{tmp_path}")


@pytest.mark.skipif(find_spec("timm") is not None, reason="timm is installed here")
def test_a_missing_package_is_told_with_its_cure():
    with pytest.raises(ModelError, match="pip install timm"):
        load_classifier("timm:resnet18")


@pytest.mark.usefixtures("timm")
def test_what_timm_has_not(monkeypatch):
    with pytest.raises(ModelError, match=r"timm cannot make resnt18 \(Unknown model"):
        load_classifier("timm:resnt18", pretrained=False)

    def offline(*_):
        raise ConnectionError("no route\nTraceback")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    with pytest.raises(ModelError, match=r"ConnectionError: no route\); say pretrained=False"):
        load_classifier("timm:resnet18")
    monkeypatch.setattr("timm.get_pretrained_cfg", lambda _: None)
    with pytest.raises(ModelError, match=r"no weights of resnt18 on the hub; is the name right\?"):
        load_classifier("timm:resnt18")


def broken(folder, **changed) -> None:
    """A saved one, its config changed; None takes a key out."""
    save_classifier(small_resnet(LABELS, **SMALL), folder)
    path = folder / "config.json"
    told = json.loads(path.read_text()) | changed
    path.write_text(json.dumps({k: v for k, v in told.items() if v is not None}))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"kind": "smal-resnet"}, r"config\.json: unknown kind of classifier 'smal-resnet'; did"),
        ({"kind": None}, r"config\.json: unknown kind of classifier 'None'"),
        ({"labels": None}, r"config\.json does not describe a classifier \(KeyError: 'labels'\)"),
        ({"module": None}, r"config\.json does not describe a classifier \(KeyError: 'module'\)"),
        ({"module": {"classes": 3, "depth": 1}}, r"config\.json does not describe .*'depth'"),
        ({"module": {"classes": "3"}}, r"config\.json does not describe"),
        ({"size": [0, 3]}, r"config\.json does not describe .*expected at least 1 x 1 pixels"),
        ({"size": 3}, r"config\.json does not describe .*write it with save_classifier"),
        (
            {"module": {"classes": 3}},
            r"model\.safetensors does not fit .*config\.json: \d+ weights",
        ),
    ],
)
def test_a_broken_config_is_told(changed, told, tmp_path):
    broken(tmp_path, **changed)
    with unchecked(), pytest.raises(ModelError, match=told):
        load_classifier(tmp_path)


def test_half_a_folder_is_told(tmp_path):
    with pytest.raises(ModelError, match=r"config\.json does not exist; a classifier is a folder"):
        load_classifier(tmp_path)
    broken(tmp_path)
    (tmp_path / "config.json").write_text('{"kind": "small')
    with pytest.raises(ModelError, match=r"config\.json is not JSON"):
        load_classifier(tmp_path)
    broken(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"model\.safetensors cannot be read as weights"):
        load_classifier(tmp_path)
    weights.unlink()
    with pytest.raises(ModelError, match=r"model\.safetensors does not exist"):
        load_classifier(tmp_path)


def test_a_pickle_is_not_opened(tmp_path):
    broken(tmp_path)
    torch.save({"weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"cannot be read as weights .* nothing in it was"):
        load_classifier(tmp_path)


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    model = small_resnet(LABELS, **SMALL)
    save_classifier(model, tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        save_classifier(small_resnet(LABELS, seed=1, **SMALL), tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
