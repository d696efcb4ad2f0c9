"""Questions for the one scorer, and a process's share of them."""

import json
import os

import numpy as np
import torch

from gpt2lab.measure.likelihood import Question, score
from gpt2lab.train import processes
from models import language_model


def question(context, *continuations):
    return Question(np.array(context, np.int64), [np.array(ids, np.int64) for ids in continuations])


def some_questions():
    draw = np.random.default_rng(5).integers
    sizes = [(3, (4, 2, 7, 1)), (24, (1, 5)), (40, (3, 24, 9)), (1, (24,)), (10, (6, 6, 6, 6)), (7, ())]
    return [
        question(draw(0, 101, context), *(draw(0, 101, length) for length in lengths)) for context, lengths in sizes
    ]


def plain(found):
    return [[[answer.log_likelihoods.tolist(), answer.greedy] for answer in answers] for answers in found]


def share(rank, place):
    """What one of two processes knows in the end."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", processes.RENDEZVOUS: f"file://{place}/meeting"}
    found = score(language_model(), some_questions(), token_budget=64, team=processes.join(torch.device("cpu")))
    (place / f"{rank}.json").write_text(json.dumps(plain(found)))
    processes.leave()
