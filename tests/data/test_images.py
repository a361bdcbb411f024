"""Pictures that people upload, kind and hostile, and the way back."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from robust_core.data.images import (
    LARGEST_FILE,
    decode_image,
    encode_png,
    jpeg_round_trip,
    png_round_trip,
    quantize_8bit,
)
from robust_core.errors import InputError

SHAPE = (3, 8, 8)
RED, GREEN = (255, 0, 0), (0, 255, 0)


def saved(picture: Image.Image, kind: str = "PNG", **choices) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=kind, **choices)
    return buffer.getvalue()


def noise(channels: int, height: int, width: int) -> torch.Tensor:
    x = torch.rand(channels, height, width, generator=torch.Generator().manual_seed(0))
    return quantize_8bit(x)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 16, 24), (1, 1, 1)])
def test_a_picture_of_the_right_size_is_kept_exactly(shape):
    x = noise(*shape)
    decoded = decode_image(encode_png(x), shape)
    assert decoded.dtype == torch.float32
    assert torch.equal(decoded, x)


@pytest.mark.parametrize(
    ("kind", "tolerance"), [("JPEG", 0.02), ("WEBP", 0.02), ("BMP", 0), ("GIF", 0), ("TIFF", 0)]
)
def test_every_format_is_read(kind, tolerance):
    decoded = decode_image(saved(Image.new("RGB", (20, 20), RED), kind), SHAPE)
    assert torch.allclose(decoded.mean(dim=(1, 2)), torch.tensor([1.0, 0, 0]), atol=tolerance)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_is_read(mode, channels):
    kind = {"CMYK": "JPEG", "YCbCr": "JPEG"}.get(mode, "PNG")
    white = Image.new("RGB", (9, 9), "white")
    picture = Image.new(mode, (9, 9), 65535) if mode == "I;16" else white.convert(mode)
    content = saved(picture, kind)
    decoded = decode_image(content, (channels, 8, 8))
    assert decoded.shape == (channels, 8, 8)
    assert torch.allclose(decoded, torch.ones(()), atol=0.02)


def test_cmyk_red_is_red():
    content = saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG")
    red = decode_image(content, SHAPE).mean(dim=(1, 2))
    assert red[0] > 0.9 and red[1:].max() < 0.15


def test_sixteen_bits_become_eight():
    levels = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    decoded = decode_image(saved(Image.fromarray(levels)), (1, 8, 8))
    expected = torch.from_numpy(np.round(levels / 257.0)).float() / 255
    assert torch.equal(decoded[0], expected)


def test_sixteen_bits_of_a_tiff_become_eight():
    levels = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    decoded = decode_image(saved(Image.fromarray(levels), "TIFF"), (1, 8, 8))
    assert torch.equal(decoded[0], torch.from_numpy(np.round(levels / 257.0)).float() / 255)


@pytest.mark.parametrize(
    ("levels", "got"),
    [
        (np.linspace(0, 1, 64, dtype=np.float32), "floating-point numbers from 0 to 1"),
        (np.arange(64, dtype=np.int32) * 2000, "whole numbers from 0 to 126000"),
    ],
)
def test_levels_of_unknown_range_are_refused(levels, got):
    content = saved(Image.fromarray(levels.reshape(8, 8)), "TIFF")
    with pytest.raises(InputError, match=f"levels of 8 or 16 bits .0 to 65535., got {got}"):
        decode_image(content, SHAPE)


def test_transparent_pixels_lie_on_white():
    picture = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    picture.paste((0, 0, 255, 255), (0, 0, 4, 8))
    picture.paste((0, 0, 0, 128), (4, 4, 8, 8))
    decoded = decode_image(saved(picture), SHAPE)
    assert decoded[:, 0, 7].tolist() == [1, 1, 1]
    assert decoded[:, 0, 0].tolist() == [0, 0, 1]
    assert torch.allclose(decoded[:, 7, 7], torch.tensor(127 / 255), atol=0.01)


def test_a_palette_with_a_transparent_entry_lies_on_white():
    picture = Image.new("P", (8, 8), 1)
    picture.putpalette([0, 0, 0, 255, 0, 0])
    content = saved(picture, transparency=1)
    assert torch.equal(decode_image(content, SHAPE), torch.ones(SHAPE))


def test_exif_orientation_is_obeyed():
    picture = Image.new("RGB", (16, 16), RED)
    picture.paste(GREEN, (0, 0, 16, 8))  # the upper half
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by 180 degrees
    decoded = decode_image(saved(picture, "JPEG", exif=exif, quality=95), SHAPE)
    assert decoded[1, -1].mean() > 0.9 and decoded[0, 0].mean() > 0.9


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_of_an_animation_counts(kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN)]
    choices = {"lossless": True} if kind == "WEBP" else {}
    content = saved(frames[0], kind, save_all=True, append_images=frames[1:], **choices)
    assert decode_image(content, SHAPE).mean(dim=(1, 2)).tolist() == [1, 0, 0]


def test_the_centre_is_cut_out():
    picture = Image.new("RGB", (32, 8), RED)
    picture.paste(GREEN, (12, 0, 20, 8))
    assert decode_image(saved(picture), SHAPE).mean(dim=(1, 2)).tolist() == [0, 1, 0]
    tall = picture.transpose(Image.Transpose.ROTATE_90)
    assert decode_image(saved(tall), SHAPE).mean(dim=(1, 2)).tolist() == [0, 1, 0]
    assert decode_image(saved(picture), (3, 8, 32))[0, :, 0].mean() == 1  # a wide model sees all


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 3)])
def test_tiny_and_thin_pictures_are_brought_to_size(size):
    decoded = decode_image(saved(Image.new("RGB", size, RED)), SHAPE)
    assert torch.equal(decoded, torch.tensor([1.0, 0, 0])[:, None, None].expand(SHAPE))


def test_shrinking_averages():
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    decoded = decode_image(saved(Image.fromarray(board)), (1, 8, 8))
    assert torch.allclose(decoded, torch.tensor(0.5), atol=0.02)


@pytest.mark.parametrize(
    "content",
    [b"", b"no picture", b"\x89PNG\r\n\x1a\n", b"%PDF-1.4", b"\x80\x04\x95", b"<svg/>"],
)
def test_what_is_no_picture_is_refused(content):
    with pytest.raises(
        InputError, match="expected a PNG, JPEG, WebP, BMP, GIF or TIFF picture, got"
    ):
        decode_image(content, SHAPE)


@pytest.mark.parametrize("kind", ["ICO", "PPM"])
def test_other_formats_are_refused(kind):
    with pytest.raises(InputError, match="expected a PNG, JPEG, WebP"):
        decode_image(saved(Image.new("RGB", (32, 32)), kind), SHAPE)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_a_truncated_picture_is_refused(kind):
    x = (noise(3, 40, 40).permute(1, 2, 0) * 255).byte().numpy()
    content = saved(Image.fromarray(x), kind)
    for share in (0.9, 0.6, 0.3):
        with pytest.raises(InputError):
            decode_image(content[: int(share * len(content))], SHAPE)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_damaged_bytes_give_a_picture_or_one_sentence(kind):
    generator = np.random.default_rng(0)
    content = saved(Image.fromarray(generator.integers(0, 255, (16, 16, 3), dtype=np.uint8)), kind)
    for _ in range(100):
        damaged = bytearray(content)
        for place in generator.integers(0, len(damaged), 3):
            damaged[place] = generator.integers(256)
        try:
            assert decode_image(bytes(damaged), SHAPE).shape == SHAPE
        except InputError as error:
            assert "\n" not in str(error)


def test_too_many_bytes_are_refused_unread():
    with pytest.raises(InputError, match=r"at most 20 MB, got 20\.0 MB"):
        decode_image(bytes(LARGEST_FILE + 1), SHAPE)


@pytest.mark.parametrize("side", [7000, 50_000])
def test_a_decompression_bomb_is_refused_unopened(side):
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    content = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    )
    with pytest.raises(InputError, match="at most 40 million pixels, got"):
        decode_image(content, SHAPE)


def test_a_model_of_two_channels_takes_no_pictures():
    with pytest.raises(InputError, match="pictures fit models of 1 or 3 channels, this one has 2"):
        decode_image(saved(Image.new("RGB", (8, 8))), (2, 8, 8))


def test_quantize_rounds_to_the_nearest_level():
    x = torch.tensor([-0.1, 0.0, 0.4 / 255, 0.6 / 255, 100.4 / 255, 1.0, 1.2])
    assert (quantize_8bit(x) * 255).round().tolist() == [0, 0, 0, 1, 100, 255, 255]
    y = torch.rand(1000, generator=torch.Generator().manual_seed(0))
    assert (quantize_8bit(y) - y).abs().max() <= 0.5 / 255 + 1e-6
    assert torch.equal(quantize_8bit(quantize_8bit(y)), quantize_8bit(y))


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 28, 28), (4, 3, 8, 9), (2, 2, 1, 8, 8)])
def test_a_png_round_trip_only_rounds(shape):
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(png_round_trip(x), quantize_8bit(x))


def test_a_jpeg_round_trip_loses_more_at_lower_quality():
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    losses = [float((jpeg_round_trip(x, quality) - x).abs().mean()) for quality in (95, 60, 10)]
    assert 0 < losses[0] < losses[1] < losses[2]
    grey = torch.full((1, 16, 16), 0.5)
    assert torch.allclose(jpeg_round_trip(grey, 95), grey, atol=0.01)


@pytest.mark.parametrize("quality", [0, 101])
def test_jpeg_quality_out_of_range_is_refused(quality):
    with pytest.raises(InputError, match=rf"JPEG quality must be in \[1, 100\], got {quality}"):
        jpeg_round_trip(torch.zeros(1, 8, 8), quality)
