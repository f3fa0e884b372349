"""Training steps of the PyTorch peer, timed: the work that `galaxy train` does.

    python torch_step.py --cache CACHE --batch N --steps N --precision P [--jit]

PyTorch at its usual best: channels_last, autocast, the fused AdamW, and with --jit
torch.compile. Batches are rows of arrays in memory, a GPU's own where there is one, which
does a step while the next is launched. Prints
{"ends": [wall-clock time at the end of every step, seconds]}.
"""

import time

import peer
import torch
from torch import nn
from torch.nn import functional as F

STAGES = ((3, 64), (4, 128), (6, 256), (3, 512))


def conv_bn(inputs, outputs, kernel, stride):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs, eps=1e-5, momentum=0.1))


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.first = conv_bn(inputs, outputs, 3, stride)
        self.second = conv_bn(outputs, outputs, 3, 1)
        self.shortcut = conv_bn(inputs, outputs, 1, stride) if inputs != outputs else nn.Identity()

    def forward(self, x):
        y = self.second(F.relu(self.first(x), inplace=True))
        return F.relu(y + self.shortcut(x), inplace=True)


class ResNet34(nn.Module):
    """From images [n, 3, size, size], 0 to 255, to logits [n, 37] (He et al. 2015)."""

    def __init__(self, mean, std):
        super().__init__()
        mean, std = torch.tensor(mean).float(), torch.tensor(std).float()
        self.register_buffer("scale", (1 / (255 * std)).view(1, 3, 1, 1))
        self.register_buffer("offset", (-mean / std).view(1, 3, 1, 1))
        layers, inputs = [conv_bn(3, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)], 64
        for i, (blocks, outputs) in enumerate(STAGES):
            for j in range(blocks):
                layers.append(Block(inputs, outputs, 2 if i > 0 and j == 0 else 1))
                inputs = outputs
        self.body, self.dropout, self.head = nn.Sequential(*layers), nn.Dropout(0.2), nn.Linear(512, 37)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight)

    def forward(self, images):
        x = self.body(images.float() * self.scale + self.offset)
        x = self.dropout(x.float().mean((2, 3)))
        with torch.autocast(x.device.type, enabled=False):
            return self.head(x)


def focal_loss(logits, labels, alpha=0.25, gamma=2.0):
    p, q = torch.sigmoid(logits), torch.sigmoid(-logits)
    positive = labels * alpha * q**gamma * F.softplus(-logits)
    negative = (1 - labels) * (1 - alpha) * p**gamma * F.softplus(logits)
    return (positive + negative).mean()


def batches(images, labels, size):
    """Rows of both, in another order every epoch, for ever."""
    while True:
        order = torch.randperm(len(images), device=images.device)
        for i in range(0, len(order) - size + 1, size):
            rows = order[i:i + size]
            yield images[rows], labels[rows]


def main():
    args = peer.arguments()
    manifest, images, labels = peer.load(args.cache)
    images, labels = torch.from_numpy(images), torch.from_numpy(labels.copy())

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
    model = ResNet34(manifest["channel_mean"], manifest["channel_std"]).to(device, memory_format=torch.channels_last)
    kernels = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": kernels, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}], lr=1e-3, fused=True)
    dtype = getattr(torch, args.precision)
    scaler = torch.amp.GradScaler(device, enabled=args.precision == "float16")
    network = torch.compile(model) if args.jit else model

    def step(x, labels):
        with torch.autocast(device, dtype, enabled=args.precision != "float32"):
            logits = network(x.permute(0, 3, 1, 2))  # as it lies in memory: channels last
        loss = focal_loss(logits.float(), labels)
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        return loss.detach()

    load = batches(images.to(device), labels.to(device), args.batch)
    ends, under_way = [], []
    for i in range(args.steps):
        loss = step(*next(load)).to("cpu", non_blocking=True)
        if device == "cpu":
            loss.item()
            ends.append(time.time())
            continue
        done = torch.cuda.Event()
        done.record()
        under_way.append((done, loss))
        while len(under_way) > (0 if i in (0, args.steps - 1) else 1):
            done, loss = under_way.pop(0)
            done.synchronize()
            loss.item()
            ends.append(time.time())
    peer.answer(ends)


if __name__ == "__main__":
    main()
