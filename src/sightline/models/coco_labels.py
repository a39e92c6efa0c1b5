"""The 91 columns of detectors trained on COCO."""

from __future__ import annotations

BACKGROUND, UNUSED = "__background__", "N/A"

# COCO numbers its 80 categories up to 90; a dash stands where a number was given up
_BY_NUMBER = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light,
fire hydrant, -, stop sign, parking meter, bench, bird, cat, dog, horse, sheep,
cow, elephant, bear, zebra, giraffe, -, backpack, umbrella, -, -,
handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove,
skateboard, surfboard, tennis racket, bottle, -, wine glass, cup, fork, knife, spoon,
bowl, banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut,
cake, chair, couch, potted plant, bed, -, dining table, -, -, toilet,
-, tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster,
sink, refrigerator, -, book, clock, vase, scissors, teddy bear, hair drier, toothbrush
"""

COCO_LABELS = (
    BACKGROUND,
    *(UNUSED if name.strip() == "-" else name.strip() for name in _BY_NUMBER.split(",")),
)
