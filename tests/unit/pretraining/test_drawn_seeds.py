"""What figures are measured on is drawn from other seeds than what the committed models were learnt from."""

import json

from benchmarks import leafing
from pageflip.events import decoder_model
from pageflip.inference import cards
from pageflip.params.all import load_params
from pageflip.params.day_zero import DayZero
from pageflip.synthetic.ranges import load_synthesize
from pageflip.synthetic.samples import UPLOADS_SEED
from pageflip.synthetic.stage.clips import derive_seed, plan_clips

SAMPLE_UPLOADS = 4


def clip_seeds(plan, seed):
    """The seeds of all clips and books of a plan, of a section of the parameters that draws clips."""
    sizes = {name: getattr(plan, name) for name in ("books", "clips_per_book", "frames_per_clip")}
    clips = plan_clips(seed=seed, **sizes)
    return {clip.seed for clip in clips} | {clip.book_seed for clip in clips}


def video_seeds(seed, book):
    """The seeds of a video's book, of the book's look in it and of what happens."""
    return {derive_seed(seed, number, book) for number in (0, 3, 4)}


def union(rows):
    """One set of many."""
    return set().union(*rows)


def learnt_from(params_file):
    """Of each committed model, the seeds of what it was learnt from."""
    params = load_params(params_file)
    drawn, events = params.day_zero, params.events
    videos = union(video_seeds(events.seed + number, number) for number in range(events.videos))
    return {"day-zero": clip_seeds(drawn, drawn.seed), "events": clip_seeds(events.clips, events.seed) | videos}


def test_day_zero_and_what_reads_its_probabilities_know_no_book_of_each_other(params_file):
    learnt = learnt_from(params_file)

    assert not learnt["day-zero"] & learnt["events"]


def test_the_default_set_is_unknown_to_the_committed_models(params_file):
    plan = load_synthesize(params_file)
    default = clip_seeds(plan, plan.seed) | union(video_seeds(plan.seed, book) for book in range(plan.books))

    assert not default & union(learnt_from(params_file).values())


def test_sample_uploads_are_unknown_to_the_committed_models(params_file):
    first = UPLOADS_SEED + load_synthesize(params_file).seed
    seeds = range(first, first + SAMPLE_UPLOADS)
    clips = union({derive_seed(seed, kind, number) for kind in (0, 1, 2) for number in (0, 1)} for seed in seeds)
    videos = union(video_seeds(seed, seed % 100) for seed in seeds)

    assert not (clips | videos) & union(learnt_from(params_file).values())


def test_the_videos_of_the_benchmark_are_unknown_to_the_committed_models(params_file):
    videos = union(video_seeds(leafing.SEED + number, number) for number in range(leafing.VIDEOS))

    assert not videos & union(learnt_from(params_file).values())


def test_the_committed_models_were_made_with_the_parameters_that_stand_there(params_file):
    params, card = load_params(params_file), cards.read_card(cards.PRETRAINED)
    events = json.loads((cards.PRETRAINED / decoder_model.FRAME_DECODER_FILE).read_text())["learnt_from"]

    assert DayZero.model_validate(card["params"]) == params.day_zero.model_copy(update={"compact": None})
    assert events["params"] == params.events.model_dump(mode="json")
    assert events["model"] == cards.version_of(card)
    assert events["other_model"] == f"cnn-{cards.read_compact_card(cards.PRETRAINED)['weights_sha256'][: cards.DIGITS]}"
