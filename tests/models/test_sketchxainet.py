"""SketchXAINet: the original's numbers, ragged batches, presence, switches, size."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from sightline import ModelError, Sketch, SketchXAINetConfig, load, sketchxainet
from sightline.models.sketchxainet import SketchXAINet, StrokeTokens
from sightline.models.stroke_shape import stroke_steps, summed_bilstm
from toys import LABELS, batch_of, empty_batch, scribble, stroke_net, unchecked

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
    points = [[1.0] * 5, [0.3, 1.0, 0.2, 0.7, 0.6]]
    if padding != "zeroed":  # there a token of length 0 jumps: its layer norm knows no length
        points += [[0.3, 1.0, 0.0, 0.7, 0.0], [0.0] * 5]
    for values in points:
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


TERMS = ("shape", "location", "order")


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("off", [None, *TERMS])
def test_a_switched_off_term_has_no_weight(off, padding):
    """New weights for one term: nothing changes if and only if the term is off."""
    batch = batch_of(scribble(1, 4), dtype=torch.float64)
    switches = {} if off is None else {f"use_{off}": False}
    for term in TERMS:
        net = stroke_net(padding=padding, max_strokes=8, **switches).double()
        before = net(batch)
        with torch.no_grad():
            for weight in getattr(net, term).parameters():
                weight.copy_(weight.roll(1, 0) * 0.5 + 0.1)
        moved = (net(batch) - before).abs().max()
        assert moved == 0 if term == off else moved > 1e-4


def test_without_order_strokes_may_be_drawn_in_any_order():
    drawing = scribble(1, 4)
    turned = drawing.select([2, 0, 3, 1])
    for use_order in (False, True):
        net = stroke_net(use_order=use_order).double()
        a, b = net(batch_of(drawing, turned, dtype=torch.float64))
        assert torch.allclose(a, b, atol=1e-12, rtol=0) != use_order


def test_without_location_strokes_may_stand_anywhere():
    batch = batch_of(scribble(1, 4), dtype=torch.float64)
    shift = torch.tensor([[0.3, 0.0], [-0.2, 0.1], [0.0, 0.5], [0.1, -0.4]])
    moved = batch.with_points(batch.points + shift[batch.stroke_of_point])
    for use_location in (False, True):
        net = stroke_net(use_location=use_location).double()
        close = torch.allclose(net(batch), net(moved), atol=1e-12, rtol=0)
        assert close != use_location


def test_without_shape_only_first_points_matter():
    batch = batch_of(scribble(1, 4), dtype=torch.float64)
    later = torch.ones(len(batch.points), 1)
    later[batch.stroke_offsets[:-1]] = 0
    bent = batch.with_points(batch.points + 0.3 * later * batch.points.flip(1))
    for use_shape in (False, True):
        net = stroke_net(use_shape=use_shape).double()
        assert torch.allclose(net(batch), net(bent), atol=1e-12, rtol=0) != use_shape


def test_everything_switched_off_still_answers():
    net = stroke_net(use_shape=False, use_location=False, use_order=False)
    assert net(batch_of(scribble(1))).isfinite().all()


def test_dropout_acts_in_training_only():
    net, batch = stroke_net(dropout=0.5), batch_of(scribble(1))
    first, again = net(batch), net(batch)
    torch.testing.assert_close(first, again, atol=0, rtol=0)
    net.train()
    with torch.random.fork_rng(devices=[]):
        first, again = net(batch), net(batch)
    assert (first - again).abs().max() > 1e-3


# --- size -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "millions"), [("tiny", 5.74), ("base", 90.22)])
def test_sizes_are_the_published_ones(size, millions):
    with torch.device("meta"):
        net = sketchxainet(size, tuple(str(i) for i in range(345)))
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, rel=0.01)


def test_wrong_settings_name_the_right_ones():
    with pytest.raises(ModelError, match=r"unknown size 'small'.* nano, tiny, base"):
        sketchxainet("small", LABELS)
    with unchecked(), pytest.raises(ModelError, match=r"'zeros'; did you mean 'zeroed'\?"):
        SketchXAINet(SketchXAINetConfig(LABELS, padding="zeros"))
    with unchecked(), pytest.raises(ModelError, match=r"unknown cell 'rnn'.* lstm, gru"):
        SketchXAINet(SketchXAINetConfig(LABELS, cell="rnn"))


# --- logits and attention of one pass -------------------------------------------------------------


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("layers", [1, 3])
def test_logits_and_attention_come_out_of_one_pass(padding, layers):
    net = stroke_net(padding=padding, layers=layers).double()
    batch = batch_of(scribble(1, 4), scribble(2, 1), scribble(3, 6), dtype=torch.float64)
    tokens = net.embed(batch)
    logits, shares = net.classify_attending(tokens)
    torch.testing.assert_close(logits, net(batch), atol=1e-12, rtol=0)
    *before, last = net.attention(tokens)
    assert len(shares) == layers
    for ours, theirs in zip(shares, [*before, last[:, :, :1]], strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)
    assert all(share.requires_grad for share in shares)
