"""The training of one network as a LightningModule: optimiser, schedule, EMA, validation and history."""

import copy
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from pageflip.base.errors import ConfigError
from pageflip.networks.layers import FrameNetwork, scale_pixels
from pageflip.training.augmentation import augment_frames
from pageflip.training.recipe import TrainingRecipe

WARM_UP_SHARE = 0.1
EMA_WARM_UP = 9  # steps; the decay of step t is at most t / (t + EMA_WARM_UP)
HEAD = ("head.", "last.")  # layers without pretrained weights, trained at the full rate
MONITOR, LOSS_WEIGHT = "val_rank", 1e-3


class FlipModule(lightning.LightningModule):
    """The training of one network.

    The exponential moving average and the best weights are kept here and not by Lightning's callbacks, which would give
    other results:

    - `WeightAveraging` starts from the weights after the first step, this average from the initial weights, and
      `EMAWeightAveraging` averages `num_batches_tracked` too. Both restore the current weights before
      `on_validation_epoch_end`, where the best average is copied.
    - `ModelCheckpoint` compares scores rounded to float32, in which epochs of equal F1 can tie. It writes the best
      weights to a second file; a kill between the two leaves best weights of an epoch that the history lacks.

    Attributes:
        history: the figures of each epoch.
        best_epoch: epoch with the highest validation score.
        best_state: its weights, on the CPU.
    """

    def __init__(self, network: FrameNetwork, recipe: TrainingRecipe, on_epoch: Callable[[dict], None]) -> None:
        super().__init__()
        self.network, self.recipe, self.fit, self.on_epoch = network, recipe, recipe.fit, on_epoch
        self.average = copy.deepcopy(network).requires_grad_(False) if self.fit.ema_decay else None
        self.loss = nn.BCEWithLogitsLoss()
        self.history: list[dict[str, float]] = []
        self.best_rank, self.best_epoch = -math.inf, 0
        self.best_state: dict[str, Tensor] = {}
        self._validation: list[tuple[Tensor, Tensor]] = []

    def configure_optimizers(self) -> dict[str, Any]:
        """Return AdamW, and a cosine schedule with warm-up that is stepped per batch."""
        rate, share = self.fit.learning_rate, self.fit.body_learning_rate_share
        head_first = self.fit.head_epochs > 0
        groups = _parameter_groups(self.network, rate, share, apart=head_first or share != 1)
        optimizer = torch.optim.AdamW(groups, lr=rate, weight_decay=self.fit.weight_decay, fused=True)
        total = int(self.trainer.estimated_stepping_batches)
        head_steps = total * self.fit.head_epochs // self.fit.epochs if head_first else 0
        # rate zero instead of frozen weights: DDP waits for the gradients of all parameters
        factors: list[Callable[[int], float]] = [
            partial(_warm_up_and_cosine, total=total, first=0 if group["head"] else head_steps) for group in groups
        ]
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factors)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_start(self) -> None:
        """Stop at once where the resumed training had stopped early: Lightning restores the count, not the decision."""
        stopper = self.trainer.early_stopping_callback
        if stopper.wait_count >= stopper.patience:
            self.trainer.should_stop = True

    def on_train_epoch_start(self) -> None:
        """Set the body's mode, and start the measurement of loss and speed."""
        if self.current_epoch < self.fit.head_epochs:
            _freeze_body_statistics(self.network)
        elif self.current_epoch == self.fit.head_epochs:
            self.network.train()
        self.generator = torch.Generator(device=self.device)
        self._losses: list[Tensor] = []
        self._started, self._seen = time.monotonic(), 0

    def training_step(self, batch: tuple[Tensor, Tensor], number: int) -> Tensor:
        """Return the loss of an augmented batch."""
        frames, targets = batch
        # seeded for every batch, since the start of a data loader draws from torch's generator too
        process = (self.global_rank,) if self.global_rank else ()
        seed = hash((self.recipe.seed, self.current_epoch, number, *process)) % 2**63
        torch.manual_seed(seed)  # dropout
        self.generator.manual_seed(seed)
        if self.fit.label_smoothing:
            targets = torch.lerp(targets, torch.full_like(targets, 0.5), self.fit.label_smoothing)
        loss = self.loss(self.network(augment_frames(frames, self.recipe.augment, self.generator)), targets)
        self._losses.append(loss.detach())
        self._seen += len(targets)
        return loss

    def on_train_batch_end(self, *_: Any) -> None:
        """Update the exponential moving average of the weights; buffers of integers are copied."""
        if self.average is None:
            return
        decay = min(self.fit.ema_decay, self.global_step / (self.global_step + EMA_WARM_UP))
        with torch.no_grad():
            pairs = list(zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True))
            means, values = zip(*(pair for pair in pairs if pair[0].is_floating_point()), strict=True)
            torch._foreach_lerp_(means, values, 1 - decay)
            for mean, value in pairs:
                if not mean.is_floating_point():
                    mean.copy_(value)

    @property
    def candidate(self) -> FrameNetwork:
        """The network that is validated, and whose best weights are kept."""
        return self.network if self.average is None else self.average

    def on_validation_epoch_start(self) -> None:
        """End the measurement of the training speed."""
        self._validation = []
        self._trained_s = time.monotonic() - getattr(self, "_started", time.monotonic())

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        """Collect the logits of a batch."""
        frames, targets = batch
        self._validation.append((self.candidate(scale_pixels(frames)).float(), targets))

    def on_validation_epoch_end(self) -> None:
        """Compute the figures of the epoch over all frames at once, and keep the weights if they are the best."""
        logits, targets = (torch.cat(parts) for parts in zip(*self._validation, strict=True))
        positive, flips = logits > 0, targets > 0.5
        f1 = float(2 * (positive & flips).sum() / (positive.sum() + flips.sum()).clamp(min=1))
        val_loss = float(self.loss(logits, targets))
        if not math.isfinite(val_loss):
            raise ConfigError(
                f"the training diverged: the validation loss of epoch {self.current_epoch} is {val_loss}",
                f"set train.fit.learning_rate below {self.fit.learning_rate:g}.",
            )
        self._keep_if_best(f1 - LOSS_WEIGHT * min(val_loss, 1.0))  # the loss orders epochs of equal F1
        record = {
            "epoch": self.current_epoch,
            "train_loss": float(torch.stack(self._losses).mean()),
            "val_loss": val_loss,
            "val_f1": f1,
            "learning_rate": self.optimizers().param_groups[0]["lr"],
        }
        self.history.append(record)
        if self.trainer.is_global_zero:
            seen = self._seen * self.trainer.world_size
            self.on_epoch(record | {"frames_per_second": seen / max(self._trained_s, 1e-9)})

    def _keep_if_best(self, rank: float) -> None:
        rank = self.trainer.strategy.broadcast(rank)  # all processes must stop after the same epoch
        self.log(MONITOR, rank)
        if rank > self.best_rank:
            self.best_rank, self.best_epoch = rank, self.current_epoch
            state = self.candidate.state_dict()
            self.best_state = {name: value.detach().cpu().clone() for name, value in state.items()}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add history and best weights to a checkpoint."""
        checkpoint["history"] = self.history
        checkpoint["best"] = {"rank": self.best_rank, "epoch": self.best_epoch, "state": self.best_state}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore history and best weights from a checkpoint."""
        self.history = checkpoint["history"]
        best = checkpoint["best"]
        self.best_rank, self.best_epoch, self.best_state = best["rank"], best["epoch"], best["state"]


def _parameter_groups(network: nn.Module, rate: float, share: float, *, apart: bool) -> list[dict[str, Any]]:
    """Return the optimiser's groups: the head at the full rate, the body at a share of it; one group unless `apart`."""
    named = [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]
    if not apart:
        return [{"params": [parameter for _, parameter in named], "head": True}]
    head = [parameter for name, parameter in named if name.startswith(HEAD)]
    body = [parameter for name, parameter in named if not name.startswith(HEAD)]
    groups = [{"params": head, "head": True}, {"params": body, "lr": rate * share, "head": False}]
    return [group for group in groups if group["params"]]


def _freeze_body_statistics(network: nn.Module) -> None:
    """Keep the body's running statistics, and switch off its dropout, while the head is trained alone."""
    for name, part in network.named_children():
        if not f"{name}.".startswith(HEAD):
            part.eval()


def _warm_up_and_cosine(step: int, total: int, first: int = 0) -> float:
    """Return the share of the full rate at a step: 0 before `first`, then linear warm-up and cosine decay."""
    step, total = step - first, total - first
    if step < 0:
        return 0.0
    warm_up = max(1, round(WARM_UP_SHARE * total))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, total - warm_up)))
