"""Which frames train, which choose, and which judge: a split by groups, and the proof that it does not leak.

Neighbouring frames of a clip are nearly the same picture, so a split by frames measures memory. A group is a clip,
joined with any clip that holds a near-duplicate frame and, where `unit` is `book`, with all clips of its book. Groups
stand on one side.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold

from pageflip.base.errors import DataError
from pageflip.frames.names import LABELS
from pageflip.params.sections import Shares

PARTS = ("train", "val", "test")
UNUSED = "unused"
MOST_FOLDS = 12  # a share is met as the nearest fraction with at most this denominator
ASSIGNMENT_FILE, LEAKS_FILE = "assignment.parquet", "leaks.json"
PAIRS_AT_ONCE = 2**23  # of hashes compared in one step: 64 MiB


def assign_parts(
    index: pd.DataFrame, *, unit: str, protocol: str, shares: Shares, near_duplicate_bits: int, seed: int
) -> pd.DataFrame:
    """Deal frames to parts.

    Args:
        index: the pack's index.
        unit: `clip` or `book`, what may not stand on two sides.
        protocol: `grouped`; or `supplied`, the archive's own folders with train and val dealt by frame (it leaks).
        shares: of the frames, met as closely as whole groups allow; not used for the test part of `supplied`.
        near_duplicate_bits: clips with frames at most this many bits of perceptual hash apart share a group.
        seed: of the shuffling.

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
    """Name the group of every frame: the first clip (or book) of the connected set, an object array [N].

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


def leak_report(index: pd.DataFrame, assignment: pd.DataFrame, near_duplicate_bits: int) -> dict:
    """Say what stands on two sides.

    Returns:
        A dict with `leaks` (whether anything does), `groups_on_two_sides` (names), `clips_on_two_sides` (count),
        `near_duplicates_across` (frames of val near train, or of test near train or val: at most
        `near_duplicate_bits` away) and `nearest_distance` (per part: minimum, median and histogram of the Hamming
        distances, in bits, to the nearest frame of those).
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
    """Yield pairs of clip numbers, int [M, 2], that hold frames at most `bits` apart."""
    usable = np.flatnonzero(index["decodable"].to_numpy())
    hashes, clips = index["phash"].to_numpy()[usable], clip_of_row[usable]
    start = 0
    for block in _distances(hashes, hashes):
        one, two = np.nonzero(block <= bits)
        pairs = np.stack([clips[one + start], clips[two]], axis=1)
        start += len(block)
        yield np.unique(pairs[pairs[:, 0] < pairs[:, 1]], axis=0)


def _distances(hashes: np.ndarray, others: np.ndarray) -> Iterator[np.ndarray]:
    """Yield Hamming distances, uint8 [rows, len(others)], block of rows by block."""
    hashes, others = hashes.astype(np.uint64), others.astype(np.uint64)
    step = max(1, PAIRS_AT_ONCE // max(1, len(others)))
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
    """Mark about `share` of the rows, in whole groups and stratified by label: a boolean mask [N].

    Args:
        table: has the columns label and group.
        part: what is drawn, for the message.

    Raises:
        DataError: there are too few groups.
    """
    fraction = Fraction(share).limit_denominator(MOST_FOLDS)
    joined, folds = fraction.numerator, fraction.denominator
    per_label = table.groupby("label")["group"].nunique()
    rarest = table["label"].value_counts().min()  # StratifiedGroupKFold wants a frame of each label for each fold
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


def read_assignment(folder: Path) -> pd.DataFrame:
    """Read what the stage `split` wrote below `folder`.

    Raises:
        DataError: there is nothing.
    """
    path = folder / ASSIGNMENT_FILE
    if not path.exists():
        raise DataError(f"there is no {path}", "run `dvc repro split` first.")
    return pd.read_parquet(path)


def part_rows(assignment: pd.DataFrame, part: str) -> tuple[np.ndarray, np.ndarray]:
    """The rows of a part and their targets: (int64 [M], uint8 [M] with flip = 1)."""
    chosen = assignment[assignment["part"] == part]
    return chosen["row"].to_numpy(dtype=np.int64), (chosen["label"] == LABELS[1]).to_numpy(dtype=np.uint8)
