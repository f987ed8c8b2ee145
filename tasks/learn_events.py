"""Train the temporal network and fit the decoders that are shipped in pageflip/inference/pretrained.

    make events                                      # draws first; run it again after day-zero or cnn has changed
    python -m tasks.learn_events --videos FOLDER     # from videos of your own: NAME.mp4 with NAME.events.json beside it

    temporal-encoder.onnx, temporal-head.onnx   the temporal network (pageflip.events.temporal)
    events-in-sequence.json                     the decoder for probabilities that the temporal network re-estimated
    events.json                                 the decoder for probabilities of single frames

Frames are predicted by day-zero and by the weaker compact network, so that the temporal network generalises to other
frame models. Every fourth video, and all clips of every fourth book, are held out of its training: the decoder for its
probabilities is fitted on those videos, and both are evaluated on them. With videos of your own no clips are drawn.
Drawn videos and clips, and the predictions for them, are cached in the work folder, named by all that they depend on.
"""

from pathlib import Path

from pageflip.base.arguments import task_parser
from pageflip.base.console import run_main
from pageflip.frames.parallel import available_cores
from pageflip.inference.cards import PRETRAINED
from pageflip.params.all import load_params
from pageflip.pretraining.drawn import work_folder
from pageflip.pretraining.events import learn_events
from pageflip.pretraining.recordings import draw_clips, draw_videos
from pageflip.synthetic.ranges import load_synthesize


def main() -> None:
    """Read the sections `events` and `synthesize`, and write the files."""
    parser = task_parser(__doc__)
    parser.add_argument("--videos", type=Path, help="folder of labelled videos, instead of drawn ones")
    parser.add_argument("--work", type=Path, help="folder of drawn videos (default: in the run store)")
    parser.add_argument("--out", type=Path, default=PRETRAINED, help="folder of the files")
    parser.add_argument("--workers", type=int, default=available_cores(), help="processes that draw")
    args = parser.parse_args()
    plan, videos, clips = load_params(args.params).events, args.videos, None
    if videos is None:
        ranges, work = load_synthesize(args.params).ranges, args.work or work_folder("events")
        videos, clips = (draw(plan, ranges, work, args.workers) for draw in (draw_videos, draw_clips))
    learn_events(plan, videos, args.out, clips)


if __name__ == "__main__":
    run_main(main)
