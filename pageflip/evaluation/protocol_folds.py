"""Four ways to assign the same frames to training and test, from honest to leaky, as folds.

- clip-disjoint: k folds of whole groups of clips (see `pageflip.frames.splitting`). Other clips of a book may be
  trained on.
- leave-one-book-out: each book is tested by a network that saw no frame of it, nor of a clip that shares a
  near-duplicate frame with it. Validation books are kept apart from training books, too.
- later-frames: of every clip, the earlier frames are for training, the next for validation, the last for test. Many
  notebooks call this a time split; every clip is on both sides.
- supplied (leaky): the archive's own folders, in which neighbouring frames of one clip are on both sides.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from pageflip.base.errors import ConfigError, DataError
from pageflip.evaluation.metrics import SUPPLIED_NAME
from pageflip.frames.assignment import UNUSED
from pageflip.frames.names import LABELS
from pageflip.frames.splitting import assign_parts, draw_groups, find_groups, report_leaks
from pageflip.params.protocols import PROTOCOLS, Protocols
from pageflip.params.sections import Shares

CLIP, BOOK, LATER, SUPPLIED = PROTOCOLS
MEANING = {
    CLIP: "No test clip was trained on, but other clips of its book may have been: new clips of known books.",
    BOOK: "No frame of the tested book was trained on: what to expect on a new book.",
    LATER: "Each clip's earlier frames were trained on: the same clip a moment later, not new clips.",
    SUPPLIED: "The archive's own folders: neighbouring frames of the tested clips were trained on. It measures memory, "
    "not skill.",
}
GROUP_OF = {CLIP: "clip group", BOOK: "book", LATER: "clip", SUPPLIED: "clip"}  # what the bootstrap draws
DISJOINT_BY = {CLIP: ("group", "clip"), BOOK: ("book", "group", "clip"), LATER: (), SUPPLIED: ()}


@dataclass(frozen=True)
class Fold:
    """One training and its test.

    Attributes:
        protocol: one of PROTOCOLS.
        name: of the fold.
        seed: of the training.
        assignment: one row per frame, with the columns of `pageflip.frames.splitting.assign_parts`; the bootstrap draws
            whole values of `group`.
    """

    protocol: str
    name: str
    seed: int
    assignment: pd.DataFrame


def shown_name(protocol: str) -> str:
    """Return the protocol's name in results, where the supplied folders are always called leaky."""
    return SUPPLIED_NAME if protocol == SUPPLIED else protocol


def make_folds(protocol: str, index: pd.DataFrame, params: Protocols, near_duplicate_bits: int) -> list[Fold]:
    """Return all folds of a protocol over the frames of a pack's index.

    Raises:
        ConfigError: there is no such protocol.
        DataError: these frames do not allow it (no books, too few clips).
    """
    makers: dict[str, Callable[..., Iterator[Fold]]] = {
        CLIP: _clip_disjoint,
        BOOK: _leave_one_book_out,
        LATER: _later_frames,
        SUPPLIED: _supplied,
    }
    if protocol not in makers:
        raise ConfigError(f"there is no protocol {protocol!r}", f"known are {', '.join(makers)}.")
    folds = [fold for seed in params.seeds for fold in makers[protocol](index, params, near_duplicate_bits, seed)]
    for fold in folds:
        check_fold(fold)
    return folds


def check_fold(fold: Fold) -> None:
    """Check that a fold can be trained, and that it keeps apart what its protocol promises to keep apart.

    Raises:
        DataError: train or val lacks a label, test is empty, or a group, clip or book is in two parts.
    """
    used = fold.assignment[fold.assignment["part"] != UNUSED]
    for part in ("train", "val"):
        missing = set(LABELS) - set(used.loc[used["part"] == part, "label"])
        if missing:
            raise DataError(
                f"{shown_name(fold.protocol)}, {fold.name}: the part {part} has no {sorted(missing)[0]} frames",
                "add clips of that label, or change the section `protocols` of the params (folds, seeds, val_share).",
            )
    if not (used["part"] == "test").any():
        raise DataError(f"{shown_name(fold.protocol)}, {fold.name}: no frame is left for test", "add frames.")
    for column in DISJOINT_BY[fold.protocol]:
        sides = used.groupby(column)["part"].nunique()
        if (sides > 1).any():
            raise DataError(
                f"{fold.protocol}, {fold.name}: the {column} {sides.index[sides > 1][0]} is in two parts",
                "do not use the folds; report this as a bug of pageflip.",
            )


def seen_in_training(fold: Fold, index: pd.DataFrame, near_duplicate_bits: int) -> dict[str, float | None]:
    """Return the shares of the fold's test frames whose clip, book (None without books) or near-duplicate was seen.

    Seen are train and val: val chooses the epoch and the threshold.
    """
    used = fold.assignment[fold.assignment["part"] != UNUSED]
    test, others = used[used["part"] == "test"], used[used["part"] != "test"]
    known = test["book"].dropna()
    distances = report_leaks(index, fold.assignment, near_duplicate_bits)["nearest_distance"]["test"]["histogram"]
    near = sum(count for bits, count in distances.items() if int(bits) <= near_duplicate_bits)
    return {
        "clip": float(test["clip"].isin(set(others["clip"])).mean()),
        "book": float(known.isin(set(others["book"].dropna())).mean()) if len(known) else None,
        "near_duplicate": near / len(test),
    }


def _table(index: pd.DataFrame) -> pd.DataFrame:
    table = index[["label", "video", "frame", "clip", "book"]].copy()
    table.insert(0, "row", np.arange(len(index)))
    return table.assign(part=UNUSED)


def _deal(table: pd.DataFrame, test: np.ndarray, rest: np.ndarray, share: float, seed: int) -> pd.DataFrame:
    """Assign rows `test` to test, and of the rows `rest` about `share` to val, in whole groups, the others to train."""
    table = table.copy()
    part = table.columns.get_loc("part")
    table.iloc[test, part] = "test"
    left = table.iloc[rest]
    fewest = min(left.groupby("label")["group"].nunique(), default=1)
    val = draw_groups(left, max(share, 1 / max(2, fewest)), seed, "val")
    table.iloc[rest, part] = np.where(val, "val", "train")
    return table


def _clip_disjoint(index: pd.DataFrame, params: Protocols, bits: int, seed: int) -> Iterator[Fold]:
    table = _table(index).assign(group=find_groups(index, unit="clip", near_duplicate_bits=bits))
    usable = np.flatnonzero(index["decodable"].to_numpy())
    left = table.iloc[usable]
    fewest = min((left.loc[left["label"] == label, "group"].nunique() for label in LABELS), default=0)
    if fewest < params.folds:
        raise DataError(
            f"{params.folds} folds of whole clips are asked for, and one label has only {fewest} groups of clips",
            "add clips, or lower protocols.folds (--folds) or split.near_duplicate_bits.",
        )
    folding = StratifiedGroupKFold(n_splits=params.folds, shuffle=True, random_state=seed)
    for number, (rest, test) in enumerate(folding.split(left, left["label"], left["group"]), start=1):
        dealt = _deal(table, usable[test], usable[rest], params.val_share, seed)
        yield Fold(CLIP, f"fold {number} of {params.folds}", seed, dealt)


def _leave_one_book_out(index: pd.DataFrame, params: Protocols, bits: int, seed: int) -> Iterator[Fold]:
    unknown = index.loc[index["book"].isna(), "clip"]
    if len(unknown):
        raise DataError(
            f"the book of {unknown.nunique()} clips is unknown, the first: {unknown.iloc[0]}",
            "put a books.csv (label,video_id,book) beside images/, with a line for every clip.",
        )
    usable = index["decodable"].to_numpy()
    books = sorted(index.loc[usable, "book"].unique())
    if len(books) < 3:
        raise DataError(
            f"there are frames of {len(books)} books, and one each is needed to train, to choose and to test",
            "add clips of further books.",
        )
    linked = find_groups(index, unit="clip", near_duplicate_bits=bits)
    table = _table(index).assign(group=index["book"].to_numpy())
    for name in books:
        test = usable & (table["book"] == name).to_numpy()
        rest = usable & ~np.isin(linked, linked[test])
        dealt = _deal(table, np.flatnonzero(test), np.flatnonzero(rest), params.val_share, seed)
        yield Fold(BOOK, name, seed, _part_twins(dealt, linked))


def _part_twins(table: pd.DataFrame, linked: np.ndarray) -> pd.DataFrame:
    """Leave out clips of val that share a near-duplicate with train; if val would lose a label, those of train instead.

    Books are not joined by near-duplicates as clips are: in one room all books can look alike to a hash, and nothing
    would be left to assign.
    """
    train, val = ((table["part"] == part).to_numpy() for part in ("train", "val"))
    kept = val & ~np.isin(linked, linked[train])
    if set(table["label"][kept]) == set(LABELS):
        return table.assign(part=table["part"].mask(val & ~kept, UNUSED))
    return table.assign(part=table["part"].mask(train & np.isin(linked, linked[val]), UNUSED))


def _later_frames(index: pd.DataFrame, params: Protocols, bits: int, seed: int) -> Iterator[Fold]:
    table = _table(index).assign(group=index["clip"].to_numpy())
    left = table[index["decodable"].to_numpy()].sort_values(["clip", "frame"])
    place = left.groupby("clip").cumcount().to_numpy()
    count = left.groupby("clip")["row"].transform("size").to_numpy()
    table.loc[left.index, "part"] = parts_in_time(place, count, params.later_frames)
    yield Fold(LATER, "all clips", seed, table)


def parts_in_time(place: np.ndarray, count: np.ndarray, shares: Shares) -> np.ndarray:
    """Assign frames to parts by their position in their clip.

    Args:
        place: int [N], 0 for a clip's first frame.
        count: int [N], the number of frames of its clip.
        shares: of a clip's frames. A clip of three frames or more gives at least one to each part; a shorter one is for
            training only.

    Returns:
        Names of parts, object [N].
    """
    test = np.maximum(1, np.round(count * shares.test))
    val = np.maximum(1, np.round(count * shares.val))
    test = np.minimum(test, count - 2)
    val = np.minimum(val, count - 1 - test)
    parts = np.where(place >= count - test, "test", np.where(place >= count - test - val, "val", "train"))
    return np.where(count < 3, "train", parts).astype(object)


def _supplied(index: pd.DataFrame, params: Protocols, bits: int, seed: int) -> Iterator[Fold]:
    shares = Shares(train=(1 - params.val_share) / 2, val=params.val_share / 2, test=0.5)  # only train : val counts
    table = assign_parts(
        index, unit="clip", protocol="supplied", shares=shares, near_duplicate_bits=bits, seed=seed
    ).assign(group=index["clip"].to_numpy())
    yield Fold(SUPPLIED, "testing/", seed, table)
