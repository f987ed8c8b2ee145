"""The synthetic studio: labelled page-flip clips and videos, drawn from a seed.

    clips = plan_clips(seed=7, books=6, clips_per_book=8, frames_per_clip=16)
    write_archive(clips, Path("data/raw"))
    write_video(Path("leafing.mp4"), seed=7, book=0, flips=4)

A seed settles every byte. `ranges` says what scenes are drawn from, `scripts` what happens in a recording, `motion`
what is where at time t, `geometry` how sheets bend and where the phone sees them; `looks`, `pages`, `desks` and `hands`
what things look like; `mesh`, `people`, `optics` and `draw` make the pixels, `archive`, `video`, `sheet` and `records`
the files. What it draws and how it is extended: docs/explanation/synthetic-footage.md.
"""
