"""Generate the code dependencies of each stage in dvc.yaml from the import closure of its task module.

python -m tasks.stage_deps --write   # rewrite the lines `- pageflip/...` and `- tasks/...` of every stage
python -m tasks.stage_deps --check   # exit with 1, and print the differences, when they are out of date
"""

import argparse
import difflib
import re
import sys
from pathlib import Path

import yaml

from pageflip.base.imports import import_closure

ROOT = Path(__file__).parents[1]
CODE = ("pageflip/", "tasks/")

# Modules of which no edit can change an output of a stage, each with the reason.
EXEMPT = {
    "pageflip/base/arguments.py": "parses options, whose values stand in dvc.yaml",
    "pageflip/base/console.py": "turns exceptions into exit codes and messages",
    "pageflip/base/errors.py": "names exit codes, and hands messages on as they are",
    "pageflip/base/full_disk.py": "recognises and words a full disk",
    "pageflip/base/imports.py": "finds the code that checkpoints and served models belong to, which is no output",
    "pageflip/base/progress.py": "draws progress bars",
    "pageflip/base/settings.py": "says where stores and servers are, and who approved, which is no input of a stage",
    "pageflip/base/storage.py": "moves bytes unchanged",
    "pageflip/evaluation/summary.py": "prints results",
    "pageflip/registry/tracking.py": "logs to MLflow what a stage has computed",
}

# Files that a module reads at run time from the package itself.
PRETRAINED = "pageflip/inference/pretrained"
DATA_FILES = {
    "pageflip/events/decoder_model.py": (f"{PRETRAINED}/events-in-sequence.json", f"{PRETRAINED}/events.json"),
    "pageflip/events/temporal.py": (f"{PRETRAINED}/temporal-encoder.onnx", f"{PRETRAINED}/temporal-head.onnx"),
    "pageflip/networks/initial_weights.py": (
        f"{PRETRAINED}/day-zero.cnn.safetensors",
        f"{PRETRAINED}/day-zero.safetensors",
    ),
    "pageflip/reports/card_facts.py": (f"{PRETRAINED}/day-zero.json",),
    "pageflip/reports/evaluation_page.py": ("pageflip/reports/templates/evaluation*.j2",),
}


def code_dependencies(stage: str, root: Path = ROOT) -> list[str]:
    """Return the sorted code dependencies of a stage: its import closure and the package data read by it."""
    closure = import_closure(f"tasks/{stage}.py", root, exempt=EXEMPT)
    data = {
        path.relative_to(root).as_posix()
        for module in closure
        for pattern in DATA_FILES.get(module, ())
        for path in root.glob(pattern)
    }
    return sorted(closure | data)


def rewrite(text: str, root: Path = ROOT) -> str:
    """Return the text of dvc.yaml with the code dependencies of every stage replaced; all else is kept as it is."""
    for stage in yaml.safe_load(text)["stages"]:
        block = re.search(rf"^  {re.escape(stage)}:\n(?:(?:    .*)?\n)*", text, re.MULTILINE)
        if block is None:
            raise ValueError(f"dvc.yaml has no block for the stage {stage}")
        deps = re.search(r"^    deps:\n((?:      - .*\n)*)", block[0], re.MULTILINE)
        if deps is None:
            raise ValueError(f"the stage {stage} has no list of deps")
        kept = [line for line in deps[1].splitlines() if not line.strip().removeprefix("- ").startswith(CODE)]
        lines = kept + [f"      - {path}" for path in code_dependencies(stage, root)]
        updated = block[0].replace(deps[0], "    deps:\n" + "".join(f"{line}\n" for line in lines))
        text = text.replace(block[0], updated)
    return text


def main() -> None:
    """Rewrite or check dvc.yaml."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="rewrite dvc.yaml")
    action.add_argument("--check", action="store_true", help="exit with 1 when dvc.yaml is out of date")
    args = parser.parse_args()
    path = ROOT / "dvc.yaml"
    text = path.read_text(encoding="utf-8")
    updated = rewrite(text)
    if args.write:
        path.write_text(updated, encoding="utf-8")
    elif updated != text:
        sys.stdout.writelines(difflib.unified_diff(text.splitlines(True), updated.splitlines(True), "dvc.yaml", "now"))
        sys.exit("dvc.yaml is out of date: run `python -m tasks.stage_deps --write`")


if __name__ == "__main__":
    main()
