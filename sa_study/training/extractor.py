"""A trained network with its preprocessing: images in, features out."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from sa_study.data.images import as_rgb, for_each_image, read_image
from sa_study.training.evaluate import TrainedNetwork
from sa_study.training.features import extract_features_from_array
from sa_study.utils.errors import DataError
from sa_study.utils.progress import ProgressCallback

OneImage = str | PathLike[str] | Image.Image | NDArray[np.uint8]
"""An image file, a Pillow image, or an array H×W×3 in RGB."""


_LARGE = 4
"""Times the pixels of the network's input above which an image is resized as soon as it is read."""


class FeatureExtractor:
    """Computes the features that re-identification matches by: the smaller the distance, the more alike.

    Images go through what `evaluate` does with them: those of one size are resized on the device; where sizes
    differ, each is first brought to the network's input size (Pillow's bilinear, which gives the same on a
    CPU). So is a photograph far larger than the input, so that thousands fit into memory.

    Args:
        trained: The network. It is moved to its settings' device.

    Attributes:
        trained: The network, its settings and the file it came from.
    """

    def __init__(self, trained: TrainedNetwork):
        self.trained = trained

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the network's input, in pixels."""
        return self.trained.settings.height, self.trained.settings.width

    @property
    def width(self) -> int:
        """The number of an image's features: the channels of stage 4, for each stripe."""
        return self.trained.net.parts * self.trained.net.local_conv.in_channels

    def __call__(
        self, images: Sequence[OneImage] | NDArray[np.uint8], progress: ProgressCallback | None = None
    ) -> NDArray[np.float32]:
        """The features of images, in their order.

        Args:
            images: The images, or one array N×H×W×3.
            progress: Told the number of images done and in all.

        Returns:
            N×D; the squared Euclidean distance of two rows compares two images.

        Raises:
            DataError: There are none, one is no image, or a file cannot be read.
        """
        if isinstance(images, str | PathLike | Image.Image):
            raise DataError("images: is one image; give a list of images")
        if not len(images):
            raise DataError("images: there are none")
        if isinstance(images, np.ndarray) and images.ndim == 4:
            return self._compute(_checked(images, "images: an array"), progress)
        return self.of_pictures(for_each_image(self._numbered, list(enumerate(images)), None), progress)

    def of_pictures(
        self, pictures: Sequence[Image.Image], progress: ProgressCallback | None = None
    ) -> NDArray[np.float32]:
        """The features of images that `open` gave; otherwise like a call of the extractor."""
        if len({picture.size for picture in pictures}) > 1:
            height, width = self.size
            pictures = [picture.resize((width, height), Image.Resampling.BILINEAR) for picture in pictures]
        return self._compute(np.stack([np.asarray(picture) for picture in pictures]), progress)

    def _compute(self, pixels: NDArray[np.uint8], progress: ProgressCallback | None) -> NDArray[np.float32]:
        settings = self.trained.settings
        features = extract_features_from_array(self.trained.net, settings, pixels, progress=progress)
        return features.cpu().numpy()

    def _numbered(self, numbered: tuple[int, OneImage]) -> Image.Image:
        return self.open(numbered[1], f"images[{numbered[0]}]")

    def open(self, image: OneImage, name: str = "image") -> Image.Image:
        """An image in RGB, no larger than is needed.

        Args:
            image: The image.
            name: What it is called in an error.

        Raises:
            DataError: It cannot be read, or is no image.
        """
        if isinstance(image, str | PathLike):
            picture, _ = read_image(Path(image))
        elif isinstance(image, Image.Image):
            try:
                picture = as_rgb(ImageOps.exif_transpose(image))  # turned upright, as those of files are
                picture.load()
            except OSError as error:
                raise DataError(f"{name}: not a readable image ({error})") from None
        else:
            pixels = np.asarray(image)
            if pixels.ndim != 3:
                raise DataError(f"{name}: an array of {pixels.ndim} dimensions; expected uint8 in RGB, H×W×3")
            picture = Image.fromarray(_checked(pixels, f"{name}: an array"))
        height, width = self.size
        if picture.height * picture.width > _LARGE * height * width:
            picture = picture.resize((width, height), Image.Resampling.BILINEAR)
        return picture


def _checked(pixels: NDArray[np.uint8], what: str) -> NDArray[np.uint8]:
    if pixels.dtype != np.uint8 or pixels.ndim < 3 or pixels.shape[-1] != 3 or not pixels.size:
        shape = "×".join(map(str, pixels.shape))
        raise DataError(f"{what} of {pixels.dtype}, {shape}; expected uint8 in RGB, H×W×3")
    return pixels
