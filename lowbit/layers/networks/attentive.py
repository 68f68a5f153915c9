"""The network that answers a question about a document by attending to the document."""

import dataclasses
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from lowbit.datasets import Recipe
from lowbit.datasets.cloze import QUESTION_STEPS, Passage
from lowbit.layers import networks
from lowbit.layers.cells import State
from lowbit.layers.networks.base import Lengths, Network, NetworkWeights
from lowbit.layers.networks.last_step import LastStep
from lowbit.layers.recurrent import Design

ATTENTION = 100  # units of the score of a step, as in A's code
ATTENTION_SCALE = 8.0  # of the first weights of attention, over torch's usual ones
EXCLUDED = -1000.0  # the logit of an entity that the document lacks, as in A's code


class ReaderWeights(NamedTuple):
    """The weights of one question: quantized or not, drawn once."""

    document: NetworkWeights
    question: NetworkWeights


@networks.registry.register_as("cloze")
class Attentive(Network):
    r"""The attentive reader of hermann2015teaching.

    One bidirectional stack reads the document, its outputs $y_t$ being both directions at step $t$; another reads
    the question, $u$ being the last output of each direction.
    $m_t = \tanh(W_{ym} y_t + W_{um} u)$, $s_t \propto \exp(w^\top m_t)$, $r = \sum_t s_t y_t$,
    $g = \tanh(W_{rg} r + W_{ug} u)$, and the logits of the entity symbols are a linear function of $g$.

    Padding gets no attention, and entities that the document lacks no probability. A's code predicts from $r$ and $u$
    without $g$. It also joins backward states to forward states without bringing them back into the order of time,
    so that both belong to different steps; here each $y_t$ is of one step.

    $W_{ym}$ and $W_{um}$ start large, so that attention is learned sooner. Near zero tanh is a straight line, with
    which $u$ adds the same to the score of every step, and attention does not depend on the question.

    Embedding, attention and readout stay in full precision unless the design names the embedding or the readout;
    the matrices of $u$ count as readout.
    """

    def __init__(self, inputs: int, outputs: int, recipe: Recipe, design: Design):
        recipe = dataclasses.replace(recipe, bidirectional=True)
        super().__init__(inputs, outputs, recipe, design)
        width = self.readout.in_features
        embedded = dataclasses.replace(recipe, embedding=0, steps=min(recipe.steps, QUESTION_STEPS))
        self.question = LastStep(recipe.embedding or inputs, ATTENTION + width, embedded, design)
        self.attend = nn.Linear(width, ATTENTION, bias=False)
        self.weigh = nn.Linear(ATTENTION, 1, bias=False)
        self.join = nn.Linear(width, width, bias=False)
        with torch.no_grad():
            for w in (self.attend.weight, self.question.readout.weight[:ATTENTION]):
                w.mul_(ATTENTION_SCALE)

    def round(self, sample: bool | None = None) -> ReaderWeights:
        """The weights of one question and its document, of all four directions."""
        return ReaderWeights(super().round(sample), self.question.round(sample))

    def forward(
        self, x: Passage, states: list | None = None, weights: ReaderWeights | None = None, lengths: Lengths = None
    ) -> tuple[Float[Tensor, "batch entities"], list[State]]:
        """Logits of the entity symbols; no state goes from one question to the next."""
        w, w_question = weights or self.round()
        document, question = x.document, x.question
        if w.embedding is not None:
            document, question = (F.embedding(symbols, w.embedding) for symbols in (document, question))
        y, _ = self.run(document, None, w.layers, x.lengths)
        u, _ = self.question(question, None, w_question, x.question_lengths)
        u_attend, u_join = u.split((ATTENTION, y.shape[2]), dim=1)
        scores = self.weigh(torch.tanh(self.attend(y) + u_attend)).squeeze(2)
        padding = torch.arange(len(y), device=y.device)[:, None] >= x.lengths
        shares = scores.masked_fill(padding, -torch.inf).softmax(dim=0)
        r = torch.einsum("tb,tbi->bi", shares, y)
        g = torch.tanh(self.join(r) + u_join)
        logits = F.linear(g, w.readout, self.readout.bias)
        return logits if self.training else logits.masked_fill(~x.candidates, EXCLUDED), []
