"""Draws labelled page-flip clips: sample frames and videos for trying out, testing and measuring the system.

    clips = plan_clips(seed=7, books=6, clips_per_book=8, frames_per_clip=16)
    write_archive(clips, Path("data/raw"))
    write_video(Path("leafing.mp4"), seed=7, book=0, flips=4)

A seed settles every byte. `scene` says what is where at time t, `geometry` how a sheet bends and where it is seen,
`looks`, `pages` and `hands` what things look like, `draw` makes the pixels, `archive` and `video` the files.
"""

from pageflip.synthetic.archive import write_archive
from pageflip.synthetic.draw import Frame, render_clip
from pageflip.synthetic.scene import Clip, plan_clips
from pageflip.synthetic.video import write_video

__all__ = ["Clip", "Frame", "plan_clips", "render_clip", "write_archive", "write_video"]
