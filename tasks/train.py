"""Train one network on the pack; a killed training goes on from its last checkpoint.

python -m tasks.train --model cnn --frames data/frames --split data/split --out models/trained/cnn
"""

import argparse
import logging
from pathlib import Path

from pageflip.base import settings, storage
from pageflip.base.console import run_main
from pageflip.base.files import atomic_folder, sha256_of, write_json
from pageflip.base.provenance import data_version, environment, git_revision
from pageflip.frames.assignment import ASSIGNMENT_FILE, part_rows, read_assignment
from pageflip.frames.pack import open_pack
from pageflip.networks import build, initial_weights, saved
from pageflip.params.load import load_section
from pageflip.params.training import Train
from pageflip.registry.tracking import TrainingRun
from pageflip.training import checkpoints as training_checkpoints
from pageflip.training import devices, loop
from pageflip.training.checkpoints import training_key


def main() -> None:
    """Read the section `train`, train, and leave weights, config and history in one piece."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, choices=sorted(build.REGISTRY), help="name of the network")
    parser.add_argument("--frames", type=Path, required=True, help="folder of the pack")
    parser.add_argument("--split", type=Path, required=True, help="folder of the assignment")
    parser.add_argument("--out", type=Path, required=True, help="folder of the trained model")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    params = load_section(args.params, "train", Train)
    train(args.model, params, frames=args.frames, split=args.split, out=args.out)


def train(model: str, params: Train, *, frames: Path, split: Path, out: Path) -> None:
    """Train `model` and write it to the folder `out`, logging to MLflow on the way."""
    pack, _ = open_pack(frames)
    assignment = read_assignment(split)
    network_params = getattr(params.networks, model)
    fit = network_params.fit.applied_to(params.fit)
    chosen = {"seed": params.seed, "network": model, "settings": network_params.model_dump(exclude={"fit"})}
    chosen |= {"fit": fit.model_dump(), "augment": params.augment.model_dump()}
    initial = initial_weights.fingerprint(chosen["settings"].get(build.INITIAL, "none"), model)
    chosen |= {"initial_sha256": initial} if initial else {}
    key = training_key(chosen, frames, split)
    store = settings.store_url()
    folder = storage.local_path(store)  # Lightning takes a file:// address for a name
    checkpoints = storage.join(str(folder) if folder else store, "checkpoints", key)
    devices.pick_accelerator(fit.accelerator, fit.require_gpu)  # before anything is logged
    tags = {"git_revision": git_revision(), "data_version": data_version(), "split": sha256_of(split / ASSIGNMENT_FILE)}
    tags |= {f"environment.{name}": release for name, release in environment().items()}
    first = devices.is_first_process()  # the others of a training on several devices only train
    run = TrainingRun(key=key, name=f"train {model}", params=chosen, tags=tags) if first else None

    def report(record: dict) -> None:
        run.log_epoch(record)
        print("train: epoch {epoch}: train loss {train_loss:.4f}, val loss {val_loss:.4f}, ".format(**record), end="")
        print("val F1 {val_f1:.4f}, {frames_per_second:.0f} frames/s".format(**record), flush=True)

    try:
        network, history = loop.train_network(
            pack,
            part_rows(assignment, "train"),
            part_rows(assignment, "val"),
            name=model,
            settings=chosen["settings"],
            fit=fit,
            augment=params.augment,
            seed=params.seed,
            checkpoints=checkpoints,
            on_epoch=report,
        )
    except (Exception, KeyboardInterrupt):
        if run:
            run.fail()
        raise
    with atomic_folder(out) as folder:
        size = {"height": pack.shape[1], "width": pack.shape[2]}
        digest = saved.save_network(folder, network, {**chosen, **size})
        write_json(folder / "history.json", history)
        run.finish(weights_sha256=digest, folder=folder)
    training_checkpoints.delete_checkpoints(checkpoints)
    best = history["epochs"][history["best_epoch"]]
    print(f"train: {model}: best epoch {best['epoch']} with val F1 {best['val_f1']:.4f}, weights {digest[:12]}")


if __name__ == "__main__":
    run_main(main)
