"""Names of the figures that an epoch reports and an evaluation lists."""

EPOCH = "epoch"
PROGRESS = "progress"
RANK1 = "rank1"
RANK5 = "rank5"
RANK10 = "rank10"
MAP = "mAP"
LOSS = "loss"
TRAIN_ACCURACY = "train_accuracy"
LR = "lr"
IMAGES_PER_SECOND = "images_per_second"
SECONDS = "seconds"
FAILURE = "failure"

STUDY_METRICS = (MAP, RANK1)
"""What a study can maximise."""

RANKING = (RANK1, RANK5, RANK10, MAP)
"""The validation figures of an epoch."""

TEST_FIGURES = (*RANKING, "mAP_trapezoid", "mINP", "allshots_rank1")
"""The rates of the final evaluation."""
