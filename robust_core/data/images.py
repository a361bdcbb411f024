"""Pictures a person gives or takes: bytes to tensors and back.

Tensors are float32 in [0, 1]; a picture has 8 bits a channel, so pixels are multiples of 1/255.
"""

import io
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from robust_core.errors import InputError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
FORMAT_WORDS = "PNG, JPEG, WebP, BMP, GIF or TIFF"
LARGEST_FILE = 20 * 2**20  # bytes
LARGEST_PICTURE = 40_000_000  # pixels: 160 MB decoded with alpha; a phone takes 12 to 50 million


def decode_image(content: bytes, image_shape: tuple[int, int, int]) -> Tensor:
    """Return a picture as a model sees it: float32 [C,H,W] in [0, 1].

    The first frame is turned as its EXIF orientation says, put on white where it is transparent,
    made grey (ITU-R 601 luma) or RGB, cut at the centre to the model's aspect ratio and resized
    (bicubic, with antialiasing). A picture that has the model's size already keeps every pixel.

    Args:
        content: the bytes of a PNG, JPEG, WebP, BMP, GIF or TIFF file.
        image_shape: (C, H, W) of the model; C is 1 or 3.

    Raises:
        InputError: no such picture, damaged, over 20 MB or over 40 million pixels.
    """
    return torch.from_numpy(decode_pixels(content, image_shape)).float().div_(255.0)


def decode_pixels(content: bytes, image_shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return the same as `decode_image` in 8 bits: uint8 [C,H,W]."""
    channels, height, width = image_shape
    if channels not in (1, 3):
        raise InputError(f"pictures fit models of 1 or 3 channels, this one has {channels}")
    if len(content) > LARGEST_FILE:
        raise InputError(
            f"a picture may have at most {LARGEST_FILE >> 20} MB, got {len(content) / 2**20:.1f} MB"
        )
    picture = _open(content)
    try:
        picture = _eight_bit(ImageOps.exif_transpose(picture))
        picture = _on_white(picture).convert("L" if channels == 1 else "RGB")
        picture = ImageOps.fit(picture, (width, height), method=Image.Resampling.BICUBIC)
    except InputError:
        raise
    except Exception as error:  # decoders fail in many ways on hostile bytes
        raise InputError(f"the picture is damaged or incomplete ({error})") from error
    return np.array(picture).reshape(height, width, channels).transpose(2, 0, 1).copy()


def measure_picture(path: Path) -> tuple[int, int] | None:
    """Return (width, height) as the header of a picture's file says; None: it says nothing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as picture:
                return picture.size
    except Exception:  # decoders fail in many ways; whoever decodes the picture says how
        return None


def encode_png(x: Tensor) -> bytes:
    """Return an image [C,H,W] in [0, 1], C 1 or 3, as a PNG; exact for multiples of 1/255."""
    buffer = io.BytesIO()
    _picture(x).save(buffer, format="PNG")
    return buffer.getvalue()


def quantize_8bit(x: Tensor) -> Tensor:
    """Return the nearest 8-bit values, round(255 x) / 255, clipped to [0, 1]: any shape."""
    return (x * 255.0).round().clamp(0.0, 255.0) / 255.0


def png_round_trip(x: Tensor) -> Tensor:
    """Save every image as a PNG and read it again: [...,C,H,W] in [0, 1] -> the same shape."""
    return _each(x, encode_png)


def jpeg_round_trip(x: Tensor, quality: int = 90) -> Tensor:
    """Save every image as a JPEG and read it again: [...,C,H,W] in [0, 1] -> the same shape.

    Colour is stored at half resolution (4:2:0), as cameras and browsers do.

    Args:
        x: images, C 1 or 3.
        quality: from 1 (worst) to 100.

    Raises:
        InputError: the quality is out of range.
    """
    if not 1 <= quality <= 100:
        raise InputError(f"JPEG quality must be in [1, 100], got {quality}")

    def encode(image: Tensor) -> bytes:
        buffer = io.BytesIO()
        _picture(image).save(buffer, format="JPEG", quality=quality, subsampling="4:2:0")
        return buffer.getvalue()

    return _each(x, encode)


def _open(content: bytes) -> Image.Image:
    """Read the header only, and refuse what is no picture or would unpack to too much."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError:
        raise InputError(_too_many("far more")) from None
    except Exception as error:
        raise InputError(f"expected a {FORMAT_WORDS} picture, got a file that is none") from error
    if picture.width * picture.height > LARGEST_PICTURE:
        raise InputError(_too_many(f"{picture.width} x {picture.height}"))
    return picture


def _too_many(got: str) -> str:
    return f"a picture may have at most {LARGEST_PICTURE // 10**6} million pixels, got {got}"


def _eight_bit(picture: Image.Image) -> Image.Image:
    """Bring 16-bit grey, which Pillow would clip, to 8 bits; refuse levels of unknown range."""
    if picture.mode[0] not in "IF":
        return picture
    levels = np.asarray(picture).astype(np.float64)
    if picture.mode == "F" or levels.min() < 0 or levels.max() > 65535:
        kind = "floating-point" if picture.mode == "F" else "whole"
        raise InputError(
            "a grey picture must have levels of 8 or 16 bits (0 to 65535), "
            f"got {kind} numbers from {levels.min():g} to {levels.max():g}"
        )
    return Image.fromarray((levels / 257.0).round().clip(0, 255).astype(np.uint8))


def _on_white(picture: Image.Image) -> Image.Image:
    if not picture.has_transparency_data:
        return picture
    picture = picture.convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")


def _picture(x: Tensor) -> Image.Image:
    levels = (x.detach().cpu().float() * 255.0).round().clamp(0.0, 255.0).to(torch.uint8)
    pixels = levels.permute(1, 2, 0).numpy()
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def _each(x: Tensor, encode: Callable[[Tensor], bytes]) -> Tensor:
    images = x.reshape(-1, *x.shape[-3:])
    decoded = [
        decode_image(encode(image), (x.shape[-3], x.shape[-2], x.shape[-1])) for image in images
    ]
    return torch.stack(decoded).reshape(x.shape).to(x.device)
