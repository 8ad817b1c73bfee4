"""Train a small network, make it depthwise-separable, and fine-tune it for one epoch.

    python examples/fine_tune.py

The pictures are circles, squares, triangles and crosses, turned at random and in noise. The
converted network starts from the best depthwise-separable approximation of the trained weights, of
rank 1 in every layer of 32 channels. That alone names few shapes, but what the network learned is
still in it: one epoch brings back nearly all, far more than one epoch from new weights.

Then the same MACs are spent where they matter: layers and ranks are planned by kernel errors, and
by a score, what the network makes of pictures that it was not trained on and is not tested on. What
is planned by the score loses little; recovered on pictures without labels it is nearly as good as
the trained network.
"""

import argparse
from collections.abc import Iterable
from math import pi, sqrt
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import dscost

SHAPES = ("circle", "square", "triangle", "cross")
SIZE = 32
INPUT = (1, 1, SIZE, SIZE)


class Pictures(NamedTuple):
    """Pictures of shapes.

    Args:
        images: `(count, 1, SIZE, SIZE)`.
        labels: `(count,)`, positions in `SHAPES`.
    """

    images: Tensor
    labels: Tensor


class Step(NamedTuple):
    """What one step of the story led to.

    Args:
        name: Of the step.
        accuracy: On pictures that were not trained on, 0 to 1.
        params: Of the network.
        macs: Multiply-accumulates per picture.
    """

    name: str
    accuracy: float
    params: int
    macs: int


def draw(count: int, generator: torch.Generator, noise: float = 0.2) -> Pictures:
    """Return so many pictures of random shapes, in noise of that deviation."""

    def between(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, 1, 1, generator=generator)

    across = torch.linspace(-1, 1, SIZE)
    y, x = torch.meshgrid(across, across, indexing="ij")
    x, y = x - between(-0.3, 0.3), y - between(-0.3, 0.3)
    angle, radius = between(0, 2 * pi), between(0.45, 0.7)
    # the same points as seen from the shape: turned, in units of its radius
    u = (x * angle.cos() + y * angle.sin()) / radius
    v = (y * angle.cos() - x * angle.sin()) / radius
    near, far = torch.minimum(u.abs(), v.abs()), torch.maximum(u.abs(), v.abs())
    inside = {
        "circle": u**2 + v**2 < 0.8,
        "square": far < 0.8,
        "triangle": (v > -0.6) & (v + sqrt(3) * u.abs() < 1.1),
        "cross": (near < 0.35) & (far < 1),
    }
    labels = torch.randint(len(SHAPES), (count,), generator=generator)
    masks = torch.stack([inside[shape] for shape in SHAPES], dim=1)[torch.arange(count), labels]
    images = masks + noise * torch.randn(count, SIZE, SIZE, generator=generator)
    return Pictures(images[:, None], labels)


def small_network() -> nn.Module:
    """Return four 3×3 convolutions and a classifier."""

    def conv(in_channels: int, out_channels: int, stride: int) -> Iterable[nn.Module]:
        yield nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        yield nn.BatchNorm2d(out_channels)
        yield nn.ReLU()

    return nn.Sequential(
        *conv(1, 16, stride=2),
        *conv(16, 32, stride=2),
        *conv(32, 32, stride=1),
        *conv(32, 64, stride=2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, len(SHAPES)),
    )


def train(network: nn.Module, pictures: Pictures, epochs: int, learning_rate: float = 1e-2) -> None:
    """Train the network to name the shapes; the learning rate rises to its highest, then falls."""
    batches = DataLoader(TensorDataset(*pictures), batch_size=50, shuffle=True)
    optimizer = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, total_steps=epochs * len(batches)
    )
    network.train()
    for _ in range(epochs):
        for images, labels in batches:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(images), labels)
            loss.backward()
            optimizer.step()
            schedule.step()


def accuracy(network: nn.Module, pictures: Pictures) -> float:
    """Return the share of pictures whose shape the network names."""
    network.eval()
    with torch.inference_mode():
        return float((network(pictures.images).argmax(dim=1) == pictures.labels).float().mean())


def story(*, epochs: int, count: int, seed: int = 0, save: Path | None = None) -> list[Step]:
    """Return what came of training, of conversion, of fine-tuning, of new weights, and of plans.

    Args:
        epochs: Of training; fine-tuning takes one.
        count: Pictures to train on; half as many are kept for the test, a sixth to choose a plan.
        seed: Of the pictures and the weights.
        save: Where the weights are written once they are trained.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    known, unseen = draw(count, generator), draw(count // 2, generator)
    chosen_on = draw(count // 6, generator)

    def step(name: str, network: nn.Module) -> Step:
        cost = dscost.analyze(network, input=INPUT).totals.as_is
        return Step(name, accuracy(network, unseen), cost.params, cost.macs)

    network = small_network()
    train(network, known, epochs)
    if save is not None:
        torch.save(network.state_dict(), save)
    steps = [step("trained", network)]
    separable = dscost.convert(network, rank=1)
    steps.append(step("converted", separable))
    train(separable, known, epochs=1)
    steps.append(step("fine-tuned for one epoch", separable))
    new = dscost.convert(small_network(), rank=1)
    train(new, known, epochs=1)
    steps.append(step("new, trained for one epoch", new))

    goal = f"macs={steps[1].macs}"
    plan = dscost.plan(network, goal, input=INPUT, min_channels=16, order="best")
    steps.append(step("planned by kernel errors", dscost.convert(network, plan=plan)))
    plan = dscost.plan(network, goal, input=INPUT, score=lambda tried: accuracy(tried, chosen_on))
    steps.append(step("planned by the score", dscost.convert(network, plan=plan)))
    seen = known.images[:256]
    separable = dscost.convert(network, INPUT, plan=plan, calibrate=seen)
    steps.append(step("planned, recovered", separable))
    train(separable, known, epochs=1)
    return [*steps, step("planned, recovered, fine-tuned", separable)]


def main() -> None:
    """Print the story as a table."""
    parser = argparse.ArgumentParser(
        description="Train, convert, plan and fine-tune a small network on synthetic shapes."
    )
    parser.add_argument(
        "--epochs", type=int, default=4, help="of training, before the conversion (default: 4)"
    )
    parser.add_argument("--pictures", type=int, default=6000, help="to train on (default: 6000)")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the pictures and the weights (default: 0)"
    )
    parser.add_argument("--save", type=Path, help="write the trained weights there, as .pt")
    options = parser.parse_args()
    torch.set_num_threads(1)  # layers as small as these gain nothing from more
    print(f"{'network':<32}{'accuracy':>10}{'params':>10}{'MACs':>12}")
    given = {"epochs": options.epochs, "count": options.pictures, "seed": options.seed}
    for step in story(**given, save=options.save):
        print(f"{step.name:<32}{step.accuracy:>10.1%}{step.params:>10,}{step.macs:>12,}")


if __name__ == "__main__":
    main()
