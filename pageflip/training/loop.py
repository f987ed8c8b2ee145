"""Training on the pack: batches from pageflip.training.batches, augmented on the device, the loop by Lightning.

A run is fixed by its seed, however often it is killed: everything random in an epoch is drawn from (seed, epoch), and
the checkpoint of each epoch's end holds the rest.
"""

import sys
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch import nn

from pageflip.base.errors import ConfigError
from pageflip.networks.build import INITIAL, build_network
from pageflip.networks.initial_weights import load_initial
from pageflip.params.training import Augment, Fit
from pageflip.training.batches import EpochShuffle, Part, make_loader, stays_on_device
from pageflip.training.checkpoints import LAST, StoredCheckpoints, resume_from
from pageflip.training.devices import device_count, pick_accelerator
from pageflip.training.module import MONITOR, FlipModule

VALIDATION_BATCH = 256
NO_WHOLE_NETWORK = ("none", "imagenet")  # initial weights that do not know flips yet
EXPECTED_WARNINGS = (
    ".*does not have many workers.*",  # see pageflip.training.batches
    "Checkpoint directory .* exists and is not empty.*",  # so that a killed run goes on
    ".*LeafSpec.*",  # Lightning's own use of torch
    ".* in eval mode at the start of training.*",  # frozen parts of a network, and the running mean
)


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
    if fit.initial_weight_share and settings.get(INITIAL, "none") in NO_WHOLE_NETWORK:
        raise ConfigError(
            f"initial_weight_share is {fit.initial_weight_share:g}, "
            f"and initial: {settings.get(INITIAL, 'none')} has no trained head",
            f"set it to 0 in train.networks.{name}.fit, or let initial name weights of the whole network.",
        )
    accelerator = pick_accelerator(fit.accelerator, fit.require_gpu)
    torch.manual_seed(seed)
    network = build_network(name, settings)
    resume = resume_from(checkpoints)
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
        devices=device_count(fit, accelerator),
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
    if fit.initial_weight_share:
        _blend(network, name, settings, fit.initial_weight_share)
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
