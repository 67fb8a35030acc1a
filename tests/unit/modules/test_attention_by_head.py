import pytest
import torch

from espnet_adaptive_dropout import compat
from espnet_adaptive_dropout.modules.attention import attend
from espnet_adaptive_dropout.modules.attention_by_head import (
    attend_by_head,
    scores_by_distance,
)

TIME = 11
WIDTHS = [(3, 2), (0, 4), (5, 0), (2, 1)]


def heads_of(vectors, kind):
    """(#batch, time, units) -> one (#batch, 1, time, width) for each head."""
    widths = [width[kind] for width in WIDTHS]
    return [part.unsqueeze(1) for part in vectors.split(widths, dim=-1)]


def padding_mask(kind):
    lengths = torch.tensor([TIME, 4])
    mask = (torch.arange(TIME) < lengths[:, None]).unsqueeze(1)
    if kind == "square":
        return mask & torch.ones(TIME, TIME, dtype=torch.bool).tril()
    return {"none": None, "padded": mask, "all real": torch.ones_like(mask)}[kind]


@pytest.mark.parametrize("kind", ["none", "padded", "all real", "square"])
@pytest.mark.parametrize("rows", [None, 1, 4, 128])
@pytest.mark.parametrize("relative", [False, True])
def test_heads_one_by_one_are_the_heads_of_attend(kind, rows, relative):
    query, key = torch.randn(2, TIME, 10), torch.randn(2, TIME, 10)
    value, places = torch.randn(2, TIME, 7), torch.randn(1, 2 * TIME - 1, 10)
    mask, d_k = padding_mask(kind), 6

    def position_scores(units, some):
        return scores_by_distance(query[..., units], places[..., units], some)

    actual = attend_by_head(
        query,
        key,
        value,
        position_scores if relative else None,
        mask,
        d_k,
        WIDTHS,
        rows,
    )
    stock = compat.RelPositionMultiHeadedAttention(1, 8, 0.0)
    expected = []
    for q, k, v, p in zip(
        *(heads_of(x, i) for x, i in zip((query, key, value, places), (0, 0, 1, 0)))
    ):
        position = None
        if relative:
            position = stock.rel_shift(torch.matmul(q, p.transpose(-2, -1)))
        context, _ = attend(q, k, v, position, mask, d_k, torch.nn.Identity())
        expected.append(context.squeeze(1))
    torch.testing.assert_close(actual, torch.cat(expected, dim=-1))
