"""Grouped, stratified split of the frames into train, val and test, and a report of leaks between the parts.

Neighbouring frames of a clip look nearly alike, so a split by frames would measure memorisation. A group is a clip,
joined with every clip that has a near-duplicate of one of its frames and, where `unit` is `book`, with all clips of its
book. All frames of a group belong to one part.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold

from pageflip.base.errors import DataError
from pageflip.base.files import atomic_folder, write_json
from pageflip.frames.assignment import ASSIGNMENT_FILE, LEAKS_FILE, PARTS, UNUSED
from pageflip.frames.names import LABELS
from pageflip.params.sections import Shares
from pageflip.params.split import Split

MAX_FOLDS = 12  # a share is rounded to the nearest fraction with at most this denominator
PAIRS_PER_STEP = 2**23  # pairs of hashes compared at once: 64 MiB


def write_split(index: pd.DataFrame, params: Split, out: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Split the frames of a pack's index and write the assignment and the leak report to the folder `out`.

    Returns:
        The assignment (see `assign_parts`), and the report (see `report_leaks`) with unit, protocol and seed added.
    """
    assignment = assign_parts(
        index,
        unit=params.unit,
        protocol=params.protocol,
        shares=params.shares,
        near_duplicate_bits=params.near_duplicate_bits,
        seed=params.seed,
    )
    report = report_leaks(index, assignment, params.near_duplicate_bits)
    report |= {"unit": params.unit, "protocol": params.protocol, "seed": params.seed}
    with atomic_folder(out) as folder:
        assignment.to_parquet(folder / ASSIGNMENT_FILE, index=False)
        write_json(folder / LEAKS_FILE, report)
    return assignment, report


def assign_parts(
    index: pd.DataFrame, *, unit: str, protocol: str, shares: Shares, near_duplicate_bits: int, seed: int
) -> pd.DataFrame:
    """Assign frames to parts.

    Args:
        index: the pack's index.
        unit: `clip` or `book`, which must not be divided between parts.
        protocol: `grouped`; or `supplied`, the archive's own folders, with val drawn by frame from training (it leaks).
        shares: shares of the frames, met as closely as whole groups allow; `supplied` ignores that of test.
        near_duplicate_bits: clips with frames whose perceptual hashes differ in at most this many bits share a group.
        seed: seed of the shuffling.

    Returns:
        One row per frame: row (position in the index), label, video, frame, clip, book, group, part. Frames that
        cannot be decoded are `unused`.

    Raises:
        DataError: a book is unknown with `unit: book`, or there are too few groups for three parts.
    """
    table = index[["label", "video", "frame", "clip", "book"]].copy()
    table.insert(0, "row", np.arange(len(index)))
    table["group"] = find_groups(index, unit=unit, near_duplicate_bits=near_duplicate_bits)
    table["part"] = UNUSED
    usable = index["decodable"].to_numpy()
    if protocol == "supplied":
        parts = _supplied_parts(index[usable], shares, seed)
    else:
        parts = _grouped_parts(table[usable], shares, seed)
    table.loc[usable, "part"] = parts
    _require_both_labels(table)
    return table


def find_groups(index: pd.DataFrame, *, unit: str, near_duplicate_bits: int) -> np.ndarray:
    """Return the group of every frame, object [N]: the name of the first clip among those that are connected.

    Raises:
        DataError: `unit` is `book` and a clip has no book.
    """
    if unit == "book" and index["book"].isna().any():
        clip = index.loc[index["book"].isna(), "clip"].iloc[0]
        raise DataError(
            f"split.unit is book, and the book of clip {clip} is unknown",
            "name the book of every clip in data/raw/books.csv (label,video_id,book), or set split.unit: clip.",
        )
    clips, clip_of_row = np.unique(index["clip"].to_numpy(dtype=str), return_inverse=True)
    links = list(_near_duplicate_clips(index, clip_of_row, near_duplicate_bits))
    if unit == "book":
        books = index.groupby("clip")["book"].first().reindex(clips)
        first_of_book = books.map({book: i for i, book in reversed(list(enumerate(books)))})
        links.append(np.stack([np.arange(len(clips)), first_of_book.to_numpy(dtype=int)], axis=1))
    pairs = np.concatenate([*links, np.empty((0, 2), int)])
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(clips), len(clips)))
    _, component = connected_components(graph, directed=False)
    first_clip = clips[np.unique(component, return_index=True)[1]]
    return first_clip[component][clip_of_row].astype(object)


def report_leaks(index: pd.DataFrame, assignment: pd.DataFrame, near_duplicate_bits: int) -> dict[str, Any]:
    """Report groups, clips and near-duplicate frames that are divided between parts.

    Returns:
        `leaks` (whether there are any), `groups_on_two_sides` (names), `clips_on_two_sides` (count),
        `near_duplicates_across` (number of frames of val with a frame of train, or of test with one of train or val,
        at most `near_duplicate_bits` away) and `nearest_distance` (for val and test: minimum, median and histogram of
        the Hamming distances, in bits, to the nearest of those frames).
    """
    used = assignment[assignment["part"] != UNUSED]
    sides = used.groupby("group")["part"].nunique()
    clips = int((used.groupby("clip")["part"].nunique() > 1).sum())
    hashes = index["phash"].to_numpy()
    nearest, near = {}, 0
    for part, others in (("val", ["train"]), ("test", ["train", "val"])):
        seen = hashes[used.loc[used["part"].isin(others), "row"]]
        rows = used.loc[used["part"] == part, "row"].to_numpy()
        distance = np.concatenate([block.min(axis=1) for block in _distances(hashes[rows], seen)])
        near += int((distance <= near_duplicate_bits).sum())
        nearest[part] = {
            "min": int(distance.min()),
            "median": float(np.median(distance)),
            "histogram": {
                str(bits): int(count) for bits, count in zip(*np.unique(distance, return_counts=True), strict=True)
            },
        }
    return {
        "leaks": bool((sides > 1).any() or clips or near),
        "groups_on_two_sides": sorted(sides[sides > 1].index),
        "clips_on_two_sides": clips,
        "near_duplicates_across": near,
        "near_duplicate_bits": near_duplicate_bits,
        "nearest_distance": nearest,
    }


def _near_duplicate_clips(index: pd.DataFrame, clip_of_row: np.ndarray, bits: int) -> Iterator[np.ndarray]:
    """Yield pairs of clip numbers, int [M, 2], with frames whose hashes differ in at most `bits` bits."""
    usable = np.flatnonzero(index["decodable"].to_numpy())
    hashes, clips = index["phash"].to_numpy()[usable], clip_of_row[usable]
    start = 0
    for block in _distances(hashes, hashes):
        one, two = np.nonzero(block <= bits)
        pairs = np.stack([clips[one + start], clips[two]], axis=1)
        start += len(block)
        yield np.unique(pairs[pairs[:, 0] < pairs[:, 1]], axis=0)


def _distances(hashes: np.ndarray, others: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the Hamming distances as blocks of rows, uint8 [rows, len(others)]."""
    hashes, others = hashes.astype(np.uint64), others.astype(np.uint64)
    step = max(1, PAIRS_PER_STEP // max(1, len(others)))
    for start in range(0, len(hashes), step):
        yield np.bitwise_count(hashes[start : start + step, None] ^ others[None, :])


def _grouped_parts(table: pd.DataFrame, shares: Shares, seed: int) -> np.ndarray:
    parts = np.full(len(table), "train", dtype=object)
    test = draw_groups(table, shares.test, seed, "test")
    rest = np.flatnonzero(~test)
    val = draw_groups(table.iloc[rest], shares.val / (1 - shares.test), seed, "val")
    parts[test], parts[rest[val]] = "test", "val"
    return parts


def draw_groups(table: pd.DataFrame, share: float, seed: int, part: str) -> np.ndarray:
    """Draw about `share` of the rows in whole groups, stratified by label; return a boolean mask [N].

    Args:
        table: a table with the columns label and group.
        share: share of the rows, between 0 and 1.
        seed: seed of the shuffling.
        part: name of the part that is drawn, for the error message.

    Raises:
        DataError: there are too few groups.
    """
    fraction = Fraction(share).limit_denominator(MAX_FOLDS)
    joined, folds = fraction.numerator, fraction.denominator
    per_label = table.groupby("label")["group"].nunique()
    rarest = table["label"].value_counts().min()  # StratifiedGroupKFold needs a frame of each label in every fold
    if (
        not 0 < joined < folds
        or len(per_label) < 2
        or table["group"].nunique() < folds
        or per_label.min() < 2
        or rarest < folds
    ):
        raise DataError(
            f"{table['group'].nunique()} groups ({_counts(per_label)}) are too few to draw {share:.0%} of the frames "
            f"for the part {part}",
            "add clips; or set a larger share in split.shares, split.unit: clip, or fewer split.near_duplicate_bits.",
        )
    folding = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    parts = [chosen for _, chosen in folding.split(table, table["label"], table["group"])]
    candidates = [np.concatenate([parts[(first + i) % folds] for i in range(joined)]) for first in range(folds)]
    whole = (table["label"] == LABELS[1]).mean()

    def distance(chosen: np.ndarray) -> float:
        flips = (table["label"].iloc[chosen] == LABELS[1]).mean() if len(chosen) else 1.0
        return abs(len(chosen) / len(table) - share) + abs(flips - whole)

    mask = np.zeros(len(table), dtype=bool)
    mask[min(candidates, key=distance)] = True
    return mask


def _supplied_parts(index: pd.DataFrame, shares: Shares, seed: int) -> np.ndarray:
    parts = np.where(index["supplied"] == "testing", "test", "train").astype(object)
    training = np.flatnonzero(parts == "train")
    count = round(len(training) * shares.val / (shares.train + shares.val))
    parts[np.random.default_rng(seed).permutation(training)[:count]] = "val"
    return parts


def _require_both_labels(table: pd.DataFrame) -> None:
    for part in PARTS:
        counts = table.loc[table["part"] == part, "label"].value_counts()
        if len(counts) < len(LABELS):
            raise DataError(
                f"the part {part} holds only {_counts(counts) or 'nothing'}",
                "add clips of the other label, or try another split.seed or split.unit.",
            )


def _counts(counts: pd.Series) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


def describe_split(assignment: pd.DataFrame, report: dict[str, Any]) -> list[str]:
    """Return one line per part for the log, and one for the leaks of a supplied split."""
    lines = []
    for part, frames in assignment.groupby("part"):
        flips = (frames["label"] == LABELS[1]).mean()
        lines.append(f"{part}: {len(frames)} frames, {flips:.0%} flip, {frames['group'].nunique()} groups")
    if report["leaks"] and report["protocol"] == "supplied":
        lines.append(f"supplied (leaky): {_describe_leaks(report)}")
    return lines


def refuse_leaks(report: dict[str, Any], out: Path) -> None:
    """Raise if the split leaks, unless it is the archive's own, which always does.

    Raises:
        DataError: groups or near-duplicates are divided between parts.
    """
    if report["leaks"] and report["protocol"] != "supplied":
        raise DataError(
            f"the split leaks: {_describe_leaks(report)}", f"see {out / LEAKS_FILE}; do not use this split."
        )


def _describe_leaks(report: dict[str, Any]) -> str:
    groups, frames = len(report["groups_on_two_sides"]), report["near_duplicates_across"]
    return f"{groups} groups stand on two sides, and {frames} frames of val and test have a near-duplicate in train"
