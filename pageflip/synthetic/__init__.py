"""Synthetic footage: labelled page-flip clips, videos and uploads, drawn from a seed.

    clips = plan_clips(seed=7, books=6, clips_per_book=8, frames_per_clip=16)
    write_archive(clips, Path("data/raw"))
    write_video(Path("leafing.mp4"), VideoPlan(seed=7, book=0, flips=4))

The same seed gives the same bytes. `book/` draws pages and bends sheets, `hands/` draws hands, and `stage/` puts them
on a desk: `stage.scripts` samples what happens in a recording, `stage.motion` says where everything is at time t, and
`stage.renderer` makes the picture. `ranges` holds the parameters; `archive`, `video`, `sheet` and `records` write
files. See docs/explanation/synthetic-footage.md.
"""
