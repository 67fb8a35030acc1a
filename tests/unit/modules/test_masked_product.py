import pytest
import torch

from espnet_adaptive_dropout.modules.masked_product import masked_linear, masked_relu


def inputs(mask_shape, bias=True, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)

    def make(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype).requires_grad_()

    return make(3, 5, 4), make(*mask_shape), make(6, 4), make(6) if bias else None


@pytest.mark.parametrize("shape", [(3, 1, 4), (1, 1, 4), (3, 5, 4)])
@pytest.mark.parametrize("bias", [True, False])
def test_masked_linear_has_the_gradients_of_the_plain_product(shape, bias):
    tensors = inputs(shape, bias)
    wanted = [tensor for tensor in tensors if tensor is not None]
    x, mask, weight, offset = tensors
    plain = torch.nn.functional.linear(x * mask, weight, offset)
    output = masked_linear(*tensors)
    torch.testing.assert_close(output, plain)
    expected = torch.autograd.grad(plain.square().sum(), wanted)
    actual = torch.autograd.grad(output.square().sum(), wanted)
    for one, other in zip(actual, expected):
        torch.testing.assert_close(one, other)


def test_masked_linear_keeps_the_input_and_no_product():
    x, mask, weight, bias = inputs((3, 1, 4))
    kept = []

    def note(tensor):
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        masked_linear(x, mask, weight, bias)
    assert sorted(kept) == sorted([x.numel(), mask.numel(), weight.numel()])


def test_masked_linear_under_autocast():
    x, mask, weight, bias = inputs((3, 1, 4), dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = masked_linear(x, mask, weight, bias)
        plain = torch.nn.functional.linear(x * mask, weight, bias)
    assert output.dtype == plain.dtype == torch.bfloat16
    torch.testing.assert_close(output, plain, rtol=0.02, atol=0.02)
    output.float().sum().backward()
    for tensor in (x, mask, weight, bias):
        assert tensor.grad.dtype == torch.float32


@pytest.mark.parametrize("batch", [2, 1])
def test_masked_relu_has_the_gradients_of_the_plain_product(batch):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 5, 4, generator=generator, dtype=torch.float64)
    mask = torch.rand(batch, 3, 1, 1, generator=generator, dtype=torch.float64)
    for tensor in (x, mask):
        tensor.requires_grad_()
    assert torch.equal(masked_relu(x, mask), torch.relu(x) * mask)
    assert torch.autograd.gradcheck(masked_relu, (x, mask))


def test_masked_relu_has_the_gradient_of_a_mask_that_is_0():
    x = torch.randn(2, 3, 5, 4, dtype=torch.float64).requires_grad_()
    mask = torch.ones(2, 3, 1, 1, dtype=torch.float64)
    mask[0, 1] = 0.0
    mask.requires_grad_()
    plain = torch.relu(x) * mask
    output = masked_relu(x, mask)
    assert torch.equal(output, plain)
    expected = torch.autograd.grad(plain.square().sum() + plain.sum(), (x, mask))
    actual = torch.autograd.grad(output.square().sum() + output.sum(), (x, mask))
    for one, other in zip(actual, expected):
        torch.testing.assert_close(one, other)
    assert expected[1][0, 1].item() != 0.0


def test_masked_relu_leaves_the_gradient_that_it_is_given():
    x = torch.randn(2, 3, 5, 4).requires_grad_()
    mask = torch.rand(2, 3, 1, 1)
    output = masked_relu(x, mask)
    given = torch.ones_like(output)
    output.backward(given)
    assert torch.equal(given, torch.ones_like(given))
