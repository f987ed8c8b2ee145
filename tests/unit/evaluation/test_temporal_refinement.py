"""Frames of test clips, read with their neighbours."""

import numpy as np
import pandas as pd
import pytest

from pageflip.evaluation.temporal_refinement import SCORES, evaluate_in_sequence, refine_clips


def table_of_clips(clips=4, frames=9):
    rows = [(f"{clip % 2}/{clip}", clip, clip % 2, number) for clip in range(clips) for number in range(frames)]
    table = pd.DataFrame(rows, columns=["clip", "group", "target", "frame"])
    noise = np.random.default_rng(2).normal(0, 0.2, len(table))
    return table.assign(row=np.arange(len(table)), probability=np.clip(0.3 + 0.4 * table["target"] + noise, 0.01, 0.99))


PACK = np.random.default_rng(1).integers(0, 255, (36, 192, 108, 3), np.uint8)


def test_the_order_of_the_table_does_not_matter(sequence_model):
    table = table_of_clips()
    shuffled = table.sample(frac=1, random_state=3)
    assert refine_clips(shuffled, PACK, 0.5, sequence_model.temporal) == pytest.approx(
        refine_clips(table, PACK, 0.5, sequence_model.temporal)[shuffled.index], abs=1e-5
    )


def test_a_clip_is_read_by_itself(sequence_model):
    table = table_of_clips()
    alone = table[table["clip"] == "1/3"]
    whole = refine_clips(table, PACK, 0.5, sequence_model.temporal)[alone.index]
    assert refine_clips(alone, PACK, 0.5, sequence_model.temporal) == pytest.approx(whole, abs=1e-5)


def test_f1_comes_with_its_interval_over_groups(sequence_model):
    scores = evaluate_in_sequence(table_of_clips(), PACK, 0.5, sequence_model.temporal, samples=50, seed=1)
    assert set(scores) == {*SCORES, "f1_low", "f1_high"}
    assert 0 <= scores["f1_low"] <= scores["f1"] <= scores["f1_high"] <= 1
