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
LATENCY = "latency"
ACCUMULATE = "accumulate"
COST = "cost"

FAILURE = "failure"
"""Why a trial cannot go on: a report of it ends the trial."""

HALT = "halt"
"""Why no trial can go on here: a report of it ends the launch, and leaves the trial to `resume`."""

NOTES = "notes"
"""What happened to a trial on its way, in words."""

STUDY_METRICS = (MAP, RANK1)
"""What a study can maximise."""

SECOND_OBJECTIVES = {COST: "seconds of training", LATENCY: "milliseconds an image"}
"""What a study can minimise beside that, and its unit."""

RANKING = (RANK1, RANK5, RANK10, MAP)
"""The validation figures of an epoch."""

INTERVALS = {RANK1: ("rank1_low", "rank1_high"), MAP: ("mAP_low", "mAP_high")}
"""The ends of a validation figure's 95 % interval over identities."""

TEST_FIGURES = (*RANKING, "mAP_trapezoid", "mINP", "allshots_rank1")
"""The rates of the final evaluation."""
