"""SketchXAINet: the original's numbers, ragged batches, presence, switches, size."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from toys import LABELS, batch_of, empty_batch, scribble, stroke_net

from sightline import ModelError, Sketch, SketchXAINetConfig, load, sketchxainet
from sightline.models.sketchxainet import SketchXAINet, StrokeTokens, stroke_steps, summed_bilstm

CASES = ("lstm", "gru", "lstm_masked")
PADDINGS = ("none", "attended", "zeroed")


# --- the original program's numbers ---------------------------------------------------------------


@pytest.fixture(scope="module")
def original(reference):
    """Six drawings with the original program's logits, and a loader of its weights."""
    folder = reference / "sketchxai"
    expected = load_file(folder / "expected.safetensors")
    about = json.loads((folder / "meta.json").read_text())
    drawings = [_from_stroke3(expected[f"points3.{i}"]) for i in range(len(about["sketches"]))]

    def model(case):
        config = about["cases"][case]["config"]
        return load(
            folder / about["cases"][case]["file"],
            padding="zeroed" if config["mask"] else "attended",
            heads=config["num_attention_heads"],
        )

    return model, drawings, expected


def _from_stroke3(rows):
    """[points, (x, y, pen is up after this point)] -> the drawing, as it stands."""
    ends = (rows[:, 2].nonzero()[:, 0] + 1).tolist()
    starts = [0, *ends[:-1]]
    xy = rows[:, :2].double().numpy()
    return Sketch.from_strokes([xy[a:b] for a, b in zip(starts, ends, strict=True)])


@pytest.mark.parametrize("grad", [False, True], ids=["no_grad", "grad"])
@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_the_original(original, case, grad):
    model, drawings, expected = original
    with torch.set_grad_enabled(grad):
        logits = model(case)(batch_of(*drawings))
    torch.testing.assert_close(logits.detach(), expected[f"{case}.logits"], atol=1e-5, rtol=0)


def test_the_comparison_can_fail(original):
    """The other kind of pad must not pass: else the test above would say nothing."""
    model, drawings, expected = original
    net = model("lstm")
    wrong = SketchXAINet(replace(net.config, padding="zeroed")).eval()
    wrong.load_state_dict(net.state_dict())
    with torch.no_grad():
        away = (wrong(batch_of(*drawings)) - expected["lstm.logits"]).abs().max()
    assert away > 1e-3


# --- the recurrent net ----------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [1, 2])
def test_summed_bilstm_is_torchs_own_lstm(layers):
    torch.manual_seed(3)
    rnn = nn.LSTM(4, 5, num_layers=layers, bidirectional=True).double()
    strokes = [torch.randn(n, 4, dtype=torch.float64) for n in (7, 7, 4, 2, 1)]
    padded = nn.utils.rnn.pad_sequence(strokes)
    packed = pack_padded_sequence(padded, torch.tensor([len(s) for s in strokes]))
    output, _ = pad_packed_sequence(rnn(packed)[0])
    expected = output.sum(0)
    weight = torch.randn_like(expected)
    given = packed.data.clone().requires_grad_()
    ours = summed_bilstm(rnn, given, packed.batch_sizes)
    torch.testing.assert_close(ours, expected, atol=1e-12, rtol=0)

    given_torch = packed.data.clone().requires_grad_()
    theirs, _ = pad_packed_sequence(rnn(packed._replace(data=given_torch))[0])
    wrt = list(rnn.parameters())
    mine = torch.autograd.grad((ours * weight).sum(), [given, *wrt])
    reference = torch.autograd.grad((theirs.sum(0) * weight).sum(), [given_torch, *wrt])
    for a, b in zip(mine, reference, strict=True):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=0)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_shapes_are_the_same_with_and_without_gradients(cell):
    net = stroke_net(cell=cell).double()
    batch = batch_of(scribble(1, 4), scribble(2, 3, longest=12), dtype=torch.float64)
    with torch.no_grad():
        quick = net.shape(batch)
    torch.testing.assert_close(net.shape(batch).detach(), quick, atol=1e-12, rtol=0)


def test_steps_of_a_stroke_by_hand():
    drawing = Sketch.from_strokes([[(1, 1), (2, 3), (2, 0)], [(5, 5), (4, 5)]])
    assert stroke_steps(batch_of(drawing)).tolist() == [
        [0, 0, 1, 0],
        [1, 2, 1, 0],
        [0, -3, 0, 1],
        [0, 0, 1, 0],
        [-1, 0, 0, 1],
    ]


# --- ragged batches -------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", PADDINGS)
def test_a_drawing_does_not_feel_its_batch_mates(padding):
    net = stroke_net(padding=padding).double()
    drawings = [scribble(i, strokes) for i, strokes in enumerate((3, 1, 8, 5))]
    together = net(batch_of(*drawings, dtype=torch.float64))
    for row, drawing in zip(together, drawings, strict=True):
        alone = net(batch_of(drawing, dtype=torch.float64))[0]
        torch.testing.assert_close(row, alone, atol=1e-12, rtol=0)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_drawing_without_strokes_has_an_answer(padding, dtype):
    net = stroke_net(padding=padding).to(dtype)
    logits = net(empty_batch(2))
    assert logits.shape == (2, len(LABELS))
    assert logits.isfinite().all()
    torch.testing.assert_close(logits[0], logits[1])


def test_an_empty_drawing_among_others_changes_nothing():
    net = stroke_net().double()
    batch = batch_of(scribble(1), scribble(2), dtype=torch.float64)
    tokens = net.embed(batch)
    hole = replace(tokens, strokes_per_sketch=torch.tensor([5, 0, 5]))
    torch.testing.assert_close(net.classify(hole)[[0, 2]], net(batch), atol=1e-12, rtol=0)


def test_too_many_strokes_say_what_to_do():
    net = stroke_net(max_strokes=4)
    with pytest.raises(ModelError, match=r"has 5 strokes; .* at most 4: .*select\(range\(4\)\)"):
        net(batch_of(scribble(0, 3), scribble(1, 5)))
    assert net(batch_of(scribble(1, 4))).isfinite().all()


def test_bfloat16_stays_near_float32():
    net, batch = stroke_net(), batch_of(scribble(1), scribble(2, 3))
    exact = net(batch).detach()
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            coarse = stroke_net().bfloat16()(batch)
        assert coarse.dtype == torch.bfloat16
        torch.testing.assert_close(coarse.detach().float(), exact, atol=0.15, rtol=0.05)


# --- presence -------------------------------------------------------------------------------------


def _without(tokens: StrokeTokens, kept: list[int], counts: list[int]) -> StrokeTokens:
    return StrokeTokens(
        tokens.shape[kept], tokens.location[kept], tokens.order[kept], torch.tensor(counts)
    )


def test_presence_one_is_the_drawing_itself():
    net = stroke_net().double()
    batch = batch_of(scribble(1), scribble(2, 3), dtype=torch.float64)
    ones = torch.ones(8, dtype=torch.float64)
    with_ones = net.classify(net.embed(batch), presence=ones)
    torch.testing.assert_close(with_ones, net(batch), atol=1e-12, rtol=0)


def test_presence_zero_is_the_drawing_without_the_stroke():
    """The strokes that stay keep their place in the order."""
    net = stroke_net().double()
    tokens = net.embed(batch_of(scribble(1, 5), scribble(2, 3), dtype=torch.float64))
    presence = torch.tensor([1, 0, 1, 0, 1, 0, 1, 1], dtype=torch.float64)
    expected = net.classify(_without(tokens, [0, 2, 4, 6, 7], [3, 2]))
    torch.testing.assert_close(
        net.classify(tokens, presence=presence), expected, atol=1e-12, rtol=0
    )
    moved_up = replace(
        _without(tokens, [0, 2, 4, 6, 7], [3, 2]), order=torch.tensor([0, 1, 2, 0, 1])
    )
    assert (net.classify(moved_up) - expected).abs().max() > 1e-3


def test_nothing_present_is_the_class_token_alone():
    net = stroke_net().double()
    tokens = net.embed(batch_of(scribble(1), dtype=torch.float64))
    nothing = net.classify(tokens, presence=torch.zeros(5, dtype=torch.float64))
    alone = net.classify(_without(tokens, [], [0]))
    torch.testing.assert_close(nothing, alone, atol=1e-12, rtol=0)


@pytest.mark.parametrize("loud", [30.0, 300.0])
def test_an_absent_stroke_stays_absent_however_loud_it_is(loud):
    """Attention scores far beyond exp's range, of the absent stroke or of the others."""
    net = stroke_net()
    with torch.no_grad():
        for layer in net.layers:
            layer.qkv.weight.mul_(loud)
    tokens = net.embed(batch_of(scribble(1, 5), scribble(2, 3)))
    for gone in range(5):
        kept = [i for i in range(8) if i != gone]
        presence = torch.ones(8)
        presence[gone] = 0
        presence.requires_grad_()
        soft = net.classify(tokens, presence=presence)
        torch.testing.assert_close(soft, net.classify(_without(tokens, kept, [4, 3])))
        slope = torch.autograd.grad(soft.sum(), presence)[0]
        assert slope.isfinite().all()


@pytest.mark.parametrize("padding", PADDINGS)
def test_the_gradient_by_presence_is_right(padding):
    net = stroke_net(padding=padding, max_strokes=6).double()
    tokens = net.embed(batch_of(scribble(1, 3), scribble(2, 2), dtype=torch.float64))
    tokens = replace(tokens, shape=tokens.shape.detach())
    for values in ([1.0] * 5, [0.3, 1.0, 0.0, 0.7, 0.0], [0.0] * 5):
        presence = torch.tensor(values, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda p: net.classify(tokens, presence=p), (presence,))


def test_the_gradient_by_location_is_right_and_moves_the_whole_stroke():
    net = stroke_net().double()
    batch = batch_of(scribble(1, 3), dtype=torch.float64)
    tokens = replace(net.embed(batch), shape=net.embed(batch).shape.detach())
    place = tokens.location.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda p: net.classify(tokens, location=p), (place,))
    shift = torch.tensor([0.2, -0.1], dtype=torch.float64)
    moved = batch.with_points(batch.points + shift * (batch.stroke_of_point == 1)[:, None])
    by_token = net.classify(tokens, location=tokens.location + shift * torch.eye(3)[1][:, None])
    torch.testing.assert_close(by_token, net(moved), atol=1e-12, rtol=0)


@pytest.mark.parametrize("padding", ["attended", "zeroed"])
def test_presence_zero_is_an_empty_slot_where_pads_are_attended(padding):
    net = stroke_net(padding=padding, max_strokes=6).double()
    tokens = net.embed(batch_of(scribble(1, 4), dtype=torch.float64))
    presence = torch.tensor([1.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    # strokes 2 and 3 are last: without them their slots are pads
    torch.testing.assert_close(
        net.classify(tokens, presence=presence),
        net.classify(_without(tokens, [0, 1], [2])),
        atol=1e-12,
        rtol=0,
    )
    middle = torch.tensor([1.0, 0.0, 1.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(
        net.classify(tokens, presence=middle),
        net.classify(_without(tokens, [0, 2, 3], [3])),
        atol=1e-12,
        rtol=0,
    )


def test_pads_are_what_the_padding_says():
    """An attended pad is location bias + order row; written into the tokens by hand."""
    attended = stroke_net(padding="attended", max_strokes=5).double()
    tokens = attended.embed(batch_of(scribble(1, 3), dtype=torch.float64))
    nothing = torch.zeros(2, 16, dtype=torch.float64)
    by_hand = StrokeTokens(
        torch.cat([tokens.shape, nothing]),
        torch.cat([tokens.location, torch.zeros(2, 2)]),
        torch.arange(5),
        torch.tensor([5]),
    )
    plain = SketchXAINet(replace(attended.config, padding="none")).double().eval()
    plain.load_state_dict(attended.state_dict())
    torch.testing.assert_close(
        attended.classify(tokens), plain.classify(by_hand), atol=1e-12, rtol=0
    )


# --- switches -------------------------------------------------------------------------------------


def _changed(tokens: StrokeTokens, what: str) -> StrokeTokens:
    changes = {
        "shape": {"shape": tokens.shape.roll(1, 1) - 0.5 * tokens.shape},
        "location": {"location": tokens.location.flip(0) + 0.3},
        "order": {"order": tokens.order + 2},
    }
    return replace(tokens, **changes[what])


@pytest.mark.parametrize("padding", ["none", "attended"])
@pytest.mark.parametrize("what", ["shape", "location", "order"])
def test_a_switched_off_term_has_no_effect_and_the_others_have(what, padding):
    batch = batch_of(scribble(1, 4), dtype=torch.float64)
    terms = ("shape", "location", "order")
    if padding != "none":  # there the order is also the slot; location of pads is fixed
        terms = ("shape", "location")
    for off in terms:
        net = stroke_net(padding=padding, max_strokes=8, **{f"use_{off}": False}).double()
        tokens = net.embed(batch)
        if what not in terms:
            continue
        moved = (net.classify(_changed(tokens, what)) - net.classify(tokens)).abs().max()
        assert moved == 0 if what == off else moved > 1e-3


def test_everything_switched_off_still_answers():
    net = stroke_net(use_shape=False, use_location=False, use_order=False)
    assert net(batch_of(scribble(1))).isfinite().all()


def test_dropout_acts_in_training_only():
    net, batch = stroke_net(dropout=0.5), batch_of(scribble(1))
    torch.testing.assert_close(net(batch), net(batch), atol=0, rtol=0)
    net.train()
    with torch.random.fork_rng(devices=[]):
        assert not torch.equal(net(batch), net(batch))


# --- size -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "millions"), [("tiny", 5.74), ("base", 90.22)])
def test_sizes_are_the_published_ones(size, millions):
    with torch.device("meta"):
        net = sketchxainet(size, tuple(str(i) for i in range(345)))
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, rel=0.01)


def test_wrong_settings_name_the_right_ones():
    with pytest.raises(ModelError, match="unknown size 'small'.* nano, tiny, base"):
        sketchxainet("small", LABELS)
    with pytest.raises(ModelError, match=r"unknown padding 'zeros'; did you mean 'zeroed'\?"):
        SketchXAINet(SketchXAINetConfig(LABELS, padding="zeros"))
    with pytest.raises(ModelError, match="unknown cell 'rnn'.* lstm, gru"):
        SketchXAINet(SketchXAINetConfig(LABELS, cell="rnn"))
