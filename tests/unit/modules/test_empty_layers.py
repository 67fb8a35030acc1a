import pytest
import torch

from espnet_adaptive_dropout.modules.empty_layers import linear


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
def test_an_empty_layer_gives_no_gradient_where_none_is_recorded():
    layer = linear(0, 4)
    assert layer(torch.zeros(2, 3, 0)).requires_grad
    with torch.no_grad():
        output = layer(torch.zeros(2, 3, 0))
    assert not output.requires_grad
    assert torch.equal(output, layer.bias.detach().expand(2, 3, 4))
