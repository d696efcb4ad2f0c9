"""Several processes that train one model: each computes its rows' gradient, and all add them up once a step."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from gpt2lab.core.errors import Failed, UserError

RENDEZVOUS = "GPT2LAB_RENDEZVOUS"  # where the processes of our own launcher meet
LAUNCHER = "GPT2LAB_LAUNCHER"  # its process
LAUNCHERS = {"SLURM_NTASKS": "SLURM_PROCID", "OMPI_COMM_WORLD_SIZE": "OMPI_COMM_WORLD_RANK", "PMI_SIZE": "PMI_RANK"}

BUCKET_BYTES = 32e6
BUCKETS_UNDER_WAY = 2


@dataclass(frozen=True)
class Team:
    """This process among those that train together."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Every tensor becomes the sum of all processes' ones, in place.

        Not by DistributedDataParallel: it takes the mean over processes, and the sum over targets must be exact where
        processes have rows of unequal length, or none. Its buckets are here too, since one message a tensor costs more
        than the bytes; while one is under way the next is filled. They are the same each time, and so are the sums.
        """
        if self.size == 1:
            return
        with _lost_others():
            under_way: deque[tuple[list[Tensor], Tensor, dist.Work]] = deque()
            for bucket in buckets(tensors):
                flat = torch.cat([tensor.flatten() for tensor in bucket])
                work = dist.all_reduce(flat, async_op=True)
                assert work is not None
                under_way.append((bucket, flat, work))
                if len(under_way) > BUCKETS_UNDER_WAY:
                    _take_back(*under_way.popleft())
            while under_way:
                _take_back(*under_way.popleft())

    def take_from_first(self, tensors: Sequence[Tensor]) -> None:
        if self.size > 1:
            with _lost_others():
                for tensor in tensors:
                    dist.broadcast(tensor, 0)

    def wait(self) -> None:
        if self.size > 1:
            with _lost_others():
                dist.barrier()


def buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Tensors in their order, of one number format and together of about `BUCKET_BYTES`, or a larger one alone."""
    bucket: list[Tensor] = []
    for tensor in tensors:
        size = sum(member.nbytes for member in bucket) + tensor.nbytes
        if bucket and (size > BUCKET_BYTES or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket


def _take_back(bucket: list[Tensor], flat: Tensor, work: dist.Work) -> None:
    work.wait()
    for tensor, part in zip(bucket, flat.split([tensor.numel() for tensor in bucket])):
        tensor.copy_(part.view(tensor.shape))


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
    if device.type == "mps":
        raise UserError("several processes need a GPU each, or CPUs: MPS is one device", way_out="add --device cpu")
    if not dist.is_initialized():
        gpu = device.type == "cuda"
        if gpu:
            torch.cuda.set_device(device)
        dist.init_process_group(
            "nccl" if gpu else "gloo",
            init_method=os.environ.get(RENDEZVOUS, "env://"),
            rank=int(os.environ["RANK"]),
            world_size=size,
            device_id=device if gpu else None,
        )
    return Team(dist.get_rank(), dist.get_world_size())


def by_our_launcher() -> bool:
    return RENDEZVOUS in os.environ


def die_with_launcher() -> None:
    """A launcher that was killed cannot tell its processes; without this they would train on, unseen."""
    launcher = os.environ.get(LAUNCHER)
    if launcher:
        threading.Thread(target=_watch, args=(int(launcher),), daemon=True).start()


def _watch(launcher: int) -> None:
    while os.getppid() == launcher:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def own_device(wanted: torch.device) -> torch.device:
    """Each process of a machine has a GPU of its own."""
    if wanted.type == "cuda" and "LOCAL_RANK" in os.environ:
        own, count = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if own >= count:
            raise UserError(f"there are {count} GPUs here, and this is process {own + 1}", way_out="fewer processes")
        return torch.device("cuda", own)
    if wanted.type == "cuda" and wanted.index is None and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(
            "this process is one of several and does not know which GPU is its own",
            place="LOCAL_RANK in the environment",
            way_out="start them with --processes N or torchrun, or give each --device cuda:N",
        )
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
