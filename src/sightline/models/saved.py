"""A model as a folder: what it is in ``config.json``, its weights in ``model.safetensors``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sightline.errors import ModelError, first_line
from sightline.sketch.files import replace_file

WEIGHTS = "model.safetensors"
CONFIG = "config.json"


def write_saved(
    folder: str | os.PathLike[str],
    config: Mapping[str, Any],
    state: Mapping[str, Tensor],
    *,
    half: bool = False,
) -> None:
    """Write both files; ``half`` stores float16."""
    from safetensors.torch import save as as_bytes

    written = json.dumps(config, indent=2).encode() + b"\n"
    tensors = {
        name: (value.half() if half and value.is_floating_point() else value)
        .detach()
        .contiguous()
        .cpu()
        for name, value in state.items()
    }
    with replace_file(Path(folder) / WEIGHTS) as stream:
        stream.write(as_bytes(tensors, {"format": "pt"}))
    with replace_file(Path(folder) / CONFIG) as stream:
        stream.write(written)


def read_told(path: Path, kind: str) -> dict[str, Any]:
    """What a config tells of a model of this kind; nothing where it is no table.

    Raises:
        ModelError: no file, or no JSON.
    """
    try:
        told = json.loads(path.read_text())
    except OSError:
        article = "an" if kind[0] in "aeiou" else "a"
        raise ModelError(
            f"{path} does not exist; {article} {kind} is a folder with {CONFIG} and {WEIGHTS}, as "
            f"save_{kind} writes it"
        ) from None
    except (ValueError, RecursionError):
        raise ModelError(f"{path} is not JSON; write it with save_{kind}") from None
    return told if isinstance(told, dict) else {}


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a ``.safetensors`` file, or of another read with ``weights_only``.

    Raises:
        ModelError: no file, or one that holds something else; nothing in it is executed.
    """
    import pickle

    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise ModelError(f"{path} does not exist: the installation is incomplete")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise ModelError(
            f"{path} cannot be read as weights ({first_line(error)}); nothing in it was executed"
        ) from None
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ModelError(f"{path} holds no table of tensors; save model.state_dict() instead")
    return {name.removeprefix("module."): value for name, value in state.items()}


def fill_exactly(module: nn.Module, state: Mapping[str, Tensor], home: Path, kind: str) -> None:
    """Put weights into a module; all of them, and no others.

    Raises:
        ModelError: one is missing, too many, or of another shape.
    """
    wanted = {name: list(value.shape) for name, value in module.state_dict().items()}
    given = {name: list(value.shape) for name, value in state.items()}
    wrong = sorted(n for n in wanted.keys() | given.keys() if wanted.get(n) != given.get(n))
    if wrong:
        first = wrong[0]
        raise ModelError(
            f"{home / WEIGHTS} does not fit {home / CONFIG}: {len(wrong)} weights differ, the "
            f"first is {first}, expected {wanted.get(first, 'none')}, came "
            f"{given.get(first, 'none')}; are they of two models? Write both with save_{kind}"
        )
    module.load_state_dict(dict(state))
