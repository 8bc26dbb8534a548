"""Expressions as they are written in training scripts for PyTorch.

Each one is Python source that runs with `torch`, `nn`, `F`, `optim`, `DataLoader` and
`TensorDataset` of PyTorch or of tinyalex; the last line is its value. `SUPPORTED` must
have PyTorch's value. `REFUSED` must raise an error that contains the text given here:
an equivalent, or a reason.
"""

import ast
import copy

import numpy as np

SUPPORTED = {
    "creation": [
        "torch.tensor([1.0, 2.0, 3.0])",
        "torch.tensor([[1, 2], [3, 4]])",
        "torch.tensor([0, 1, 1], dtype=torch.float32)",
        "torch.tensor(3.5).item()",
        "torch.tensor([1.0, 2.0], requires_grad=True).requires_grad",
        "torch.Tensor([1, 2, 3])",
        "torch.tensor(np.arange(6).reshape(2, 3))",
        "torch.from_numpy(np.ones((2, 3), dtype=np.float32))",
        "torch.zeros(2, 3)",
        "torch.zeros((4, 2), dtype=torch.long)",
        "torch.ones(5)",
        "torch.zeros_like(x)",
        "torch.ones_like(y)",
        "torch.full((2, 3), 0.5)",
        "torch.empty(2, 3).shape",
        "torch.arange(10)",
        "torch.arange(0, 1, 0.25)",
        "torch.linspace(-1, 1, 5)",
        "torch.eye(3)",
        "torch.randn(64, 10).shape",
        "torch.rand(3, 4).min() >= 0",
        "torch.randint(0, 10, (16,)).dtype",
        "torch.manual_seed(0)\nfirst = torch.randn(3)\ntorch.manual_seed(0)\ntorch.equal(first, torch.randn(3))",
    ],
    "types and devices": [
        "torch.device('cuda' if torch.cuda.is_available() else 'cpu').type in ('cpu', 'cuda')",
        "x.to(device)",
        "x.to(device, non_blocking=True)",
        "x.device.type",
        "x.cpu()",
        "w.detach().cpu().numpy()",
        "x.dtype == torch.float32",
        "y.float()",
        "x.long()",
        "y.to(torch.float32) / 2",
        "torch.cuda.is_available() in (True, False)",
        "isinstance(x, torch.Tensor)",
        "x.tolist()",
        "float(x.mean())",
        "f'{x.mean():.4f}'",
    ],
    "arithmetic": [
        "x + 1",
        "2 * x - 3",
        "1 / (1 + torch.exp(-x))",
        "x ** 2",
        "x @ w",
        "y % 2",
        "-x",
        "x.abs()",
        "torch.log(x.abs() + 1e-8)",
        "torch.sqrt(x ** 2 + 1)",
        "x.abs().sqrt()",
        "torch.relu(x)",
        "x.sigmoid()",
        "torch.sin(x) + torch.cos(x)",
        "x.clamp(min=0)",
        "torch.clamp(x, -1, 1)",
        "torch.mm(x, w)",
        "torch.dot(v, v)",
        "torch.bmm(x.unsqueeze(0), w.unsqueeze(0))",
        "(x - x.mean(0)) / (x.std(0) + 1e-5)",
        "total = 0.0\ntotal += x.sum().item()\ntotal",
    ],
    "comparison": [
        "x == 0",
        "y == torch.tensor([0, 2, 1, 1])",
        "y != 1",
        "x > 0",
        "x <= x.mean()",
        "(x > 0) & (x < 1)",
        "~(x > 0)",
        "(x > 0).any()",
        "(x > -100).all().item()",
        "(x > 0).float()",
        "y.eq(1).sum()",
        "torch.allclose(x, x + 1e-9)",
        "torch.isnan(x).any()",
        "torch.where(x > 0, x, torch.zeros_like(x))",
        "torch.maximum(x, torch.zeros(3))",
    ],
    "reductions": [
        "x.sum()",
        "x.sum(dim=1)",
        "torch.sum(x, dim=1, keepdim=True)",
        "x.mean(dim=0)",
        "img.mean([2, 3])",
        "img.mean(dim=(0, 2, 3))",
        "x.std(dim=0)",
        "x.var(dim=0, unbiased=False)",
        "x.max()",
        "x.min().item()",
        "_, pred = out.max(1)\npred",
        "_, predicted = torch.max(out, 1)\npredicted",
        "values, indices = out.max(dim=1)\nvalues",
        "out.max(1, keepdim=True)[1]",
        "torch.max(out, dim=1).values",
        "out.argmax(dim=1)",
        "torch.argmax(out, dim=-1)",
        "out.argmax(dim=1, keepdim=True)",
        "_, pred = out.topk(2, 1, True, True)\npred.t()",
        "out.sort(dim=1, descending=True)[0]",
        "x.norm()",
        "torch.cumsum(x, dim=0)",
    ],
    "shapes": [
        "x.shape",
        "x.size()",
        "x.size(0)",
        "x.numel()",
        "len(x)",
        "img.view(img.size(0), -1)",
        "img.reshape(2, -1)",
        "torch.flatten(img, 1)",
        "img.flatten(1)",
        "x.T",
        "img.transpose(1, 2)",
        "torch.transpose(x, 0, 1)",
        "img.permute(0, 2, 3, 1)",
        "img.permute(1, 2, 0, 3).contiguous().view(3, -1)",
        "v.unsqueeze(0)",
        "x[:1].squeeze()",
        "v.expand(4, 3)",
        "v.repeat(2, 1)",
        "torch.cat([x, x], dim=0)",
        "torch.cat([y, y])",
        "torch.stack([v, 2 * v])",
        "a, b = x.split(2)\nb",
        "x.chunk(2, dim=0)[0]",
    ],
    "indexing": [
        "x[0]",
        "x[:, 1]",
        "x[-1, -1].item()",
        "x[x > 0]",
        "x[torch.tensor([0, 2])]",
        "x[torch.arange(4), y]",
        "x[None].shape",
        "out.gather(1, y.unsqueeze(1)).squeeze(1)",
        "t = torch.zeros(3)\nt[1] = 5\nt",
        "t = x.clone()\nt[t < 0] = 0\nt",
        "[row.sum().item() for row in x]",
    ],
    "autograd": [
        "loss = (x @ w).pow(2).mean()\nloss.backward()\nw.grad",
        "with torch.no_grad():\n    z = x @ w\nz.requires_grad",
        "@torch.no_grad()\ndef evaluate():\n    return (x @ w).requires_grad\nevaluate()",
        "with torch.set_grad_enabled(False):\n    z = x @ w\nz.requires_grad",
        "t = torch.ones(3)\nt.requires_grad_()\n(t * t).sum().backward()\nt.grad",
        "w.is_leaf",
        "w.grad is None",
        "z = x @ w\nz.backward(torch.ones_like(z))\nw.grad",
        "(w * w).sum().backward()\nwith torch.no_grad():\n    w -= 0.1 * w.grad\nw",
        "(w * 3).sum().backward()\nw.grad.sum().item()",
        "p = nn.Parameter(torch.ones(2, 3))\np.requires_grad",
    ],
    "layers": [
        "net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))\nfixed(net)(x)",
        "nn.Conv2d(3, 16, kernel_size=3, stride=1, padding=1)(img).shape",
        "fixed(nn.Conv2d(3, 4, 3, bias=False))(img)",
        "nn.MaxPool2d(kernel_size=3, stride=2, padding=1)(img)",
        "nn.AvgPool2d(2)(img)",
        "nn.AdaptiveAvgPool2d((1, 1))(img)",
        "bn = nn.BatchNorm2d(3)\nbn(img)",
        "bn = nn.BatchNorm2d(3)\nbn.train()\nbn(img)\nbn.eval()\nbn(img)",
        "nn.Flatten()(img).shape",
        "nn.Dropout(0.5).eval()(x)",
        "nn.Dropout2d(0.25).eval()(img)",
        "nn.LeakyReLU(0.1)(x)",
        "nn.GELU()(x)",
        "nn.LogSoftmax(dim=1)(out)",
        "nn.LayerNorm(3)(x)",
        "nn.Identity()(x)",
        "layers = nn.ModuleList([nn.Linear(3, 3) for _ in range(2)])\nlen(list(layers.parameters()))",
        "model[0].weight.shape",
        "sum(p.numel() for p in model.parameters())",
        "sum(p.numel() for p in model.parameters() if p.requires_grad)",
        "[name for name, p in model.named_parameters()]",
        "model.to(device)(x)",
        "model.train().training",
        "model.eval()\nmodel.training",
        "for p in model[0].parameters():\n    p.requires_grad = False\nmodel[0].weight.requires_grad",
        "nn.init.xavier_uniform_(model[0].weight).shape",
        "nn.init.kaiming_normal_(model[0].weight, mode='fan_out', nonlinearity='relu').shape",
        "def init_weights(m):\n    if isinstance(m, nn.Linear):\n        nn.init.constant_(m.bias, 0.5)\nmodel.apply(init_weights)\nmodel[0].bias",
        "class Net(nn.Module):\n    def __init__(self):\n        super(Net, self).__init__()\n        self.conv = nn.Conv2d(3, 6, 5)\n        self.fc = nn.Linear(6 * 2 * 2, 3)\n    def forward(self, x):\n        x = F.max_pool2d(F.relu(self.conv(x)), 2)\n        x = x.view(x.size(0), -1)\n        return self.fc(x)\nfixed(Net())(img)",
        "class Block(nn.Module):\n    def __init__(self, c):\n        super().__init__()\n        self.body = nn.Sequential(nn.Conv2d(c, c, 3, padding=1, bias=False), nn.BatchNorm2d(c), nn.ReLU(inplace=True))\n    def forward(self, x):\n        return torch.relu(x + self.body(x))\nfixed(Block(3))(img)",
        "[type(m).__name__ for m in model.children()]",
    ],
    "functions": [
        "F.relu(x)",
        "F.softmax(out, dim=1)",
        "F.log_softmax(out, dim=-1)",
        "out.softmax(dim=-1)",
        "F.dropout(x, p=0.5, training=False)",
        "nn.functional.relu(x)",
        "F.one_hot(y, num_classes=3)",
        "F.pad(img, (1, 1, 1, 1)).shape",
        "F.normalize(x, dim=1)",
    ],
    "losses": [
        "nn.CrossEntropyLoss()(out, y)",
        "F.cross_entropy(out, y)",
        "nn.CrossEntropyLoss(label_smoothing=0.1)(out, y)",
        "nn.MSELoss()(x, out)",
        "F.mse_loss(x, out)",
        "nn.NLLLoss()(F.log_softmax(out, dim=1), y)",
        "nn.BCEWithLogitsLoss()(out[:, 0], (y > 0).float())",
        "F.binary_cross_entropy_with_logits(out[:, 0], (y == 1).float())",
        "nn.L1Loss()(x, out)",
        "((x - out) ** 2).mean()",
        "-(F.log_softmax(out, dim=1)[torch.arange(len(y)), y]).mean()",
    ],
    "autocast": [
        "with torch.autocast('cpu', dtype=torch.float16):\n    z = torch.ones(2, 3) @ torch.ones(3, 4)\n    loss = F.mse_loss(z.float(), torch.zeros(2, 4))\n[z, loss]",
    ],
    "optimizers": [
        "step(optim.SGD(model.parameters(), lr=0.1))",
        "step(optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4))",
        "step(optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True))",
        "step(optim.Adam(model.parameters(), lr=1e-3))",
        "step(torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01))",
        "for g in optimizer.param_groups:\n    g['lr'] *= 0.1\nstep(optimizer)",
        "step(optim.SGD([{'params': model[0].parameters(), 'lr': 0.01}, {'params': model[2].parameters()}], lr=0.1))",
        "step(optim.SGD(filter(lambda p: p.requires_grad, model.parameters()), lr=0.1))",
        "model.zero_grad()\n[p.grad for p in model.parameters()]",
        "s = optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.1)\nrates(s, 5)",
        "s = optim.lr_scheduler.MultiStepLR(optimizer, milestones=[2, 4], gamma=0.5)\nrates(s, 5)",
        "s = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=5)\nrates(s, 5)",
        "s = optim.lr_scheduler.StepLR(optimizer, 1, 0.5)\noptimizer.step()\ns.step()\ns.get_last_lr()",
        "s = optim.lr_scheduler.ReduceLROnPlateau(optimizer, 'min', factor=0.5, patience=1)\nfor loss in (1.0, 1.0, 1.0, 1.0):\n    s.step(loss)\noptimizer.param_groups[0]['lr']",
        "criterion(model(x), y).backward()\nfloat(torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=0.1))",
        "criterion(model(x), y).backward()\nnn.utils.clip_grad_norm_(model.parameters(), 0.1)\nstep(optimizer, backward=False)",
    ],
    "data": [
        "len(TensorDataset(x, y))",
        "TensorDataset(x, y)[1]",
        "len(DataLoader(TensorDataset(x, y), batch_size=3))",
        "[labels for images, labels in DataLoader(TensorDataset(x, y), batch_size=2)]",
        "images, labels = next(iter(DataLoader(TensorDataset(x, y), batch_size=4, shuffle=True)))\nimages.shape",
        "[len(t) for t, _ in DataLoader(TensorDataset(x, y), batch_size=3, drop_last=True, num_workers=0)]",
        "len(DataLoader(TensorDataset(x, y), batch_size=2).dataset)",
        "class Squares(torch.utils.data.Dataset):\n    def __len__(self):\n        return 5\n    def __getitem__(self, i):\n        return torch.tensor([i * i], dtype=torch.float32), i % 2\n[b for b in DataLoader(Squares(), batch_size=2)]",
        "train, val = torch.utils.data.random_split(TensorDataset(x, y), [3, 1])\nlen(train)",
    ],
    "files": [
        "torch.save(model.state_dict(), path)\nmodel.load_state_dict(torch.load(path))\nmodel(x)",
        "torch.save(model.state_dict(), path)\nmodel.load_state_dict(torch.load(path, map_location=device))\nmodel(x)",
        "torch.save(model.state_dict(), path)\nsorted(torch.load(path, weights_only=True))",
        "torch.save({'epoch': 3, 'model': model.state_dict(), 'optimizer': optimizer.state_dict()}, path)\ncheckpoint = torch.load(path)\nmodel.load_state_dict(checkpoint['model'])\noptimizer.load_state_dict(checkpoint['optimizer'])\ncheckpoint['epoch']",
        "best = copy.deepcopy(model.state_dict())\nstep(optimizer)\nmodel.load_state_dict(best)\nmodel(x)",
    ],
    "training": [
        "(out.argmax(dim=1) == y).sum().item()",
        "_, pred = out.max(1)\n(pred == y).sum().item()",
        "_, pred = torch.max(out, 1)\n100 * (pred == y).sum().item() / y.size(0)",
        "(out.argmax(1) == y).float().mean().item()",
        "pred = out.argmax(dim=1, keepdim=True)\npred.eq(y.view_as(pred)).sum().item()",
        "_, pred = out.topk(2, 1, True, True)\npred = pred.t()\ncorrect = pred.eq(y.view(1, -1).expand_as(pred))\ncorrect[:2].reshape(-1).float().sum(0).item()",
        "probabilities = torch.softmax(model(x), dim=1)\nprobabilities.max(dim=1).values",
        "running = 0.0\nfor inputs, labels in loader:\n    optimizer.zero_grad()\n    loss = criterion(model(inputs), labels)\n    loss.backward()\n    optimizer.step()\n    running += loss.item() * inputs.size(0)\nrunning / len(loader.dataset)",
        "for epoch in range(3):\n    for data, target in loader:\n        data, target = data.to(device), target.to(device)\n        optimizer.zero_grad(set_to_none=True)\n        loss = F.nll_loss(F.log_softmax(model(data), dim=1), target)\n        loss.backward()\n        optimizer.step()\nmodel.eval()\nwith torch.no_grad():\n    correct = 0\n    for data, target in loader:\n        correct += (model(data).argmax(1) == target).sum().item()\n[correct, *model.parameters()]",
        "model.eval()\npredictions = []\nwith torch.no_grad():\n    for inputs, _ in loader:\n        predictions.append(model(inputs))\ntorch.cat(predictions)",
    ],
}
"""By topic."""

REFUSED = {
    "x.add_(1)": "x = x.add(",
    "x.zero_()": "ta.zeros_like",
    "x.clamp_(0, 1)": "x = x.clamp(",
    "torch.zeros(4, 3).scatter_(1, y.unsqueeze(1), 1.0)": "one_hot",
    "nn.Embedding(10, 3)(y)": "one_hot",
    "nn.LSTM(3, 4, batch_first=True)": "recurrent",
    "nn.GRU(3, 4)": "recurrent",
    "nn.BatchNorm1d(3)(x)": "BatchNorm2d",
    "nn.Conv1d(3, 4, 3)": "Conv2d",
    "nn.ConvTranspose2d(3, 4, 2, stride=2)(img)": "transposed convolution",
    "nn.MultiheadAttention(8, 2)": "attention",
    "nn.DataParallel(model)": "mpirun",
    "nn.Upsample(scale_factor=2)(img)": "repeat",
    "F.interpolate(img, scale_factor=2)": "repeat",
    "torch.einsum('ij,jk->ik', x, w)": "matmul",
    "torch.compile(model)": "set_fast",
    "torch.jit.trace(model, x)": "export_onnx",
    "torch.cuda.amp.GradScaler()": "ta.GradScaler",
    "torch.backends.cudnn.benchmark = True": "cuDNN",
    "torch.autograd.grad((w * w).sum(), w)": "backward()",
    "torch.tensor([1 + 2j])": "real and imaginary parts",
    "torch.linalg.inv(torch.eye(3))": "numpy.linalg",
    "torch.fft.fft(v)": "numpy.fft",
    "optim.RMSprop(model.parameters(), lr=0.01)": "Adam",
    "x.bfloat16()": "float32",
    "out.max(1)[1]": "out.max(dim=1)",
    "torch.save(model, path)": "state_dict()",
    "x.transpose(0, 1)": "x.T",
    "torch.set_default_dtype(torch.float64)": "float32",
}
"""The text that the error must contain."""


def environment(torch, path):
    """The names that the expressions use, with new tensors and a new model."""
    nn, optim, data = torch.nn, torch.optim, torch.utils.data
    rng = np.random.default_rng(0)

    def normal(*shape, **options):
        return torch.tensor(rng.standard_normal(shape, np.float32), **options)

    def fixed(module):
        """The module with weights that do not depend on the framework."""
        rng = np.random.default_rng(1)
        state = module.state_dict()
        for name, p in module.named_parameters():
            values = 0.3 * rng.standard_normal(tuple(p.shape))
            state[name] = torch.tensor(values, dtype=torch.float32)
        module.load_state_dict(state)
        return module

    x, y = normal(4, 3), torch.tensor([0, 2, 1, 2])
    model = fixed(nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 3)))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    criterion = nn.CrossEntropyLoss()

    def step(optimizer, backward=True):
        """The parameters after two steps; after one, of gradients that exist."""
        for _ in range(2 if backward else 1):
            if backward:
                optimizer.zero_grad()
                criterion(model(x), y).backward()
            optimizer.step()
        return list(model.parameters())

    def rates(scheduler, epochs):
        """The learning rates of the next epochs."""
        values = []
        for _ in range(epochs):
            values.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        return values

    return {
        "torch": torch, "nn": nn, "F": nn.functional, "optim": optim, "np": np, "copy": copy,
        "DataLoader": data.DataLoader, "TensorDataset": data.TensorDataset,
        "x": x, "y": y, "v": normal(3), "w": normal(3, 2, requires_grad=True),
        "out": normal(4, 3), "img": normal(2, 3, 8, 8), "model": model, "optimizer": optimizer,
        "criterion": criterion, "loader": data.DataLoader(data.TensorDataset(x, y), batch_size=2),
        "device": torch.device("cpu"), "path": str(path),
        "fixed": fixed, "step": step, "rates": rates,
    }  # fmt: skip


def run(source, names):
    """The value of the last line of `source`."""
    *_, last = (tree := ast.parse(source)).body
    if not isinstance(last, ast.Expr):
        return exec(source, names)
    tree.body.pop()
    exec(compile(tree, "<ported>", "exec"), names)
    return eval(compile(ast.Expression(last.value), "<ported>", "eval"), names)


def plain(value):
    """Tensors as NumPy arrays, shapes and pairs as lists, types and devices as text."""
    if hasattr(value, "detach"):
        return value.detach().cpu().numpy()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, np.ndarray)):
        return value
    return str(value).removeprefix("torch.")
