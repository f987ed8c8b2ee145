"""The training loop, run by Lightning: resumable, and with equal results however often it is killed.

Everything random in an epoch is drawn from (seed, epoch); the checkpoint at the end of each epoch holds the rest.
"""

import logging
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from pageflip.base.errors import ConfigError
from pageflip.networks.build import build_network
from pageflip.networks.initial_weights import IMAGENET, NONE, load_initial
from pageflip.networks.layers import FrameNetwork
from pageflip.params.training import Fit
from pageflip.training.batches import EpochShuffle, TrainingData, fits_on_device, make_loader
from pageflip.training.checkpoints import LAST, StoredCheckpoints, find_checkpoint
from pageflip.training.devices import device_count, pick_accelerator
from pageflip.training.module import MONITOR, FlipModule
from pageflip.training.recipe import TrainingRecipe

VALIDATION_BATCH = 256
MIN_IMPROVEMENT = 1e-5  # of the validation score, for early stopping
EXPECTED_WARNINGS = (
    ".*does not have many workers.*",  # see pageflip.training.batches
    "Checkpoint directory .* exists and is not empty.*",  # a killed training resumes from it
    ".*LeafSpec.*",  # Lightning's own use of torch
    ".* in eval mode at the start of training.*",  # frozen parts, and the averaged network
)

log = logging.getLogger(__name__)


def train_network(
    data: TrainingData, recipe: TrainingRecipe, *, checkpoints: str, on_epoch: Callable[[dict], None]
) -> tuple[FrameNetwork, dict[str, Any]]:
    """Train a network and return it with its best weights, in evaluation mode on the CPU, and its history.

    On several devices Lightning starts this program once for each; on several nodes a scheduler starts it on each. Only
    the first process returns, the others exit.

    Args:
        data: frames of training and validation.
        recipe: the network and how it is trained.
        checkpoints: folder or s3:// address of checkpoints of this data and recipe; training resumes from the last one.
        on_epoch: receives the figures of each epoch: epoch, train_loss, val_loss, val_f1, learning_rate,
            frames_per_second.

    Returns:
        The network, and `epochs` (the figures of each but the speed) and `best_epoch`.

    Raises:
        ConfigError: a GPU is required and absent, the initial weights are missing, the final weights cannot be
            interpolated with them, or the loss diverges.
    """
    fit = recipe.fit
    if fit.initial_weight_share and recipe.initial in (NONE, IMAGENET):
        raise ConfigError(
            f"initial_weight_share is {fit.initial_weight_share:g}, and initial: {recipe.initial} has no trained head",
            f"set it to 0 in train.networks.{recipe.network}.fit, or let initial name weights of the whole network.",
        )
    accelerator = pick_accelerator(fit.accelerator, fit.require_gpu)
    torch.manual_seed(recipe.seed)
    network = build_network(recipe.network, recipe.settings)
    checkpoint = find_checkpoint(checkpoints)
    if checkpoint is None:
        load_initial(network, recipe.initial)
    module = FlipModule(network, recipe, on_epoch)
    if fit.compile:
        network.compile()  # in place, which keeps the names of the weights
    module.train()  # Lightning keeps the modes it finds; this sets that of frozen parts
    trainer = _make_trainer(fit, accelerator, checkpoints)
    loaders = _make_loaders(data, recipe, trainer)
    with warnings.catch_warnings():
        for message in EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        trainer.fit(module, *loaders, ckpt_path=checkpoint, weights_only=True)
    if not trainer.is_global_zero:
        raise SystemExit(0)
    network = module.network.cpu()
    network.load_state_dict(module.best_state)
    if fit.initial_weight_share:
        _interpolate_weights(network, recipe)
    return network.eval(), {"epochs": module.history, "best_epoch": module.best_epoch}


def log_epoch(record: dict[str, float], program: str) -> None:
    """Log the figures of an epoch (see `train_network`) as one line that starts with the program's name."""
    line = "epoch {epoch}: train loss {train_loss:.4f}, val loss {val_loss:.4f}, val F1 {val_f1:.4f}, ".format(**record)
    log.info("%s: %s%.0f frames/s", program, line, record["frames_per_second"])


def _make_trainer(fit: Fit, accelerator: str, checkpoints: str) -> lightning.Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # it logs devices and callbacks at INFO
    stopping = EarlyStopping(MONITOR, mode="max", patience=fit.patience, min_delta=MIN_IMPROVEMENT)
    # the last checkpoint holds the best weights too; see FlipModule.on_save_checkpoint
    saving = ModelCheckpoint(checkpoints, LAST.removesuffix(".ckpt"), save_top_k=1, enable_version_counter=False)
    return lightning.Trainer(
        accelerator=accelerator,
        devices=device_count(fit, accelerator),
        num_nodes=fit.num_nodes,
        strategy=fit.strategy,
        use_distributed_sampler=False,  # EpochShuffle shares out the frames; each process validates on all of them
        sync_batchnorm=accelerator == "cuda",  # on CPUs all processes use the statistics of the first one
        precision="bf16-mixed" if accelerator == "cuda" else "32-true",
        max_epochs=fit.epochs,
        callbacks=[stopping, saving],
        deterministic=True if accelerator == "cpu" else "warn",
        logger=False,
        plugins=[StoredCheckpoints()],
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
        num_sanity_val_steps=0,
        log_every_n_steps=1,
    )


def _make_loaders(data: TrainingData, recipe: TrainingRecipe, trainer: lightning.Trainer) -> tuple[Iterable, Iterable]:
    """Return the loaders of training and validation, from the device's memory where the frames fit into it."""
    frames, train, val = data.frames, data.train, data.val
    device = trainer.strategy.root_device
    resident = fits_on_device(frames, len(train[0]) + len(val[0]), recipe.fit.device_memory_share, device)
    sampler = EpochShuffle(len(train[0]), recipe.seed, trainer.global_rank, trainer.world_size)
    return (
        make_loader(frames, train, recipe.fit.batch_size, device=device, resident=resident, sampler=sampler),
        make_loader(frames, val, VALIDATION_BATCH, device=device, resident=resident),
    )


def _interpolate_weights(network: FrameNetwork, recipe: TrainingRecipe) -> None:
    """Interpolate the trained weights with the initial ones, in place.

    This is WiSE-FT (Wortsman et al., "Robust fine-tuning of zero-shot models", 2022): it keeps accuracy on books unlike
    the few that the network is fine-tuned on.
    """
    initial = build_network(recipe.network, recipe.settings)
    load_initial(initial, recipe.initial)
    before = initial.state_dict()
    with torch.no_grad():
        for key, value in network.state_dict().items():
            if value.is_floating_point():
                value.lerp_(before[key], recipe.fit.initial_weight_share)
