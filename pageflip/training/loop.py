"""Training on the pack: batches from pageflip.training.batches, augmented on the device, the loop by Lightning.

A run is fixed by its seed, however often it is killed: everything random in an epoch is drawn from (seed, epoch), and
the checkpoint of each epoch's end holds the rest.
"""

import copy
import io
import math
import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.plugins import TorchCheckpointIO
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch import Tensor, nn

from pageflip.base import storage
from pageflip.base.errors import ConfigError
from pageflip.networks.build import INITIAL, build_network
from pageflip.networks.initial_weights import load_initial
from pageflip.networks.layers import for_evaluation
from pageflip.params.training import Augment, Fit
from pageflip.training.augmentation import for_training
from pageflip.training.batches import EpochShuffle, Part, make_loader, stays_on_device

# what a training's result depends on beside its parameters: checkpoints and folds of other code are not gone on with
PARTS = ("training/loop", "training/batches", "training/transforms", "training/augmentation", "networks/build")
PARTS += ("networks/layers", "networks/efficientnet_lite", "networks/torchvision", "networks/initial_weights")
PARTS += ("networks/weight_files",)
CODE = tuple(Path(__file__).parents[1] / f"{name}.py" for name in PARTS)

WARM_UP_SHARE = 0.1
VALIDATION_BATCH = 256
HEAD = ("head.", "last.")  # what no pretrained weights hold: always trained at the full rate
NO_WHOLE_NETWORK = ("none", "imagenet")  # initial weights that do not know flips yet
MONITOR, LOSS_WEIGHT = "val_rank", 1e-3
LAST = "last.ckpt"
EXPECTED_WARNINGS = (
    ".*does not have many workers.*",  # see pageflip.training.batches
    "Checkpoint directory .* exists and is not empty.*",  # so that a killed run goes on
    ".*LeafSpec.*",  # Lightning's own use of torch
    ".* in eval mode at the start of training.*",  # frozen parts of a network, and the running mean
)


class FlipModule(lightning.LightningModule):
    """The training of one network: loss, optimiser, validation F1, and the history of epochs."""

    def __init__(self, network: nn.Module, fit: Fit, augment: Augment, seed: int, on_epoch: Callable[[dict], None]):
        super().__init__()
        self.network, self.fit_params, self.augment, self.seed, self.on_epoch = network, fit, augment, seed, on_epoch
        # the running mean of the weights: judged and kept in place of the network that is trained
        self.shadow = copy.deepcopy(network).requires_grad_(False) if fit.ema else None
        self.loss = nn.BCEWithLogitsLoss()
        self.history: list[dict[str, float]] = []
        self.best_rank, self.best_epoch = -math.inf, 0
        self.best_state: dict[str, Tensor] | None = None
        self._validation: list[tuple[Tensor, Tensor]] = []

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW, and a cosine schedule with warm-up stepped per batch."""
        rate, share = self.fit_params.learning_rate, self.fit_params.body_learning_rate
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
        loss = self.loss(self.network(for_training(frames, self.augment, self.generator)), targets)
        self._losses.append(loss.detach())
        self._seen += len(targets)
        return loss

    def on_train_batch_end(self, *_: Any) -> None:
        if self.shadow is None:
            return
        # a mean over as many steps as there were, until those are enough
        decay = min(self.fit_params.ema, self.global_step / (self.global_step + 9))
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
        self._validation.append((self.judged(for_evaluation(frames)).float(), targets))

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


class StoredCheckpoints(TorchCheckpointIO):
    """Checkpoints written to a folder or s3:// address in one piece, with the errors of storage.

    Lightning's own moves them from the system's temporary folder: a disk that is full, or a kill at that moment, would
    leave half a checkpoint in the place of the last good one.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str, storage_options: Any = None) -> None:
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        storage.write_bytes(str(path), buffer.getvalue())

    def load_checkpoint(self, path: str, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        return torch.load(io.BytesIO(storage.read_bytes(str(path))), map_location="cpu", weights_only=True)


def pick_accelerator(accelerator: str, require_gpu: bool) -> str:
    """Resolve `auto | cpu | cuda` to `cpu` or `cuda`.

    Raises:
        ConfigError: a GPU is asked for, and there is none.
    """
    if torch.cuda.is_available():
        return "cpu" if accelerator == "cpu" and not require_gpu else "cuda"
    if require_gpu or accelerator == "cuda":
        raise ConfigError(
            f"a GPU is asked for (accelerator: {accelerator}, require_gpu: {require_gpu}), and CUDA finds none",
            "run on a host with an NVIDIA driver (`pageflip doctor` tells), or set train.fit.accelerator: auto and "
            "train.fit.require_gpu: false.",
        )
    return "cpu"


def is_first_process() -> bool:
    """Whether this is the one process of a training that keeps its results, on one device or on many."""
    return not rank_zero_only.rank and os.environ.get("NODE_RANK", "0") == "0"


def train_network(
    frames: np.ndarray,
    train: Part,
    val: Part,
    *,
    name: str,
    settings: dict[str, Any],
    fit: Fit,
    augment: Augment,
    seed: int,
    checkpoints: str,
    on_epoch: Callable[[dict], None],
) -> tuple[nn.Module, dict[str, Any]]:
    """Train the network `name` and return it with its best weights, in evaluation mode on the CPU, and its history.

    Args:
        frames: the pack, uint8 [N, height, width, 3].
        train, val: (rows int [M], targets [M]: 0/1, for training also probabilities that another model gives).
        settings: the network's section of `train.networks`; weights that `initial` names are loaded when it begins.
        checkpoints: folder or s3:// address of this very training (same inputs, same params): where a killed run left
            a checkpoint, it goes on.
        on_epoch: called with each epoch's record.

    On several devices this program is started once for each (by Lightning; on several nodes by whoever starts it
    there); all but the first end here.

    Raises:
        ConfigError: a GPU is required and absent, there are no such initial weights, or none to keep a share of.
    """
    if fit.keep_initial and settings.get(INITIAL, "none") in NO_WHOLE_NETWORK:
        raise ConfigError(
            f"keep_initial is {fit.keep_initial:g}, and initial: {settings.get(INITIAL, 'none')} has no trained head",
            f"set keep_initial to 0 in train.networks.{name}.fit, or let initial name weights of the whole network.",
        )
    accelerator = pick_accelerator(fit.accelerator, fit.require_gpu)
    torch.manual_seed(seed)
    network = build_network(name, settings)
    resume = _resume_from(checkpoints)
    if resume is None:
        load_initial(network, settings.get(INITIAL, "none"))
    module = FlipModule(network, fit, augment, seed, on_epoch)
    if fit.compile:
        network.compile()  # in place: names of weights stay
    module.train()  # Lightning leaves the modes as they are; frozen parts of a network take theirs from this
    # the module carries its best weights, so one checkpoint is all there is to keep
    keep_last = ModelCheckpoint(checkpoints, LAST.removesuffix(".ckpt"), save_top_k=1, enable_version_counter=False)
    trainer = lightning.Trainer(
        accelerator=accelerator,
        devices=_devices(fit, accelerator),
        num_nodes=fit.num_nodes,
        strategy=fit.strategy,
        use_distributed_sampler=False,  # EpochShuffle deals the frames; each process validates on all of them
        sync_batchnorm=accelerator == "cuda",  # CPUs share those of the first process
        precision="bf16-mixed" if accelerator == "cuda" else "32-true",
        max_epochs=fit.epochs,
        callbacks=[EarlyStopping(MONITOR, mode="max", patience=fit.patience, min_delta=1e-5), keep_last],
        deterministic=True if accelerator == "cpu" else "warn",
        logger=False,
        plugins=[StoredCheckpoints()],
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
        num_sanity_val_steps=0,
        log_every_n_steps=1,
    )
    loaders = _loaders(frames, train, val, fit, seed, trainer)
    with warnings.catch_warnings():
        for message in EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        trainer.fit(module, *loaders, ckpt_path=resume, weights_only=True)
    if not trainer.is_global_zero:
        raise SystemExit(0)  # Lightning started this program once more for another device; the first one goes on
    network = module.network.cpu()
    network.load_state_dict(module.best_state)
    if fit.keep_initial:
        _blend(network, name, settings, fit.keep_initial)
    return network.eval(), {"epochs": module.history, "best_epoch": module.best_epoch}


def _blend(network: nn.Module, name: str, settings: dict[str, Any], share: float) -> None:
    """Move the trained weights towards those that training began with, in place.

    What is learnt of a few books costs what was known of all others; between the two lies what does well on both
    (Wortsman et al., "Robust fine-tuning of zero-shot models", 2022).
    """
    initial = build_network(name, settings)
    load_initial(initial, settings[INITIAL])
    before = initial.state_dict()
    with torch.no_grad():
        for key, value in network.state_dict().items():
            if value.is_floating_point():
                value.lerp_(before[key], share)


def delete_checkpoints(checkpoints: str) -> None:
    """Remove what `train_network` left for a killed run, once its result is safe."""
    for file in storage.list_files(checkpoints):
        storage.delete(file.url)
    folder = storage.local_path(checkpoints)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _resume_from(checkpoints: str) -> str | None:
    """The checkpoint that a killed run of this very training left; one that cannot be read is removed."""
    last = storage.join(checkpoints, LAST)
    if not storage.exists(last):
        return None
    content = storage.read_bytes(last)
    try:
        torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a half-written file can fail in any way
        print(f"train: the checkpoint {last} cannot be read ({error}): starting anew", flush=True)
        delete_checkpoints(checkpoints)
        return None
    print(f"train: going on from the checkpoint {last}", flush=True)
    return last


def _devices(fit: Fit, accelerator: str) -> int:
    """How many devices of this node train; of CPU "devices" as many processes as are asked for.

    Raises:
        ConfigError: there are fewer.
    """
    there = torch.cuda.device_count() if accelerator == "cuda" else None
    if fit.devices == "auto":
        return there or 1
    if there is not None and fit.devices > there:
        raise ConfigError(f"train.fit.devices is {fit.devices}, and CUDA finds {there}", "ask for fewer, or `auto`.")
    return fit.devices


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


def _loaders(
    frames: np.ndarray, train: Part, val: Part, fit: Fit, seed: int, trainer: lightning.Trainer
) -> tuple[Iterable, Iterable]:
    """Batches for training and for validation, from where they are nearest to the device."""
    device = trainer.strategy.root_device
    count = len(train[0]) + len(val[0])
    resident = stays_on_device(frames, count, fit.device_memory_share, device)
    sampler = EpochShuffle(len(train[0]), seed, trainer.global_rank, trainer.world_size)
    place = {"device": device, "resident": resident}
    return (
        make_loader(frames, train, batch_size=fit.batch_size, sampler=sampler, **place),
        make_loader(frames, val, batch_size=VALIDATION_BATCH, **place),
    )
