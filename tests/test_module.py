"""nn: names, states, modes, hooks, summaries, and initial values."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import device, models, nn
from tinyalex import functional as F
from tinyalex.nn.fusion import fuse

pytestmark = pytest.mark.anywhere


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 4, 3, bias=False), nn.ReLU(inplace=True), nn.MaxPool2d(2)
        )
        self.scale = nn.Parameter(np.ones(4, "f"))
        self.heads = [nn.Linear(36, 2), nn.Linear(36, 2)]
        self.drop = nn.Dropout()

    def forward(self, x):
        x = ta.flatten(self.features(x) * self.scale.reshape(4, 1, 1), 1)
        return self.heads[0](x) + self.heads[1](self.drop(x))


IMAGES = np.linspace(-1, 1, 2 * 3 * 8 * 8, dtype="f").reshape(2, 3, 8, 8)


def test_parameters_have_dotted_names_in_the_order_of_their_creation():
    names = [name for name, _ in Net().named_parameters()]
    assert names == [
        "scale",
        "features.0.weight",
        "heads.0.weight",
        "heads.0.bias",
        "heads.1.weight",
        "heads.1.bias",
    ]


def test_a_shared_parameter_is_listed_once():
    net = Net()
    net.heads[1].weight = net.heads[0].weight
    assert len(list(net.parameters())) == 5


def test_load_state_dict_copies_a_network():
    one, two = Net().eval(), Net().eval()
    assert not np.array_equal(one(IMAGES).numpy(), two(IMAGES).numpy())
    two.load_state_dict(one.state_dict())
    np.testing.assert_array_equal(one(IMAGES).numpy(), two(IMAGES).numpy())


def test_a_state_is_a_copy():
    net = Net()
    state = net.state_dict()
    net.scale.data[...] = 7
    assert state["scale"].tolist() == [1] * 4


def test_loading_keeps_the_parameter_objects():
    net = Net()
    before = list(net.parameters())
    net.load_state_dict(net.state_dict())
    assert all(a is b for a, b in zip(before, net.parameters(), strict=True))


def test_a_state_of_another_network_raises_with_every_mismatch_and_changes_nothing():
    net = Net()
    before = net.state_dict()
    state = {name: value + 1 for name, value in before.items() if name != "scale"}
    state["heads.0.bias"] = np.zeros(3)
    state["other"] = np.zeros(1)
    with pytest.raises(
        ValueError,
        match=r"(?s)scale is missing.*heads.0.bias has shape \(3,\), expected \(2,\).*other is not a parameter",
    ):
        net.load_state_dict(state)
    assert all(np.array_equal(before[name], value) for name, value in net.state_dict().items())


def test_a_state_with_another_number_of_classes_raises_with_the_remedy():
    state = models.cifar("quick", 7).state_dict()
    with pytest.raises(ValueError, match="Only the number of classes differs. Give num_classes=7."):
        models.cifar("quick", 10).load_state_dict(state)
    state["fc1.bias"] = state["fc1.bias"][:3]
    with pytest.raises(ValueError, match=r"fc1.bias has shape \(3,\)") as raised:
        models.cifar("quick", 10).load_state_dict(state)
    assert "num_classes" not in str(raised.value)


def test_train_and_eval_set_the_mode_of_every_submodule():
    net = Net().eval()
    assert not any(module.training for module in net.modules())
    np.testing.assert_array_equal(net(IMAGES).numpy(), net(IMAGES).numpy())
    net.train()
    assert all(module.training for module in net.modules())
    assert (net(IMAGES).numpy() != net(IMAGES).numpy()).any()


def test_to_converts_the_dtype_and_keeps_the_parameter_objects():
    net = Net()
    before = list(net.parameters())
    assert net.to("float64") is net
    assert {p.dtype for p in net.parameters()} == {np.dtype("f8")}
    assert all(a is b for a, b in zip(before, net.parameters(), strict=True))
    assert net(IMAGES.astype("f8")).dtype == "f8"
    assert net.to("cpu") is net
    with pytest.raises(
        TypeError, match="expected a device such as 'cuda', or a floating dtype, got 'int32'"
    ):
        net.to("int32")


def with_buffers():
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    net.register_buffer("count", np.array(3))
    net[1].register_buffer("mean", np.ones(2, "f"))
    net[1].register_buffer("scratch", np.zeros(2, "f"), persistent=False)
    net.register_buffer("none", None)
    return net


def test_buffers_are_in_the_state_unless_they_are_not_persistent():
    net = with_buffers()
    assert [name for name, _ in net.named_buffers()] == ["count", "1.mean", "1.scratch"]
    assert [b.shape for b in net.buffers()] == [(), (2,), (2,)]
    assert list(net.state_dict()) == ["count", "0.weight", "0.bias", "1.mean"]
    assert list(net.state_shapes()) == list(net.state_dict())
    assert [name for name, _ in net.named_parameters()] == ["0.weight", "0.bias"]
    assert net.none is None


def test_buffers_are_loaded_and_keep_their_dtype():
    net, other = with_buffers(), with_buffers()
    other[1].mean = other[1].mean * 5  # an assigned tensor is the buffer
    other.count.data += 4
    net.load_state_dict(other.state_dict())
    assert (net.count.item(), net.count.dtype.kind) == (7, "i")
    assert net[1].mean.numpy().tolist() == [5, 5]


def test_buffers_move_with_the_module_and_integers_stay_integers():
    net = with_buffers().to("float64")
    assert [b.dtype.kind for b in net.buffers()] == ["i", "f", "f"]
    assert net[1].mean.dtype == np.float64


def test_a_state_that_is_not_strict_may_lack_names_and_have_others():
    net = with_buffers()
    before = net.state_dict()
    result = net.load_state_dict({"0.bias": [3.0, 4.0], "head.weight": np.ones(2)}, strict=False)
    assert result.missing_keys == ["count", "0.weight", "1.mean"]
    assert result.unexpected_keys == ["head.weight"]
    np.testing.assert_array_equal(net[0].bias.numpy(), [3, 4])
    np.testing.assert_array_equal(net[0].weight.numpy(), before["0.weight"])
    with pytest.raises(ValueError, match=r"0.bias has shape \(3,\), expected \(2,\)"):
        net.load_state_dict({"0.bias": np.ones(3)}, strict=False)


def test_children_are_the_direct_submodules():
    net = Net()
    assert list(net.children()) == [net.features, *net.heads, net.drop]


def test_apply_calls_a_function_with_submodules_before_the_module_that_has_them():
    net, seen = Net(), []
    assert net.apply(lambda module: seen.append(module)) is net
    assert sorted(map(id, seen)) == sorted(map(id, net.modules()))
    assert seen[-1] is net
    assert seen.index(net.features) > seen.index(net.features[2])


def test_parameters_that_require_no_gradient_get_none():
    net = Net()
    assert net.features.requires_grad_(False) is net.features
    net(IMAGES).sum().backward()
    without = [name for name, p in net.named_parameters() if p.grad is None]
    assert without == ["features.0.weight"]
    net.requires_grad_()
    assert all(p.requires_grad for p in net.parameters())


def test_the_dtype_and_device_methods_are_those_of_to():
    net = with_buffers()
    assert net.double().half().float().double() is net
    assert {p.dtype for p in net.parameters()} == {np.dtype("f8")}
    assert net.half()[0].weight.dtype == np.float16
    assert net.float()[0].weight.dtype == np.float32
    assert net.cpu()[0].weight.device == "cpu"


def test_zero_grad_resets_all_gradients():
    net = Net()
    net(IMAGES).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_a_forward_hook_is_called_with_inputs_and_output_until_it_is_removed():
    net, seen = Net(), []
    remove = net.features[0].register_forward_hook(
        lambda module, inputs, output: seen.append((inputs[0].shape, output.shape))
    )
    net(IMAGES)
    remove()
    net(IMAGES)
    assert seen == [((2, 3, 8, 8), (2, 4, 6, 6))]


def test_summary_lists_output_shape_parameters_and_multiply_adds():
    net = Net()
    lines = net.summary((3, 8, 8)).splitlines()
    assert lines[1].split() == [
        "features.0",
        "Conv2d",
        "4",
        "x",
        "6",
        "x",
        "6",
        "108",
        f"{4 * 6 * 6 * 27:,}",
    ]
    assert lines[4].split() == ["heads.0", "Linear", "2", "74", "72"]
    assert net.training, "summary() restores the mode"


def test_the_quick_network_has_its_published_size():
    total = ta.models.cifar("quick").summary((3, 32, 32)).splitlines()[-1].split()
    assert total == ["total", "145,578", "12,354,176"]


def test_alexnet_for_cifar_halves_the_image_from_32_to_4():
    rows = [line.split() for line in ta.models.cifar("alexnet").summary((3, 32, 32)).splitlines()]
    sizes = {row[0]: row[2:7:2] for row in rows if row[0].startswith(("conv", "pool"))}
    assert [sizes[name] for name in ("conv1", "pool1", "pool2", "conv5", "pool5")] == [
        ["48", "32", "32"],
        ["48", "16", "16"],
        ["128", "8", "8"],
        ["128", "8", "8"],
        ["128", "4", "4"],
    ]


def test_an_unknown_network_raises():
    with pytest.raises(ValueError, match="expected one of quick, alexnet, 18pct, .*, got 'resnet'"):
        ta.models.cifar("resnet")


def test_sequential_of_an_object_that_is_not_a_module_raises():
    with pytest.raises(
        TypeError, match=r"layer 1 is .*, expected a Module: nn.ReLU\(\), not F.relu or nn.ReLU"
    ):
        nn.Sequential(nn.Linear(2, 2), nn.ReLU)


def test_sequential_can_be_indexed_sliced_and_iterated():
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4))
    assert (len(net), net[0] is next(iter(net)), len(net[:2])) == (3, True, 2)


def test_a_module_list_registers_its_modules_by_their_indices():
    heads = nn.ModuleList([nn.Linear(2, 3)]).append(nn.ReLU()).extend([nn.Linear(3, 4)])
    assert list(heads.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert (len(heads), heads[-1] is list(heads)[2]) == (3, True)
    part = heads[1:]
    assert (type(part), part[1] is heads[2]) == (nn.ModuleList, True)
    with pytest.raises(TypeError, match="ModuleList: layer 3 is 5, expected a Module"):
        heads.append(5)


def test_identity_ignores_its_arguments_and_returns_its_input():
    x = ta.Tensor([1.0])
    assert nn.Identity(54, unused=True)(x) is x


def test_a_module_without_forward_raises():
    with pytest.raises(TypeError, match=r"Module has no forward\(self, ...\)"):
        nn.Module()(1)


def test_repr_of_a_parameter_shows_its_values():
    expected = "Parameter([1., 1.], dtype=float64, requires_grad=True)"
    assert repr(nn.Parameter(np.ones(2))) == expected


def test_repr_shows_the_submodules():
    assert (
        repr(nn.Sequential(nn.Linear(2, 3), nn.ReLU()))
        == "Sequential(\n  (0): Linear(2, 3)\n  (1): ReLU()\n)"
    )


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (lambda: nn.Conv2d(4, 8, 3, padding=1, groups=2), "Conv2d(4, 8, 3x3, stride=1, padding=1, groups=2)"),
        (lambda: nn.MaxPool2d(3, 2), "MaxPool2d(3, stride=2, padding=0, ceil_mode=False)"),
        (lambda: nn.AvgPool2d(2), "AvgPool2d(2, stride=None, padding=0, ceil_mode=False)"),
        (lambda: nn.AdaptiveAvgPool2d((6, 6)), "AdaptiveAvgPool2d((6, 6))"),
        (lambda: nn.ZeroPad2d(2), "ZeroPad2d((2, 2, 2, 2))"),
        (lambda: nn.LocalResponseNorm(5), "LocalResponseNorm(5, alpha=0.0001, beta=0.75, k=1.0, alpha_mode='mean', groups=1)"),
        (lambda: nn.SpatialResponseNorm(5), "SpatialResponseNorm(5, alpha=0.001, beta=0.75, k=1.0, alpha_mode='mean')"),
        (lambda: nn.Dropout(0.25), "Dropout(p=0.25)"),
        (lambda: nn.BatchNorm2d(6), "BatchNorm2d(6, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)"),
        (lambda: nn.LayerNorm(6), "LayerNorm((6,), eps=1e-05)"),
        (lambda: nn.LeakyReLU(0.1), "LeakyReLU(negative_slope=0.1)"),
        (lambda: nn.GELU(), "GELU(approximate='none')"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)  # fmt: skip
def test_repr_of_a_layer_shows_its_options(layer, text):
    assert repr(layer()) == text


def test_max_pool2d_refuses_to_return_indices():
    with pytest.raises(ValueError, match="return_indices=True is not supported. Leave it out"):
        nn.MaxPool2d(2, return_indices=True)


def test_the_module_of_cross_entropy_passes_its_options_on(rng):
    x, w, labels = rng.standard_normal((4, 5)), rng.uniform(0.5, 2, 5), np.array([1, 0, 4, 3])
    layer = nn.CrossEntropyLoss(w, ignore_index=4, reduction="sum", label_smoothing=0.1)
    expected = ta.functional.cross_entropy(x, labels, w, 4, "sum", 0.1)
    assert layer(x, labels).item() == expected.item()


def test_groups_that_do_not_divide_the_channels_raise():
    with pytest.raises(ValueError, match="groups=2 does not divide 3 input and 4 output channels"):
        nn.Conv2d(3, 4, 3, groups=2)


def test_the_same_seed_gives_the_same_weights():
    def weights():
        return ta.models.cifar("quick").conv1.weight.numpy()

    ta.manual_seed(3)
    one = weights()
    other = weights()
    ta.manual_seed(3)
    np.testing.assert_array_equal(one, weights())
    assert (one != other).any()


@pytest.mark.parametrize(
    ("fill", "mean", "std"),
    [
        (lambda p: nn.init.normal_(p, std=0.01), 0, 0.01),
        (nn.init.kaiming_normal_, 0, (2 / 400) ** 0.5),
        (lambda p: nn.init.kaiming_normal_(p, 3.0, "fan_out"), 0, (0.2 / 12500) ** 0.5),
        (lambda p: nn.init.kaiming_uniform_(p, nonlinearity="relu"), 0, (2 / 400) ** 0.5),
        (nn.init.xavier_uniform_, 0, (2 / 12900) ** 0.5),
        (lambda p: nn.init.xavier_normal_(p, gain=2.0), 0, 2 * (2 / 12900) ** 0.5),
        (lambda p: nn.init.constant_(p, 1), 1, 0),
        (lambda p: nn.init.torch_default_(p), 0, 1 / 400**0.5 / 3**0.5),
    ],
    ids=[
        *("N(0, 0.01)", "He", "He, backward", "He, uniform", "Glorot", "Glorot, normal"),
        *("constant", "torch's default"),
    ],
)
def test_initial_values_have_their_distribution(fill, mean, std):
    p = nn.Parameter(np.zeros((500, 16, 5, 5), "f"))
    fill(p)
    assert p.dtype == np.float32
    assert abs(p.data.mean() - mean) <= 0.01 * std + 1e-12
    assert abs(p.data.std() - std) <= 0.01 * std


@pytest.mark.parametrize("recording", [True, False])
def test_the_result_of_an_operation_on_a_parameter_is_a_tensor(recording):
    p = nn.Parameter(np.ones(2))
    with ta.no_grad() if not recording else nullcontext():
        y = p * 2
    assert (type(y), y.requires_grad, y.creator is not None) == (ta.Tensor, recording, recording)


def test_initial_values_do_not_repeat_after_training_steps():
    ta.manual_seed(0)
    one = nn.Linear(3, 3)
    device.set_step(1)
    assert (nn.Linear(3, 3).weight.numpy() != one.weight.numpy()).any()


def test_an_unknown_mode_of_he_raises():
    with pytest.raises(ValueError, match="a mode of fan_in, fan_out and a nonlinearity of"):
        nn.init.kaiming_normal_(nn.Parameter(np.zeros((3, 3))), mode="fan_avg")


def test_fan_in_of_a_vector_raises():
    with pytest.raises(
        ValueError, match=r"expected a weight .* with at least two axes, got shape \(3,\)"
    ):
        nn.init.fan_in(nn.Parameter(np.zeros(3)))


class Gain(nn.Module):
    def __init__(self):
        self.linear = nn.Linear(4, 4)
        self.gain = nn.Parameter(np.ones(4, "f"))

    def forward(self, x, scale=1.0):
        return self.linear(self.linear(x)) * self.gain * scale


def test_summary_counts_shared_parameters_once_and_those_of_the_parent():
    assert Gain().summary((4,)).splitlines()[-1].split() == ["total", "24", "32"]


def test_forward_may_have_options():
    x = np.ones((1, 4), "f")
    net = Gain()
    np.testing.assert_allclose(net(x, scale=2.0).numpy(), 2 * net(x).numpy())


def test_a_slice_of_a_named_sequential_keeps_the_names():
    net = nn.Sequential({"conv1": nn.Conv2d(3, 4, 3), "relu1": nn.ReLU(), "fc": nn.Linear(4, 2)})
    assert list(net[1:].state_dict()) == ["fc.weight", "fc.bias"]
    assert list(nn.Sequential(nn.ReLU(), nn.Linear(4, 2))[1:].state_dict()) == [
        "1.weight",
        "1.bias",
    ]


def test_a_submodule_that_refers_to_its_parent_is_listed_once():
    parent, part = nn.Sequential(nn.Linear(2, 2)), nn.Linear(2, 2)
    parent.part, part.parent = part, parent
    assert [name for name, _ in parent.named_modules()] == ["", "0", "part"]


def test_eval_mode_restores_the_mode_of_every_submodule():
    net = nn.Sequential(nn.Dropout(), nn.Dropout())
    net[1].eval()
    with nn.tracing.eval_mode(net):
        assert not any(module.training for module in net.modules())
    assert [module.training for module in net.modules()] == [True, True, False]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Conv2d(3, 4, 3, groups=0), "Conv2d: groups must be at least 1, got 0"),
        (lambda: nn.Conv2d(0, 4, 3), "Conv2d: in_channels must be at least 1, got 0"),
        (lambda: nn.Linear(0, 4), "Linear: in_features must be at least 1, got 0"),
        (lambda: nn.Linear(4, -1), "Linear: out_features must be at least 1, got -1"),
    ],
)
def test_layers_without_inputs_or_outputs_raise(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_numpy_integers_are_accepted():
    two = np.int64(2)
    assert nn.Conv2d(np.int64(4), two, 3, groups=two)(np.zeros((1, 4, 5, 5), "f")).shape == (
        1,
        2,
        3,
        3,
    )


def convolutions_in(output):
    """The names of the Functions of a graph, from the last to the first."""
    names, node = [], output.creator
    while node is not None:
        names.append(type(node).__name__)
        node = next((source for source in node.inputs if isinstance(source, ta.Function)), None)
    return names


class MyReLU(nn.ReLU):
    def forward(self, x):
        return super().forward(x) + 1


def test_a_sequential_fuses_a_convolution_and_its_relu_unless_there_are_hooks(rng):
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3),
        nn.ReLU(),
        nn.ReLU(),
        nn.Conv2d(4, 4, 1),
        MyReLU(),
    )
    x = rng.standard_normal((2, 3, 8, 8)).astype("f")
    output = net(x)
    assert convolutions_in(output) == ["Add", "ReLU", "Conv2d", "ReLU", "Conv2d", "Conv2d"]
    seen = []
    for part in (net[0], net[3]):
        remove = part.register_forward_hook(
            lambda module, inputs, output: seen.append(output.numpy())
        )
        watched = net(x)
        assert convolutions_in(watched).count("ReLU") == 3
        np.testing.assert_array_equal(watched.numpy(), output.numpy())
        remove()
    assert (seen[0] < 0).any()
    assert (seen[1] >= 0).all()
    assert convolutions_in(net(x)) == convolutions_in(output)
    net[1].forward = lambda x: x * 2  # replaces the method of the class
    assert convolutions_in(net(x)).count("Multiply") == 1


def test_hooks_that_a_hook_registers_see_the_layers_of_the_same_pass():
    net, seen = nn.Sequential(nn.ReLU(), nn.Conv2d(3, 4, 3), nn.ReLU()), []

    def watch(module, inputs, output):
        for layer in (net[1], net[2]):
            layer.register_forward_hook(lambda layer, inputs, output: seen.append(layer))

    net[0].register_forward_hook(watch)
    net(np.ones((1, 3, 8, 8), "f"))
    assert seen == [net[1], net[2]]


def test_a_sequential_fuses_a_linear_layer_its_relu_and_dropout(rng):
    layers = nn.Linear(8, 40), nn.ReLU(), nn.Dropout(0.3), nn.Linear(40, 2)
    x, results = ta.Tensor(rng.standard_normal((5, 8)).astype("f"), requires_grad=True), []
    for enabled in (True, False):
        device.set_step(1)
        with ta.fast(enabled):
            y = nn.Sequential(*layers)(x)
        names = convolutions_in(y)
        y.sum().backward()
        grads = [ta.Tensor(a).numpy() for a in (x.grad, layers[0].weight.grad)]
        results.append((names.count("Linear"), names.count("Dropout"), y.numpy(), grads))
        x.grad = layers[0].weight.grad = None
    (*counts, y, grads), (*counts_apart, y_apart, grads_apart) = results
    assert (counts, counts_apart) == ([2, 0], [2, 1])
    np.testing.assert_array_equal(y, y_apart)
    for one, other in zip(grads, grads_apart, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_a_sequential_fuses_relu_and_max_pooling_with_the_same_bits(rng):
    def run(*parts):
        x = ta.Tensor(images, requires_grad=True)
        y = nn.Sequential(nn.Conv2d(3, 4, 3), *parts)
        y[0].load_state_dict({"weight": weight, "bias": np.full(4, 0.1, "f")})
        output = y(x)
        names = convolutions_in(output)
        output.backward(
            ta.Tensor(np.random.default_rng(1).standard_normal(output.shape).astype("f")).data
        )
        arrays = output.data, x.grad, y[0].weight.grad, y[0].bias.grad
        return names, [ta.Tensor(a).numpy() for a in arrays]

    images, weight = (
        rng.standard_normal((2, 3, 9, 9)).astype("f"),
        rng.standard_normal((4, 3, 3, 3)).astype("f"),
    )
    images[0, 0, 4, 4] = np.nan
    names, together = run(nn.ReLU(), nn.MaxPool2d(3, 2, padding=1))
    assert names == ["MaxPool2d", "Conv2d"]
    names, apart = run(SubclassOfReLU(), nn.MaxPool2d(3, 2, padding=1))
    assert names == ["MaxPool2d", "ReLU", "Conv2d"]
    for one, other in zip(together, apart, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_linear_layer_applies_its_relu():
    layers = linear, relu, dropout = nn.Linear(3, 4), nn.ReLU(), nn.Dropout()
    assert [(stage.layer, stage.fused) for stage in fuse(layers)] == [(linear, (relu, dropout))]
    dropout.eval()
    assert [(stage.layer, stage.fused) for stage in fuse(layers)] == [
        (linear, (relu,)),
        (dropout, ()),
    ]
    x = np.random.default_rng(0).standard_normal((5, 3)).astype("f")
    np.testing.assert_array_equal(nn.Sequential(linear, relu)(x).numpy(), relu(linear(x)).numpy())


@pytest.mark.parametrize("pool", [nn.MaxPool2d(2, dilation=2), nn.AvgPool2d(2)])
def test_other_pooling_is_not_fused_with_relu(pool):
    stages = list(fuse([conv := nn.Conv2d(3, 4, 3), relu := nn.ReLU(), pool]))
    assert [(stage.layer, stage.fused) for stage in stages] == [(conv, (relu,)), (pool, ())]


class SubclassOfReLU(nn.ReLU):
    """A subclass of ReLU is not fused."""


def test_to_takes_torchs_arguments():
    layer = nn.Linear(2, 3)
    assert layer.to("cpu", ta.float64).weight.dtype == np.float64
    assert layer.to(device="cpu", dtype=ta.float32).weight.dtype == np.float32
    layer.weight.grad = layer.weight.data * np.float32(np.nan)
    layer.zero_grad(set_to_none=False)
    assert device.to_numpy(layer.weight.grad).tolist() == [[0, 0]] * 3
    assert not nn.Parameter(np.ones(2), requires_grad=False).requires_grad


def test_layers_are_appended_inserted_and_replaced():
    net = nn.Sequential(nn.Linear(2, 3)).append(nn.ReLU())
    assert [type(layer).__name__ for layer in net] == ["Linear", "ReLU"]
    layers = nn.ModuleList([nn.Tanh(), nn.ReLU()])
    layers.insert(1, nn.Linear(2, 3))
    layers[-1] = nn.Sigmoid()
    assert [type(layer).__name__ for layer in layers] == ["Tanh", "Linear", "Sigmoid"]
    assert [name for name, _ in layers.named_parameters()] == ["1.weight", "1.bias"]


def test_a_layer_appended_to_a_slice_replaces_none():
    net = nn.Sequential(nn.ReLU(), nn.Tanh(), nn.Sigmoid())[1:].append(nn.Identity())
    assert [type(layer).__name__ for layer in net] == ["Tanh", "Sigmoid", "Identity"]
    assert len(nn.Sequential().append(nn.ReLU()).append(nn.Tanh())) == 2


def test_initial_values_are_skipped_in_one_thread_only():
    with nn.init.skipped(), ThreadPoolExecutor(1) as other:
        layer = other.submit(nn.Linear, 2, 3).result()
        assert layer.weight.numpy().all()
        assert not nn.Linear(2, 3).weight.numpy().any()


def test_apply_calls_a_function_in_the_order_of_the_submodules():
    seen = []
    nn.Sequential(nn.ReLU(), nn.Sequential(nn.Tanh()), nn.Sigmoid()).apply(seen.append)
    names = [type(module).__name__ for module in seen]
    assert names == ["ReLU", "Tanh", "Sequential", "Sigmoid", "Sequential"]


def test_a_hook_may_remove_itself_and_be_removed_again():
    layer, seen = nn.ReLU(), []

    def once(module, inputs, output):
        seen.append("once")
        remove()

    remove = layer.register_forward_hook(once)
    layer.register_forward_hook(lambda module, inputs, output: seen.append("always"))
    for _ in range(2):
        layer(ta.ones(1))
    assert seen == ["once", "always", "always"]
    remove()


def test_a_hook_that_is_registered_twice_is_removed_once_by_each_remover():
    layer, seen = nn.ReLU(), []

    def hook(module, inputs, output):
        seen.append(1)

    remove, _ = layer.register_forward_hook(hook), layer.register_forward_hook(hook)
    remove()
    remove()
    layer(ta.ones(1))
    assert seen == [1]


def test_the_widths_of_a_border_are_one_integer_or_four():
    assert nn.ZeroPad2d(np.int64(1))(np.ones((1, 1, 2, 2))).shape == (1, 1, 4, 4)
    assert nn.ZeroPad2d([1, 0, 0, 0])(np.ones((1, 1, 2, 2))).shape == (1, 1, 2, 3)
    for padding in ((1, 2), 1.5, (1, 2, 3, 0.5)):
        with pytest.raises(
            TypeError, match=r"ZeroPad2d: padding must be an integer or four, .left"
        ):
            nn.ZeroPad2d(padding)


def test_a_layer_of_a_sequential_can_be_replaced():
    net = nn.Sequential({"hidden": nn.Linear(4, 8), "relu": nn.ReLU(), "head": nn.Linear(8, 5)})
    net[-1] = nn.Linear(net[-1].in_features, 2)
    net[0] = nn.Linear(3, net[0].out_features)
    assert [name for name, _ in net.named_children()] == ["hidden", "relu", "head"]
    assert net(np.ones((1, 3), np.float32)).shape == (1, 2)
    with pytest.raises(IndexError):
        net[3] = nn.ReLU()
    with pytest.raises(TypeError, match="expected a Module"):
        net[0] = F.relu


def test_layers_have_the_sizes_of_torchs():
    conv = nn.Conv2d(4, 6, (3, 5), groups=2)
    assert (conv.in_channels, conv.out_channels, conv.kernel_size) == (4, 6, (3, 5))
    linear = nn.Linear(3, 7)
    assert (linear.in_features, linear.out_features) == (3, 7)


def test_functional_can_be_imported_as_torchs():
    import tinyalex.nn.functional as imported

    assert imported is F
