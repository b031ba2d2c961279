"""One training step of the field network in PyTorch, timed: the yardstick of `pfgm train`.

    torch_train.py CONFIG [--threads N] [--seconds S] [--memory contiguous|channels_last]

CONFIG is a run's settled config.json. A step is what pfgm does in one: perturbation, the target from a large batch by a
matrix product, forward, backward, gradient clip, Adam and the moving average (the multi-tensor forms of both). Images
are random bytes; nothing is read from disk. Prints images a second as JSON.
"""
import argparse
import json
import math
import sys
import time
import os

import torch

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from torch_ddpmpp import AttnBlock, Net  # noqa: E402


class TrainNet(Net):
    """The packed attention weights follow the parameters, step by step."""

    def forward(self, x, t):
        for module in self.all_modules:
            if isinstance(module, AttnBlock):
                module.pack()
        return super().forward(x, t)


def perturb(config, y):
    n, d = y.shape[0], y[0].numel()
    m = torch.rand(n) * config["m"]
    height = torch.randn(n).abs() * config["sigma"]
    near = height < 0.5 * config["sigma"]
    m = torch.where(near, torch.rand(n) * math.floor(0.7 * config["m"]), m)
    reach = (1 + config["tau"]) ** m
    noise = torch.randn(n, d) * config["sigma"]
    return y.reshape(n, d) + noise * reach[:, None], (height * reach).clamp_min(1e-10)


def target(config, x, t, rows):
    d = x.shape[1]
    squares = (x * x).sum(1)[:, None] + (rows * rows).sum(1)[None] - 2 * x @ rows.t() + (t * t)[:, None]
    distance = squares.clamp_min(0).sqrt()
    weights = torch.softmax(-(d + 1) * torch.log(distance + 1e-7), 1)
    e_x, e_t = weights @ rows - x, -t
    length = (e_x.square().sum(1) + e_t.square()).sqrt()
    scale = math.sqrt(d) / (length + config["gamma"])
    return e_x * scale[:, None], e_t * scale


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--memory", default="contiguous")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    with open(options.config) as f:
        config = json.load(f)
    arch = config["network"]
    memory = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}[options.memory]
    net = TrainNet(arch).to(memory_format=memory).train()
    parameters = list(net.parameters())
    ema = [p.detach().clone() for p in parameters]
    adam = torch.optim.Adam(parameters, lr=config["learning_rate"], eps=1e-8, foreach=True)
    side, channels, batch = arch["image_size"], arch["channels"], config["batch"]
    images = torch.randint(0, 256, (8192, channels, side, side), dtype=torch.uint8)

    def step():
        chosen = torch.randint(0, len(images), (config["large_batch"],))
        rows = images[chosen].float().reshape(len(chosen), -1) / 127.5 - 1
        x, t = perturb(config, rows[:batch].reshape(batch, channels, side, side))
        with torch.no_grad():
            goal_x, goal_t = target(config, x, t, rows)
        adam.zero_grad(set_to_none=True)
        v_x, v_t = net(x.reshape(batch, channels, side, side).contiguous(memory_format=memory), t)
        loss = 0.5 * ((v_x.reshape(batch, -1) - goal_x).square().sum(1) + (v_t - goal_t).square()).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, config["clip"])
        adam.step()
        with torch.no_grad():
            torch._foreach_mul_(ema, config["ema"])
            torch._foreach_add_(ema, parameters, alpha=1 - config["ema"])

    step()
    step()
    begin, count = time.perf_counter(), 0
    while count < 3 or time.perf_counter() - begin < options.seconds:
        step()
        count += 1
    seconds = time.perf_counter() - begin
    print(json.dumps({"torch": torch.__version__, "memory": options.memory, "threads": options.threads,
                      "steps": count, "images_per_second": count * batch / seconds,
                      "parameters": sum(p.numel() for p in parameters)}))


if __name__ == "__main__":
    main()
