"""Training on the pack: batches from pageflip.training.batches, augmented on the device, the loop by Lightning.

A run is fixed by its seed, however often it is killed: everything random in an epoch is drawn from (seed, epoch), and
the checkpoint of each epoch's end holds the rest.
"""

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
from pageflip.networks.layers import scale_pixels
from pageflip.params.training import Augment, Fit
from pageflip.training.augmentation import augment_frames

WARM_UP_SHARE = 0.1
HEAD = ("head.", "last.")  # what no pretrained weights hold: always trained at the full rate
MONITOR, LOSS_WEIGHT = "val_rank", 1e-3


class FlipModule(lightning.LightningModule):
    """The training of one network: loss, optimiser, validation F1, and the history of epochs."""

    def __init__(self, network: nn.Module, fit: Fit, augment: Augment, seed: int, on_epoch: Callable[[dict], None]):
        super().__init__()
        self.network, self.fit_params, self.augment, self.seed, self.on_epoch = network, fit, augment, seed, on_epoch
        # the running mean of the weights: judged and kept in place of the network that is trained
        self.shadow = copy.deepcopy(network).requires_grad_(False) if fit.ema_decay else None
        self.loss = nn.BCEWithLogitsLoss()
        self.history: list[dict[str, float]] = []
        self.best_rank, self.best_epoch = -math.inf, 0
        self.best_state: dict[str, Tensor] | None = None
        self._validation: list[tuple[Tensor, Tensor]] = []

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW, and a cosine schedule with warm-up stepped per batch."""
        rate, share = self.fit_params.learning_rate, self.fit_params.body_learning_rate_share
        head_first = self.fit_params.head_epochs > 0
        groups = _parameter_groups(self.network, rate, share, apart=head_first or share != 1)
        optimizer = torch.optim.AdamW(groups, lr=rate, weight_decay=self.fit_params.weight_decay, fused=True)
        total = int(self.trainer.estimated_stepping_batches)
        alone = total * self.fit_params.head_epochs // self.fit_params.epochs if head_first else 0
        # a rate of zero, and not frozen weights: processes that train together wait for the gradients of all of them
        shares = [partial(_warm_up_and_cosine, total=total, first=0 if group["head"] else alone) for group in groups]
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, shares)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_start(self) -> None:
        stopper = self.trainer.early_stopping_callback
        if stopper.wait_count >= stopper.patience:  # it had stopped; Lightning restores the count and not the decision
            self.trainer.should_stop = True

    def on_train_epoch_start(self) -> None:
        if self.current_epoch < self.fit_params.head_epochs:
            _body_in_evaluation_mode(self.network)
        elif self.current_epoch == self.fit_params.head_epochs:
            self.network.train()
        self.generator = torch.Generator(device=self.device)
        self._losses: list[Tensor] = []
        self._started, self._seen = time.monotonic(), 0

    def training_step(self, batch: tuple[Tensor, Tensor], number: int) -> Tensor:
        frames, targets = batch
        # before every batch, since data loaders draw from the same numbers when they start
        place = (self.global_rank,) if self.global_rank else ()
        seed = hash((self.seed, self.current_epoch, number, *place)) % 2**63
        torch.manual_seed(seed)  # dropout
        self.generator.manual_seed(seed)
        if self.fit_params.label_smoothing:
            targets = torch.lerp(targets, torch.full_like(targets, 0.5), self.fit_params.label_smoothing)
        loss = self.loss(self.network(augment_frames(frames, self.augment, self.generator)), targets)
        self._losses.append(loss.detach())
        self._seen += len(targets)
        return loss

    def on_train_batch_end(self, *_: Any) -> None:
        if self.shadow is None:
            return
        # a mean over as many steps as there were, until those are enough
        decay = min(self.fit_params.ema_decay, self.global_step / (self.global_step + 9))
        with torch.no_grad():
            pairs = list(zip(self.shadow.state_dict().values(), self.network.state_dict().values(), strict=True))
            means, values = zip(*(pair for pair in pairs if pair[0].is_floating_point()), strict=True)
            torch._foreach_lerp_(means, values, 1 - decay)
            for mean, value in pairs:
                if not mean.is_floating_point():
                    mean.copy_(value)

    @property
    def judged(self) -> nn.Module:
        """The network that validation judges, and whose best weights are kept."""
        return self.network if self.shadow is None else self.shadow

    def on_validation_epoch_start(self) -> None:
        self._validation = []
        self._trained_s = time.monotonic() - getattr(self, "_started", time.monotonic())

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        frames, targets = batch
        self._validation.append((self.judged(scale_pixels(frames)).float(), targets))

    def on_validation_epoch_end(self) -> None:
        logits, targets = (torch.cat(parts) for parts in zip(*self._validation, strict=True))
        called, flips = logits > 0, targets > 0.5
        hits = (called & flips).sum()
        f1 = float(2 * hits / (called.sum() + flips.sum()).clamp(min=1))  # over all frames at once
        val_loss = float(self.loss(logits, targets))
        if not math.isfinite(val_loss):
            raise ConfigError(
                f"the training diverged: the validation loss of epoch {self.current_epoch} is {val_loss}",
                f"set train.fit.learning_rate below {self.fit_params.learning_rate:g}.",
            )
        # F1 decides; among epochs of equal F1, common on small validation sets, the loss does
        rank = f1 - LOSS_WEIGHT * min(val_loss, 1.0)
        rank = self.trainer.strategy.broadcast(rank)  # processes that train together must stop together
        self.log(MONITOR, rank)
        if rank > self.best_rank:
            self.best_rank, self.best_epoch = rank, self.current_epoch
            self.best_state = {name: value.detach().cpu().clone() for name, value in self.judged.state_dict().items()}
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

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["history"] = self.history
        checkpoint["best"] = {"rank": self.best_rank, "epoch": self.best_epoch, "state": self.best_state}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = checkpoint["history"]
        best = checkpoint["best"]
        self.best_rank, self.best_epoch, self.best_state = best["rank"], best["epoch"], best["state"]


def _parameter_groups(network: nn.Module, rate: float, share: float, *, apart: bool) -> list[dict[str, Any]]:
    """What the optimiser trains: the head at the full rate, the body at a share of it (one group unless `apart`)."""
    named = [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]
    if not apart:
        return [{"params": [parameter for _, parameter in named], "head": True}]
    head = [parameter for name, parameter in named if name.startswith(HEAD)]
    body = [parameter for name, parameter in named if not name.startswith(HEAD)]
    groups = [{"params": head, "head": True}, {"params": body, "lr": rate * share, "head": False}]
    return [group for group in groups if group["params"]]


def _body_in_evaluation_mode(network: nn.Module) -> None:
    """While the head learns alone the body's running statistics stay, and nothing of it is dropped."""
    for name, part in network.named_children():
        if not f"{name}.".startswith(HEAD):
            part.eval()


def _warm_up_and_cosine(step: int, total: int, first: int = 0) -> float:
    """The share of the full learning rate at a step: 0 before step `first`, linear to 1, half a cosine to 0."""
    step, total = step - first, total - first
    if step < 0:
        return 0.0
    warm_up = max(1, round(WARM_UP_SHARE * total))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, total - warm_up)))
