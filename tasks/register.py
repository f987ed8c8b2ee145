"""Export the best trained model to ONNX, fp32 and int8, check it, and register it in MLflow as `candidate`.

python -m tasks.register --models models/trained --reports reports/evaluation --frames data/frames --split data/split
    --out models/package
python -m tasks.register --verify --out models/package
"""

from pageflip.base.arguments import parse_stage, task_parser
from pageflip.base.console import run_main
from pageflip.base.files import atomic_folder, sha256_of
from pageflip.evaluation.exported import describe_files
from pageflip.frames.assignment import ASSIGNMENT_FILE, read_assignment
from pageflip.frames.pack import open_pack
from pageflip.params.load import load_section
from pageflip.params.register import Register
from pageflip.params.training import Train
from pageflip.registry.journal import CANDIDATE
from pageflip.registry.package import best_model, build_package
from pageflip.registry.registration import register_package, verify_registration

PATHS = {
    "models": "folder of the trained models",
    "reports": "folder of their evaluations",
    "frames": "folder of the pack",
    "split": "folder of the assignment",
    "out": "folder of the exported model",
}


def main() -> None:
    """Read the section `register` and register the model with the best validation F1."""
    args = parse_stage(task_parser(__doc__), PATHS, verify="only check that MLflow's candidate is the model in --out")
    params = load_section(args.params, "register", Register)
    if args.verify:
        verify_registration(args.out, params.model_name)
        return
    model = best_model(args.models, args.reports, load_section(args.params, "train", Train).models)
    frames, assignment = open_pack(args.frames)[0], read_assignment(args.split)
    with atomic_folder(args.out) as folder:
        package = build_package(
            folder, args.models / model, args.reports / model, frames=frames, assignment=assignment, params=params
        )
        print(f"register: ONNX agrees with torch to {package.parity_error:.1e} over {package.parity_frames} frames")
        print("\n".join(describe_files(package.card["files"], package.latency_ms)))
        version = register_package(package, params.model_name, sha256_of(args.split / ASSIGNMENT_FILE))
    print(f"register: {model} is {params.model_name} version {version}, alias {CANDIDATE}")


if __name__ == "__main__":
    run_main(main)
