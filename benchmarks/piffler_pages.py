"""Print piffler's holds and the frames of its pages as JSON; runs in piffler's own environment.

ENVIRONMENT/bin/python benchmarks/piffler_pages.py VIDEO FOLDER
"""

import json
import sys

from piffler import Config, process_video
from piffler.segment import analyze, find_segments
from piffler.video import VideoSource

video, folder = sys.argv[1:]
config = Config(ocr=False, pdf=False, scan=False, dewarp=False, gpu=False)
with VideoSource(video, use_gpu=False) as source:
    fps = source.info.fps
    holds = [(segment.start, segment.end) for segment in find_segments(analyze(source, config), config, fps)]
pages = process_video(video, folder, config)
frames = {page.segment: page.frame_index for page in pages}
print(json.dumps({"fps": fps, "holds": holds, "stills": [frames[segment] for segment in sorted(frames)]}))
