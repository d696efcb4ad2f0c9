"""Rows of unequal length without their padding: all but attention runs on real tokens, one behind the other.

Attention sees texts of like length together, each at the left of its row, whichever side it was padded on. What the
causal rule hides is then all that has to be hidden, and nothing of a text depends on the others of its batch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from gpt2lab.model.text_attention import ByHead, by_head

# For each new shape oneDNN makes kernels and keeps them.
STEP = 16  # tokens: all of them together are a multiple
TILE = 16  # tokens: so are the rows of a group, of which there are a round number
GROUP = 10_000  # pairs of tokens: what a group costs besides those that it compares
Look = Callable[[Tensor, Tensor | None], Tensor]  # attention over rows, with a mask where the causal rule is not all


class _Rows(torch.autograd.Function):
    """What padding holds gets no gradient: nothing of it is read."""

    @staticmethod
    def forward(ctx: Any, x_NC: Tensor, source: Tensor, slots: Tensor) -> Tensor:
        ctx.save_for_backward(slots)
        return x_NC.index_select(0, source)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # pyrefly: ignore[bad-override]
        return grad.index_select(0, *ctx.saved_tensors), None, None


@dataclass(frozen=True)
class Group:
    """Rows of like length."""

    source: Tensor  # for each place in the rows a token of the group; on padding any, for nobody looks there
    slots: Tensor  # where in the rows its tokens stand
    lengths: Tensor  # of its texts
    shape: tuple[int, int]
    seen: Tensor | None  # who may look at whom, where that is not all that came before

    def rows(self, x_NC: Tensor) -> Tensor:
        return _Rows.apply(x_NC, self.source, self.slots).unflatten(0, self.shape)

    def tokens(self, x_BTC: Tensor) -> Tensor:
        return x_BTC.flatten(0, 1).index_select(0, self.slots)

    @cached_property
    def padding(self) -> Tensor:
        """Which places of the rows hold no token."""
        return torch.arange(self.shape[1]) >= self.lengths[:, None]


@dataclass(frozen=True)
class Unpadded:
    places: Tensor  # of the tokens in the batch; behind the real ones a few that only fill up a step
    real: int  # how many are
    groups: tuple[Group, ...]
    heads: int
    shape: tuple[int, int]

    @cached_property
    def causal(self) -> bool:
        """Whether a token may look at all of its text that came before."""
        return all(group.seen is None for group in self.groups)

    @cached_property
    def by_head(self) -> ByHead:
        return by_head([(group.slots, group.shape) for group in self.groups], len(self.places), self.heads)

    @cached_property
    def sources(self) -> Tensor:
        """For each place in the groups' rows, one group behind the other, a token: on padding any."""
        starts = itertools.accumulate((len(group.slots) for group in self.groups), initial=0)
        return torch.cat([self.places[:0], *(start + group.source for start, group in zip(starts, self.groups))])

    @cached_property
    def slots(self) -> Tensor:
        """For each token its place in these rows; what fills up a step stands behind them all."""
        starts = itertools.accumulate((math.prod(group.shape) for group in self.groups), initial=0)
        filling = self.places.new_full((len(self.places) - self.real,), len(self.sources))
        return torch.cat([*(start + group.slots for start, group in zip(starts, self.groups)), filling])

    def rows_by_group(self, x_PC: Tensor) -> Iterator[Tensor]:
        """Each group's (B, T, C), of what stands at all places of the rows."""
        parts = x_PC.split([math.prod(group.shape) for group in self.groups])
        return (part.unflatten(0, group.shape) for part, group in zip(parts, self.groups))

    def texts_by_group(self, x: Tensor) -> Sequence[Tensor]:
        """Each group's, of what there is for each text."""
        return x.split([len(group.lengths) for group in self.groups])

    def tokens(self, x: Tensor) -> Tensor:
        """Of (B, T) or (B, T, C) what stands at the tokens, one behind the other."""
        return x.flatten(0, 1).index_select(0, self.places)

    def batch(self, x_NC: Tensor) -> Tensor:
        """(B, T, C), with zeros for padding."""
        empty = x_NC.new_zeros(self.shape[0] * self.shape[1], x_NC.shape[1])
        return empty.index_copy(0, self.places[: self.real], x_NC[: self.real]).unflatten(0, self.shape)

    def numbers(self, places_N: Tensor) -> Tensor:
        """Which of the tokens stand at these places of the batch, all of them real."""
        number_of = torch.zeros(self.shape[0] * self.shape[1], dtype=torch.long)
        number_of[self.places[: self.real]] = torch.arange(self.real)
        return number_of[places_N]

    @cached_property
    def last(self) -> Tensor:
        """The last token of each text, as texts stand."""
        return torch.cat([group.lengths for group in self.groups] or [self.places[:0]]).cumsum(0) - 1

    def whose(self, wanted_N: Tensor) -> Tensor | None:
        """If the last token of each text is wanted, and no other: whose these are."""
        if not self.causal or not torch.equal(wanted_N.sort().values, self.last):
            return None
        return torch.searchsorted(self.last, wanted_N)

    def looked(self, x_NC: Tensor, look: Look) -> Tensor:
        """What attention makes of the tokens, group by group; what fills up a step sees nothing."""
        *parts, filling = x_NC.split([*(len(group.slots) for group in self.groups), len(self.places) - self.real])
        found = [group.tokens(look(group.rows(x), group.seen)) for group, x in zip(self.groups, parts)]
        nothing = x_NC.new_zeros(len(filling), x_NC.shape[1] // 3)
        return torch.cat([*found, nothing])


def unpadded(mask: Tensor | None, heads: int) -> Unpadded | None:
    """For a mask that says which tokens are real, (B, T), or who may look at whom, (B, T, T): padding not at itself.

    On a CPU alone: a GPU would have to wait for the number of tokens, and keeps its mask.
    """
    if mask is None or mask.device.type != "cpu" or torch.compiler.is_compiling():
        return None
    mask = mask.bool()
    real_BT = mask if mask.dim() == 2 else mask.diagonal(dim1=1, dim2=2)
    if mask.dim() == 3 and real_BT.all():
        return None
    places, groups, count = [], [], 0
    length, filling = mask.shape[1], -mask.shape[1] % TILE
    real_BT = F.pad(real_BT, (0, filling))
    mask = F.pad(mask, (0, filling, 0, filling)) if mask.dim() == 3 else mask
    to_the_left_BT = (~real_BT).long().argsort(dim=1, stable=True)
    lengths_B = real_BT.sum(dim=1)
    for rows in _of_like_length(lengths_B):
        longest = _tiled(int(lengths_B[rows[0]]))
        lengths, moved = lengths_B[rows], to_the_left_BT[rows, :longest]
        there = torch.arange(moved.shape[1]) < lengths[:, None]
        places.append((rows[:, None] * length + moved)[there])
        seen = _seen(mask[rows], moved) if mask.dim() == 3 else None
        slots, source = there.flatten().nonzero()[:, 0], (there.flatten().cumsum(0) - 1)
        groups.append(Group(source, slots, lengths, (len(rows), moved.shape[1]), seen))
        count += len(places[-1])
    if filling := -count % STEP or STEP * (count == 0):
        places.append(torch.zeros(filling, dtype=torch.long))
    return Unpadded(torch.cat(places), count, tuple(groups), heads, (len(mask), length))


def _of_like_length(lengths_B: Tensor) -> Iterator[Tensor]:
    """Rows, the longest first, in round numbers, so that attention costs least; those without a token are left out."""
    order = lengths_B.argsort(descending=True, stable=True)
    widths = [_tiled(length) for length in lengths_B[order].tolist() if length]
    least, taken = [0] * (len(widths) + 1), [0] * len(widths)  # from a row on: the cost, and how many rows go together
    for row in reversed(range(len(widths))):
        pairs = widths[row] ** 2
        ways = {count: GROUP + count * pairs + least[row + count] for count in _round_numbers(len(widths) - row)}
        taken[row] = min(ways, key=lambda count: ways[count])
        least[row] = ways[taken[row]]
    row = 0
    while row < len(widths):
        yield order[row : row + taken[row]]
        row += taken[row]


def _tiled(length: int) -> int:
    return -(-length // TILE) * TILE


def _round_numbers(most: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12, 16 …"""
    powers = [1 << power for power in range(most.bit_length())]
    return sorted(number for number in {*powers, *(power + power // 2 for power in powers)} if number <= most)


def _seen(mask_BTT: Tensor, moved_BS: Tensor) -> Tensor:
    """Who may look at whom once the rows are moved; what fills them up sees itself, or it would be NaN."""
    length = moved_BS.shape[1]
    mask_BST = mask_BTT.gather(1, moved_BS[:, :, None].expand(-1, -1, mask_BTT.shape[2]))
    mask_BSS = mask_BST.gather(2, moved_BS[:, None, :].expand(-1, length, -1))
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    return ((mask_BSS & causal) | torch.eye(length, dtype=torch.bool))[:, None]
