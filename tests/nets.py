"""Small picture networks with insides: maps, gates, biases, tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sightline.models.raster import RasterModel
from toys import LABELS, behind


def seeded(build, seed: int = 0, **settings) -> RasterModel:
    """A module behind a 16-pixel rasteriser, float64, evaluation mode, no number at its default."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = build()
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.normal_(layer.running_mean, std=0.3)
                nn.init.uniform_(layer.running_var, 0.5, 2)
                nn.init.uniform_(layer.weight, 0.5, 2)
            if isinstance(getattr(layer, "bias", None), Tensor):
                nn.init.normal_(layer.bias, std=0.3)
    return behind(module, **settings).double().eval()


def bent_head() -> nn.Module:
    """Two convolutions to 4 maps of 4 x 4, then a head whose slope differs from place to place."""
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, stride=2, padding=1),
        nn.Tanh(),
        nn.Conv2d(3, 4, 3, stride=2, padding=1),
        nn.Flatten(),
        nn.Linear(64, 6),
        nn.Tanh(),
        nn.Linear(6, len(LABELS)),
    )


class Folded(nn.Module):
    """ReLU in place, used twice; batch normalisation; max pooling; a mean and a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 5, 3, padding=1, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Linear(5, len(LABELS))

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.norm(self.first(x))))
        return self.head(self.pool(self.relu(self.second(x))).mean((2, 3)))


class Patches(nn.Module):
    """A vision transformer: 4 x 4 patches of 4 pixels, with or without a class token."""

    def __init__(self, *, class_token: bool = True, width: int = 8) -> None:
        super().__init__()
        self.embed = nn.Conv2d(1, width, 4, stride=4)
        self.class_token = nn.Parameter(torch.randn(1, 1, width)) if class_token else None
        self.place = nn.Parameter(torch.randn(1, 16 + class_token, width))
        self.blocks = nn.ModuleList(_Block(width) for _ in range(2))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, len(LABELS))

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        if self.class_token is not None:
            x = torch.cat([self.class_token.expand(len(x), -1, -1), x], 1)
        x = x + self.place
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return self.head(x[:, 0] if self.class_token is not None else x.mean(1))


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.before = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.keys = nn.Identity()
        self.shares = nn.Identity()
        self.out = nn.Linear(width, width)
        self.between = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 12), nn.GELU(), nn.Linear(12, width))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.before(x)).unflatten(2, (3, 2, -1)).permute(2, 0, 3, 1, 4)
        k = self.keys(k)  # [batch, heads, tokens, width]: looks like a map, and is none
        share = self.shares((q @ k.transpose(2, 3) / 2).softmax(-1))  # tokens by tokens: neither
        x = x + self.out((share @ v).transpose(1, 2).flatten(2))
        return x + self.mlp(self.between(x))
