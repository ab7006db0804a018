"""The SA network: attention, architecture, loss and weight files."""

from sa_study.model.attention import spatial_attention
from sa_study.model.loss import total_loss
from sa_study.model.network import SANet
from sa_study.model.weights import LoadReport, infer_architecture, load_weights, read_state_dict

__all__ = [
    "LoadReport",
    "SANet",
    "infer_architecture",
    "load_weights",
    "read_state_dict",
    "spatial_attention",
    "total_loss",
]
