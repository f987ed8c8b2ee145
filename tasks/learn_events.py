"""Learn how flips follow each other and look in time: write what stands in pageflip/inference/pretrained.

    make events                                      # draws first; to be run again once day-zero or cnn is made anew
    python -m tasks.learn_events --videos FOLDER     # from videos of your own: NAME.mp4 with NAME.events.json beside it

    temporal-encoder.onnx, temporal-head.onnx   the temporal network (pageflip.events.temporal)
    events-in-sequence.json                     durations and evidence for the probabilities that it refined
    events.json                                 the same for probabilities of single frames alone

Frames are read by day-zero, and by the compact network that is weaker: the temporal network learns to read after both.

Every fourth video, and all clips of every fourth book, teach the network nothing: durations and evidence are learnt
there, and the network is judged. With videos of your own no clips are drawn. Drawn videos and clips, and what was read
from them, are kept in the work folder, named by all that they depend on.
"""

import argparse
from pathlib import Path

from pageflip.base import settings, storage
from pageflip.base.console import run_main
from pageflip.frames.parallel import available_cores
from pageflip.inference.cards import PRETRAINED
from pageflip.params.all import load_params
from pageflip.pretraining.events import learn
from pageflip.pretraining.recordings import draw_clips, draw_videos
from pageflip.synthetic.ranges import load_synthesize


def main() -> None:
    """Read the section `events`, and write what is learnt."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--videos", type=Path, help="a folder of videos with their truth, instead of drawn ones")
    parser.add_argument("--work", type=Path, help="folder of drawn videos (default: below the run store)")
    parser.add_argument("--out", type=Path, default=PRETRAINED, help="folder of what is learnt")
    parser.add_argument("--workers", type=int, default=available_cores(), help="processes that draw")
    args = parser.parse_args()
    plan = load_params(args.params).events
    work = args.work or (storage.local_path(settings.store_url()) or settings.home() / "runs") / "events"
    if args.videos:
        learn(plan, args.videos, args.out)
        return
    ranges = load_synthesize(args.params).ranges
    videos, clips = draw_videos(plan, ranges, work, args.workers), draw_clips(plan, ranges, work, args.workers)
    learn(plan, videos, args.out, clips)


if __name__ == "__main__":
    run_main(main)
