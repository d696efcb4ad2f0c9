"""Several processes that train one model: each computes its rows' gradient, and all add them up once a step."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from gpt2lab.core.errors import Failed, UserError

RENDEZVOUS = "GPT2LAB_RENDEZVOUS"  # where the processes of our own launcher meet
LAUNCHERS = {"SLURM_NTASKS": "SLURM_PROCID", "OMPI_COMM_WORLD_SIZE": "OMPI_COMM_WORLD_RANK", "PMI_SIZE": "PMI_RANK"}


@dataclass(frozen=True)
class Team:
    """This process among those that train together."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Every tensor becomes the sum of all processes' ones, in place."""
        if self.size > 1:
            with _lost_others():
                for work in [dist.all_reduce(tensor, async_op=True) for tensor in tensors]:
                    work.wait()  # pyrefly: ignore[missing-attribute]

    def take_from_first(self, tensors: Sequence[Tensor]) -> None:
        if self.size > 1:
            with _lost_others():
                for tensor in tensors:
                    dist.broadcast(tensor, 0)

    def wait(self) -> None:
        if self.size > 1:
            with _lost_others():
                dist.barrier()


@contextlib.contextmanager
def _lost_others() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise Failed(
            f"another process of this training has gone ({str(error).splitlines()[0]})",
            way_out="resume: everything up to the last checkpoint is saved",
        ) from error


ALONE = Team()


def join(device: torch.device) -> Team:
    """Of the processes that torchrun or our own launcher started; a process started by itself is alone."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        refuse_copies(os.environ)
        return ALONE
    if not dist.is_initialized():
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(
            backend, init_method=os.environ.get(RENDEZVOUS, "env://"), rank=int(os.environ["RANK"]), world_size=size
        )
    return Team(dist.get_rank(), dist.get_world_size())


def leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def own_device(wanted: torch.device) -> torch.device:
    """Each process of a machine has a GPU of its own."""
    if wanted.type == "cuda" and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return wanted


def refuse_copies(environ: os._Environ[str] | dict[str, str]) -> None:
    """Launchers that start several processes and do not say so in torch's way would train unsynchronised copies."""
    for size, rank in LAUNCHERS.items():
        if rank in environ and int(environ.get(size, "1")) > 1 and "WORLD_SIZE" not in environ:
            raise UserError(
                f"{environ[size]} copies were started, and each would train a model of its own",
                place=f"{size} in the environment",
                way_out="start one task a machine and give --processes N, or start it with torchrun",
            )
