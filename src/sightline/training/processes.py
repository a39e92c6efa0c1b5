"""Several processes that train or evaluate one model together."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class Processes:
    """This process among those that work together; one by itself by default.

    Args:
        rank: this process, from 0; the first one writes and prints.
        count: how many there are.
        device: index of this process's GPU on its machine.
    """

    rank: int = 0
    count: int = 1
    device: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    def share(self, tensor: Tensor) -> Tensor:
        """This process's rows: every ``count``-th, from ``rank`` on. Nothing twice, no padding."""
        return tensor[self.rank :: self.count]

    def sum(self, tensor: Tensor) -> Tensor:
        """Sum over all processes, in place; the same bits in each."""
        if self.count > 1:
            distributed.all_reduce(tensor)
        return tensor

    def sum_each(self, tensors: Sequence[Tensor]) -> None:
        """Sum of each tensor over all processes, in place, in one message."""
        if self.count == 1 or not tensors:
            return
        flat = self.sum(torch.cat([tensor.flatten() for tensor in tensors]))
        pieces = flat.split([tensor.numel() for tensor in tensors])
        for tensor, piece in zip(tensors, pieces, strict=True):
            tensor.copy_(piece.view_as(tensor))

    def from_first(self, tensors: Iterable[Tensor]) -> None:
        """Every process gets the first one's values, in place."""
        if self.count > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, 0)

    def agree(self, number: int) -> bool:
        """Whether all processes came with the same number."""
        if self.count == 1:
            return True
        found: list[object] = [None] * self.count
        distributed.all_gather_object(found, number)
        return all(other == number for other in found)

    def leave(self) -> None:
        """End this process with status 0 once all have come so far; alone, do nothing.

        For the last line of a program: while Python takes a process down, a thread of gloo's may
        still abort it ("terminate called without an active exception", seen once in dozens of
        runs on a loaded machine), and ``torchrun`` would call a finished run failed.
        """
        if self.count == 1:
            return
        distributed.barrier()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


ALONE = Processes()


@contextmanager
def joined() -> Iterator[Processes]:
    """Join the processes that ``torchrun`` started with this one; `ALONE` without it.

    Gloo carries what is on the CPU and NCCL what is on GPUs. A process that fails does not wait
    for the others: it ends, and ``torchrun`` ends them.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or "MASTER_ADDR" not in os.environ:
        yield ALONE
        return
    gpus = torch.cuda.is_available() and distributed.is_nccl_available()
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if gpus:
        torch.cuda.set_device(local)
    distributed.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo")
    yield Processes(distributed.get_rank(), distributed.get_world_size(), local)
    distributed.barrier()  # gloo may abort a process that leaves before the others
    distributed.destroy_process_group()
