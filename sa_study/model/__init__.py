"""The SA network: backbones, attention, architecture, loss and weight files."""
