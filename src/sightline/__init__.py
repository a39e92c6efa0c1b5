"""sightline: what a vision model saw, and whether the explanation is true.

Heavy imports (torch, matplotlib) happen on first use of a name, so that ``import sightline`` and
``sightline --help`` are quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sightline.version import __version__

_PUBLIC = {
    "errors": [
        "SightlineError",
        "DrawingError",
        "PhotoError",
        "ModelError",
        "GameError",
        "AlignmentError",
        "TaskError",
    ],
    "sketch.sketch": ["Sketch"],
    "sketch.batch": ["SketchBatch"],
    "sketch.read": ["read_sketch", "write_sketch"],
    "sketch.collection": ["read_collection", "split_collection"],
    "sketch.store": ["SketchStore", "StoredSplit"],
    "sketch.importing": ["import_drawings"],
    "sketch.simplify": ["simplify"],
    "sketch.statistics": ["stroke_statistics"],
    "sketch.raster": ["Rasteriser"],
    "image.photo": ["Photo"],
    "image.batch": ["PictureBatch"],
    "image.augment": ["PhotoAugmentation"],
    "image.read": ["read_photo"],
    "image.frame": ["Frame"],
    "image.annotations": ["read_instances", "read_panoptic"],
    "scenes.scene": ["draw_scene"],
    "scenes.pairs": ["FAMILIES", "Pair", "draw_pair", "pair_set"],
    "models.load": ["load", "save"],
    "models.load_detector": ["load_detector"],
    "models.load_classifier": ["load_classifier", "save_classifier"],
    "models.detector": ["Detections", "Candidates"],
    "models.photo_classifier": ["PictureClassifier"],
    "models.small_resnet": ["SmallResNet", "small_resnet"],
    "models.black_box": ["CallableDetector", "OnnxDetector", "UltralyticsDetector"],
    "models.doors_torchvision": ["as_torchvision_detector"],
    "models.doors_transformers": ["TransformersDetector"],
    "models.scene_ssd": ["SceneSSD"],
    "models.sketchxainet": ["SketchXAINet", "SketchXAINetConfig", "sketchxainet"],
    "models.raster": ["RasterModel", "SketchCNN", "sketch_cnn"],
    "models.encoder": ["Encoder", "similarities"],
    "models.two_branch": ["two_branch"],
    "models.headless": ["headless"],
    "models.clip_encoder": ["clip_encoder"],
    "models.load_encoder": ["load_encoder", "save_encoder"],
    "models.generator": ["RasterGenerator"],
    "models.small_generator": ["SmallGenerator", "small_generator"],
    "models.load_generator": ["load_generator", "save_generator"],
    "parts": ["Strokes", "Points", "GridCells", "Superpixels"],
    "targets": [
        "ClassScore",
        "BoxScores",
        "BoxEdge",
        "BoxRival",
        "BoxSimilarity",
        "MissedBox",
        "boxes_in",
        "Similarity",
        "TripletMargin",
        "RankMargin",
        "Rank",
        "Region",
    ],
    "budget": ["Budget"],
    "game": ["Game"],
    "explanation": ["Explanation", "Provenance"],
    "picture": ["plot_together"],
    "methods": [
        "METHODS",
        "explain",
        "shapley",
        "kernel_shap",
        "lime",
        "rise",
        "d_rise",
        "anchors",
        "sla",
        "gradient_x_input",
        "smooth_grad",
        "integrated_gradients",
        "p_sla",
        "grad_cam",
        "grad_cam_pp",
        "x_grad_cam",
        "hires_cam",
        "odam",
        "ssgrad_cam",
        "eigen_cam",
        "ablation_cam",
        "full_grad",
        "attention",
        "attention_rollout",
        "occlusion",
        "random",
    ],
    "metrics": [
        "deletion",
        "insertion",
        "agreement",
        "kendall_w",
        "wilson",
        "bootstrap_mean",
        "bootstrap_median",
        "paired",
        "localise",
        "photo_flipping",
        "clustered_mean",
        "clustered_paired",
        "randomised_cascade",
    ],
    "runs.run": ["Run"],
    "runs.settings": ["PhotoSettings"],
    "runs.folder": ["explain_all"],
    "inversion": [
        "Descent",
        "Trajectory",
        "invert",
        "recover",
        "transfer",
        "score_inversion",
    ],
    "benchmark": ["BenchmarkSettings", "benchmark_strokes"],
    "analysis.shapes": ["shape_clusters"],
    "analysis.order": ["order_similarity"],
    "analysis.accuracy": ["accuracy_under"],
    "analysis.ablation": ["ablation"],
    "alignment.labels": ["AttentionLabel", "AttentionLabels"],
    "alignment.combine": ["combined", "contradictions_of"],
    "alignment.stroke_labels": ["label_parts", "label_index", "label_region"],
    "alignment.placing": ["at_size"],
    "alignment.formats.read": ["read_labels"],
    "alignment.formats.write": ["write_labels_as"],
    "alignment.verdicts": ["Verdict", "Verdicts", "read_verdicts", "write_verdicts"],
    "alignment.matrix": ["Matrix"],
    "alignment.proposed": ["propose"],
    "alignment.queue": ["Candidate", "Queue"],
    "alignment.annotators": [
        "cohen_kappa",
        "krippendorff_alpha",
        "mask_agreement",
        "verdict_agreement",
    ],
    "alignment.map_sources": ["GradCamMaps", "InputGradients"],
    "alignment.stroke_sources": ["StrokeScores", "StrokeAttention"],
    "alignment.stroke_occlusion": ["StrokeOcclusion"],
    "alignment.guides": ["GUIDES", "guide"],
    "alignment.caipi": ["counterexamples"],
    "alignment.examples": ["GuidedExamples"],
    "alignment.objective": ["Guided"],
    "alignment.items": ["Items"],
    "alignment.phases": ["Lesson", "learn_task", "learn_where"],
    "alignment.overview": ["overview"],
    "alignment.measures": ["measure_looking"],
    "alignment.before_after": ["BeforeAfter"],
    "alignment.study": ["RatingStudy"],
    "tasks.retrieval.gallery": ["Gallery"],
    "tasks.retrieval.explain_match": ["explain_match"],
    "tasks.retrieval.match": ["Match"],
    "tasks.retrieval.measured": ["measure_retrieval"],
    "tasks.retrieval.rank_deletion": ["rank_deletion"],
    "tasks.retrieval.drawing_order": ["drawing_order"],
    "tasks.retrieval.pair_folders": ["read_pair_folder"],
    "tasks.retrieval.pair_examples": ["PairExamples"],
    "tasks.retrieval.triplet": ["TripletLoss", "Contrastive"],
    "tasks.generation.stroke_maps": ["StrokeMaps", "stroke_maps"],
    "tasks.generation.part_regions": ["PartRegions"],
    "tasks.generation.train_generator": ["train_generator"],
    "tasks.healing.heal": ["heal"],
    "tasks.healing.suggestions": ["Suggestion", "suggest"],
    "tasks.healing.record": ["Healing"],
    "tasks.attack.attack": ["Attack"],
    "tasks.attack.point_moves": ["Moves", "move_points"],
    "tasks.attack.move_attack": ["attack_points"],
    "tasks.attack.stroke_removal": ["remove_small_stroke"],
    "tasks.attack.stroke_insertion": ["insert_stroke"],
    "tasks.attack.training": ["TrainedOnAttacks"],
}
_HOME = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = ["__version__", *sorted(_HOME)]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'sightline' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"sightline.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


if TYPE_CHECKING:
    from sightline.alignment.annotators import cohen_kappa as cohen_kappa
    from sightline.alignment.annotators import krippendorff_alpha as krippendorff_alpha
    from sightline.alignment.annotators import mask_agreement as mask_agreement
    from sightline.alignment.annotators import verdict_agreement as verdict_agreement
    from sightline.alignment.before_after import BeforeAfter as BeforeAfter
    from sightline.alignment.caipi import counterexamples as counterexamples
    from sightline.alignment.combine import combined as combined
    from sightline.alignment.combine import contradictions_of as contradictions_of
    from sightline.alignment.examples import GuidedExamples as GuidedExamples
    from sightline.alignment.formats.read import read_labels as read_labels
    from sightline.alignment.formats.write import write_labels_as as write_labels_as
    from sightline.alignment.guides import GUIDES as GUIDES
    from sightline.alignment.guides import guide as guide
    from sightline.alignment.items import Items as Items
    from sightline.alignment.labels import AttentionLabel as AttentionLabel
    from sightline.alignment.labels import AttentionLabels as AttentionLabels
    from sightline.alignment.map_sources import GradCamMaps as GradCamMaps
    from sightline.alignment.map_sources import InputGradients as InputGradients
    from sightline.alignment.matrix import Matrix as Matrix
    from sightline.alignment.measures import measure_looking as measure_looking
    from sightline.alignment.objective import Guided as Guided
    from sightline.alignment.overview import overview as overview
    from sightline.alignment.phases import Lesson as Lesson
    from sightline.alignment.phases import learn_task as learn_task
    from sightline.alignment.phases import learn_where as learn_where
    from sightline.alignment.placing import at_size as at_size
    from sightline.alignment.proposed import propose as propose
    from sightline.alignment.queue import Candidate as Candidate
    from sightline.alignment.queue import Queue as Queue
    from sightline.alignment.stroke_labels import label_index as label_index
    from sightline.alignment.stroke_labels import label_parts as label_parts
    from sightline.alignment.stroke_labels import label_region as label_region
    from sightline.alignment.stroke_occlusion import StrokeOcclusion as StrokeOcclusion
    from sightline.alignment.stroke_sources import StrokeAttention as StrokeAttention
    from sightline.alignment.stroke_sources import StrokeScores as StrokeScores
    from sightline.alignment.study import RatingStudy as RatingStudy
    from sightline.alignment.verdicts import Verdict as Verdict
    from sightline.alignment.verdicts import Verdicts as Verdicts
    from sightline.alignment.verdicts import read_verdicts as read_verdicts
    from sightline.alignment.verdicts import write_verdicts as write_verdicts
    from sightline.analysis.ablation import ablation as ablation
    from sightline.analysis.accuracy import accuracy_under as accuracy_under
    from sightline.analysis.order import order_similarity as order_similarity
    from sightline.analysis.shapes import shape_clusters as shape_clusters
    from sightline.benchmark import BenchmarkSettings as BenchmarkSettings
    from sightline.benchmark import benchmark_strokes as benchmark_strokes
    from sightline.budget import Budget as Budget
    from sightline.errors import AlignmentError as AlignmentError
    from sightline.errors import DrawingError as DrawingError
    from sightline.errors import GameError as GameError
    from sightline.errors import ModelError as ModelError
    from sightline.errors import PhotoError as PhotoError
    from sightline.errors import SightlineError as SightlineError
    from sightline.errors import TaskError as TaskError
    from sightline.explanation import Explanation as Explanation
    from sightline.explanation import Provenance as Provenance
    from sightline.game import Game as Game
    from sightline.image.annotations import read_instances as read_instances
    from sightline.image.annotations import read_panoptic as read_panoptic
    from sightline.image.augment import PhotoAugmentation as PhotoAugmentation
    from sightline.image.batch import PictureBatch as PictureBatch
    from sightline.image.frame import Frame as Frame
    from sightline.image.photo import Photo as Photo
    from sightline.image.read import read_photo as read_photo
    from sightline.inversion import Descent as Descent
    from sightline.inversion import Trajectory as Trajectory
    from sightline.inversion import invert as invert
    from sightline.inversion import recover as recover
    from sightline.inversion import score_inversion as score_inversion
    from sightline.inversion import transfer as transfer
    from sightline.methods import METHODS as METHODS
    from sightline.methods import ablation_cam as ablation_cam
    from sightline.methods import anchors as anchors
    from sightline.methods import attention as attention
    from sightline.methods import attention_rollout as attention_rollout
    from sightline.methods import d_rise as d_rise
    from sightline.methods import eigen_cam as eigen_cam
    from sightline.methods import explain as explain
    from sightline.methods import full_grad as full_grad
    from sightline.methods import grad_cam as grad_cam
    from sightline.methods import grad_cam_pp as grad_cam_pp
    from sightline.methods import gradient_x_input as gradient_x_input
    from sightline.methods import hires_cam as hires_cam
    from sightline.methods import integrated_gradients as integrated_gradients
    from sightline.methods import kernel_shap as kernel_shap
    from sightline.methods import lime as lime
    from sightline.methods import occlusion as occlusion
    from sightline.methods import odam as odam
    from sightline.methods import p_sla as p_sla
    from sightline.methods import random as random
    from sightline.methods import rise as rise
    from sightline.methods import shapley as shapley
    from sightline.methods import sla as sla
    from sightline.methods import smooth_grad as smooth_grad
    from sightline.methods import ssgrad_cam as ssgrad_cam
    from sightline.methods import x_grad_cam as x_grad_cam
    from sightline.metrics import agreement as agreement
    from sightline.metrics import bootstrap_mean as bootstrap_mean
    from sightline.metrics import bootstrap_median as bootstrap_median
    from sightline.metrics import clustered_mean as clustered_mean
    from sightline.metrics import clustered_paired as clustered_paired
    from sightline.metrics import deletion as deletion
    from sightline.metrics import insertion as insertion
    from sightline.metrics import kendall_w as kendall_w
    from sightline.metrics import localise as localise
    from sightline.metrics import paired as paired
    from sightline.metrics import photo_flipping as photo_flipping
    from sightline.metrics import randomised_cascade as randomised_cascade
    from sightline.metrics import wilson as wilson
    from sightline.models.black_box import CallableDetector as CallableDetector
    from sightline.models.black_box import OnnxDetector as OnnxDetector
    from sightline.models.black_box import UltralyticsDetector as UltralyticsDetector
    from sightline.models.clip_encoder import clip_encoder as clip_encoder
    from sightline.models.detector import Candidates as Candidates
    from sightline.models.detector import Detections as Detections
    from sightline.models.doors_torchvision import (
        as_torchvision_detector as as_torchvision_detector,
    )
    from sightline.models.doors_transformers import TransformersDetector as TransformersDetector
    from sightline.models.encoder import Encoder as Encoder
    from sightline.models.encoder import similarities as similarities
    from sightline.models.generator import RasterGenerator as RasterGenerator
    from sightline.models.headless import headless as headless
    from sightline.models.load import load as load
    from sightline.models.load import save as save
    from sightline.models.load_classifier import load_classifier as load_classifier
    from sightline.models.load_classifier import save_classifier as save_classifier
    from sightline.models.load_detector import load_detector as load_detector
    from sightline.models.load_encoder import load_encoder as load_encoder
    from sightline.models.load_encoder import save_encoder as save_encoder
    from sightline.models.load_generator import load_generator as load_generator
    from sightline.models.load_generator import save_generator as save_generator
    from sightline.models.photo_classifier import PictureClassifier as PictureClassifier
    from sightline.models.raster import RasterModel as RasterModel
    from sightline.models.raster import SketchCNN as SketchCNN
    from sightline.models.raster import sketch_cnn as sketch_cnn
    from sightline.models.scene_ssd import SceneSSD as SceneSSD
    from sightline.models.sketchxainet import SketchXAINet as SketchXAINet
    from sightline.models.sketchxainet import SketchXAINetConfig as SketchXAINetConfig
    from sightline.models.sketchxainet import sketchxainet as sketchxainet
    from sightline.models.small_generator import SmallGenerator as SmallGenerator
    from sightline.models.small_generator import small_generator as small_generator
    from sightline.models.small_resnet import SmallResNet as SmallResNet
    from sightline.models.small_resnet import small_resnet as small_resnet
    from sightline.models.two_branch import two_branch as two_branch
    from sightline.parts import GridCells as GridCells
    from sightline.parts import Points as Points
    from sightline.parts import Strokes as Strokes
    from sightline.parts import Superpixels as Superpixels
    from sightline.picture import plot_together as plot_together
    from sightline.runs.folder import explain_all as explain_all
    from sightline.runs.run import Run as Run
    from sightline.runs.settings import PhotoSettings as PhotoSettings
    from sightline.scenes.pairs import FAMILIES as FAMILIES
    from sightline.scenes.pairs import Pair as Pair
    from sightline.scenes.pairs import draw_pair as draw_pair
    from sightline.scenes.pairs import pair_set as pair_set
    from sightline.scenes.scene import draw_scene as draw_scene
    from sightline.sketch.batch import SketchBatch as SketchBatch
    from sightline.sketch.collection import read_collection as read_collection
    from sightline.sketch.collection import split_collection as split_collection
    from sightline.sketch.importing import import_drawings as import_drawings
    from sightline.sketch.raster import Rasteriser as Rasteriser
    from sightline.sketch.read import read_sketch as read_sketch
    from sightline.sketch.read import write_sketch as write_sketch
    from sightline.sketch.simplify import simplify as simplify
    from sightline.sketch.sketch import Sketch as Sketch
    from sightline.sketch.statistics import stroke_statistics as stroke_statistics
    from sightline.sketch.store import SketchStore as SketchStore
    from sightline.sketch.store import StoredSplit as StoredSplit
    from sightline.targets import BoxEdge as BoxEdge
    from sightline.targets import BoxRival as BoxRival
    from sightline.targets import BoxScores as BoxScores
    from sightline.targets import BoxSimilarity as BoxSimilarity
    from sightline.targets import ClassScore as ClassScore
    from sightline.targets import MissedBox as MissedBox
    from sightline.targets import Rank as Rank
    from sightline.targets import RankMargin as RankMargin
    from sightline.targets import Region as Region
    from sightline.targets import Similarity as Similarity
    from sightline.targets import TripletMargin as TripletMargin
    from sightline.targets import boxes_in as boxes_in
    from sightline.tasks.attack.attack import Attack as Attack
    from sightline.tasks.attack.move_attack import attack_points as attack_points
    from sightline.tasks.attack.point_moves import Moves as Moves
    from sightline.tasks.attack.point_moves import move_points as move_points
    from sightline.tasks.attack.stroke_insertion import insert_stroke as insert_stroke
    from sightline.tasks.attack.stroke_removal import remove_small_stroke as remove_small_stroke
    from sightline.tasks.attack.training import TrainedOnAttacks as TrainedOnAttacks
    from sightline.tasks.generation.part_regions import PartRegions as PartRegions
    from sightline.tasks.generation.stroke_maps import StrokeMaps as StrokeMaps
    from sightline.tasks.generation.stroke_maps import stroke_maps as stroke_maps
    from sightline.tasks.generation.train_generator import train_generator as train_generator
    from sightline.tasks.healing.heal import heal as heal
    from sightline.tasks.healing.record import Healing as Healing
    from sightline.tasks.healing.suggestions import Suggestion as Suggestion
    from sightline.tasks.healing.suggestions import suggest as suggest
    from sightline.tasks.retrieval.drawing_order import drawing_order as drawing_order
    from sightline.tasks.retrieval.explain_match import explain_match as explain_match
    from sightline.tasks.retrieval.gallery import Gallery as Gallery
    from sightline.tasks.retrieval.match import Match as Match
    from sightline.tasks.retrieval.measured import measure_retrieval as measure_retrieval
    from sightline.tasks.retrieval.pair_examples import PairExamples as PairExamples
    from sightline.tasks.retrieval.pair_folders import read_pair_folder as read_pair_folder
    from sightline.tasks.retrieval.rank_deletion import rank_deletion as rank_deletion
    from sightline.tasks.retrieval.triplet import Contrastive as Contrastive
    from sightline.tasks.retrieval.triplet import TripletLoss as TripletLoss
