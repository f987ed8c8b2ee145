"""Nested mappings as flat ones."""

from pageflip.base.nested import flatten, flatten_numbers


def test_flat_numbers_have_dotted_names_and_leave_other_values_out():
    nested = {"f1": 0.5, "roc_auc": None, "unit": "clip", "val": {"n": 3}, "books": [{"f1": 1}], "ok": True}
    assert flatten_numbers(nested) == {"f1": 0.5, "val.n": 3.0}


def test_leaves_of_nested_mappings_get_dotted_names():
    assert flatten({"fit": {"epochs": 3, "ema": {"decay": 0.9}}, "seed": [7]}) == {
        "fit.epochs": 3,
        "fit.ema.decay": 0.9,
        "seed": [7],
    }
