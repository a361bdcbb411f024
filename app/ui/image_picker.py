"""The choice of an image: from the data set of the model, or uploaded."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st
import torch
from torch import Tensor

from app.ui import models
from app.ui.browser.gallery import gallery
from app.ui.forms import show_input_error
from app.ui.kept import kept
from app.ui.model_picker import Usual, chosen_model
from app.ui.open_in import open_menu
from app.ui.plain import in_markdown
from app.ui.state import Part
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.data import ImageSet, data_source
from robust_core.data.images import decode_image
from robust_core.errors import InputError
from robust_core.gradients import predict_logits

PER_PAGE = 18
GALLERY, UPLOAD = "Gallery", "Upload"
UPLOAD_TYPES = ["png", "jpg", "jpeg"]
SOURCE_KEY = "attack.source"
UPLOAD_KEY, KEPT_UPLOAD_KEY = "attack.upload", "attack.kept_upload"
ALL_CLASSES = -1
OUTSIDE = (
    "The label **{own}** is the model's own prediction. It is always one of the model's classes, "
    "but the picture may show none of them. Choose the true class; otherwise the attack starts "
    "from a label that may be wrong."
)


@dataclass(frozen=True, eq=False)
class ChosenImage:
    """An image to attack: x [C,H,W] in [0, 1], its label and its id.

    image_id: a stable name such as "digits/test/17"; None for an uploaded picture.
    """

    x: Tensor
    label: int
    image_id: str | None

    def in_address(self) -> dict[str, str]:
        """Return its query parameters; an uploaded picture has none."""
        return {} if self.image_id is None else {"image": self.image_id}


@dataclass(frozen=True)
class _Upload:
    """A picture that a person has uploaded: its name and its bytes."""

    name: str
    content: bytes


def pick_image(info: CheckpointInfo) -> ChosenImage | None:
    """Draw the picker and return the chosen image; None, with a message, if there is none yet."""
    st.session_state.setdefault(SOURCE_KEY, GALLERY)
    source = st.segmented_control("Image", [GALLERY, UPLOAD], required=True, **kept(SOURCE_KEY))
    try:
        return _uploaded(info) if source == UPLOAD else _from_gallery(info)
    except InputError as error:
        show_input_error(error)
        return None


def choose_image(info: CheckpointInfo, image_id: str) -> None:
    """Select the image called `image_id` in the picker.

    Raises:
        InputError: the id is malformed, of another data set, or unknown.
    """
    name, split, index = ["", "", "", *image_id.rsplit("/", 2)][-3:]
    expected = info.config.data.name
    if name != expected or not (index.isascii() and index.isdigit()):
        raise InputError(f"image should look like '{expected}/test/17', got {image_id!r}")
    images = models.load_images(info, split)
    if not bool((images.index == int(index[:18])).any()):
        raise InputError(f"{expected}/{split} has no image {index}")
    st.session_state[SOURCE_KEY] = GALLERY
    st.session_state[f"attack.split.{expected}"] = split
    st.session_state[f"attack.image.{expected}/{split}"] = int(index)


def image_part(infos: Sequence[CheckpointInfo], usual: Usual | None = None) -> Part:
    """Return the chosen image in an address, of the data set of the model that the page shows.

    Args:
        infos: the checkpoints that the page offers.
        usual: as of `chosen_model`.
    """
    return Part("image", lambda image_id: choose_image(chosen_model(infos, usual), image_id))


def _from_gallery(info: CheckpointInfo) -> ChosenImage:
    data = info.config.data.name
    source = data_source(data)
    splits = [split for split in source.present_splits() or source.splits if split != "train"]
    left, right = st.columns(2)
    split_key = f"attack.split.{data}"
    if st.session_state.get(split_key) not in splits:
        st.session_state[split_key] = "test"
    split = left.selectbox(
        "Split",
        splits,
        format_func=lambda split: split.replace("_", " "),
        help="Test images were never used for training; training images cannot be chosen.",
        **kept(split_key),
    )
    images = models.load_images(info, split)
    class_key = f"attack.class.{data}"
    st.session_state.setdefault(class_key, ALL_CLASSES)
    wanted = right.selectbox(
        "Class",
        [ALL_CLASSES, *images.y.unique().tolist()],  # of those that have an image here
        format_func=lambda k: "all" if k == ALL_CLASSES else images.class_names[k],
        **kept(class_key),
    )
    positions = torch.arange(len(images)) if wanted < 0 else torch.where(images.y == wanted)[0]
    filtered = wanted != ALL_CLASSES and len(positions) > 0
    first = int(positions[0]) if filtered else models.first_correct(info, split)
    chosen = _chosen_position(images, f"{data}/{split}", positions, first)
    open_menu(info, images.image_id(chosen), key="attack.open")
    return ChosenImage(images.x[chosen], int(images.y[chosen]), images.image_id(chosen))


def _chosen_position(images: ImageSet, where: str, positions: Tensor, first: int) -> int:
    """Draw thumbnails of the images at `positions`; return the position of the chosen image."""
    key, page_key, shown_key = (f"attack.{part}.{where}" for part in ("image", "page", "shown"))

    def pick(index: int) -> None:
        st.session_state[key] = index

    found = torch.where(images.index == st.session_state.get(key, -1))[0]
    position = int(found[0]) if len(found) else first
    if not len(found):
        pick(int(images.index[first]))
    num_pages = max(1, -(-len(positions) // PER_PAGE))
    on_page = torch.where(positions == position)[0]
    now = (int(images.index[position]), len(positions))
    if st.session_state.get(shown_key) != now and len(on_page):
        st.session_state[page_key] = int(on_page[0]) // PER_PAGE + 1
    st.session_state[shown_key] = now
    st.session_state[page_key] = min(st.session_state.get(page_key, 1), num_pages)
    page = st.session_state[page_key]
    start = (page - 1) * PER_PAGE
    gallery(
        images.subset(positions[start : start + PER_PAGE]),
        int(images.index[position]),
        key=f"attack.gallery.{where}",
        on_pick=pick,
    )
    _page_controls(images, positions, page, num_pages, page_key, key)
    return position


def _page_controls(
    images: ImageSet, positions: Tensor, page: int, num_pages: int, page_key: str, image_key: str
) -> None:
    def turn(step: int) -> None:
        st.session_state[page_key] = page + step

    def pick_random() -> None:
        choice = int(positions[random.randrange(len(positions))])
        st.session_state[image_key] = int(images.index[choice])

    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        st.button(
            "",
            icon=":material/chevron_left:",
            help="Previous images",
            disabled=page == 1,
            on_click=turn,
            args=(-1,),
            key="attack.previous",
        )
        st.caption(f"{page} / {num_pages}", width="content")
        st.button(
            "",
            icon=":material/chevron_right:",
            help="Next images",
            disabled=page == num_pages,
            on_click=turn,
            args=(1,),
            key="attack.next",
        )
        st.button(
            "Random",
            icon=":material/casino:",
            disabled=not len(positions),
            on_click=pick_random,
            key="attack.random",
        )


def _keep_upload() -> None:
    """Keep what the uploader holds, which forgets it on another page; forget it if it is empty."""
    given = st.session_state.get(UPLOAD_KEY)
    kept_one = None if given is None else _Upload(given.name, given.getvalue())
    st.session_state[KEPT_UPLOAD_KEY] = kept_one


def _uploaded(info: CheckpointInfo) -> ChosenImage | None:
    channels, height, width = info.image_shape
    kind = "grey" if channels == 1 else "colour"
    given = st.file_uploader(
        f"PNG or JPEG, cropped and resized to {width} x {height} pixels, {kind}",
        type=UPLOAD_TYPES,
        max_upload_size=20,
        key=UPLOAD_KEY,
        on_change=_keep_upload,
    )
    file = st.session_state.get(KEPT_UPLOAD_KEY)
    if file is not None and given is None:  # given on another page
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(in_markdown(file.name), width="content")
            st.button("Remove", icon=":material/close:", on_click=_keep_upload, key="attack.forget")
    if file is None:
        st.info("Choose a picture to attack. It stays on this computer.", icon=":material/image:")
        return None
    x = decode_image(file.content, info.image_shape)
    model = models.load_model(info)
    own = int(predict_logits(model, x[None]).argmax())
    label = st.selectbox(
        "True class",
        [ALL_CLASSES, *range(info.num_classes)],
        format_func=lambda k: (
            f"{info.class_names[own]} (predicted by the model)" if k < 0 else info.class_names[k]
        ),
        **kept(f"attack.uploaded_label.{info.config.data.name}"),
    )
    if label == ALL_CLASSES:
        st.warning(OUTSIDE.format(own=in_markdown(info.class_names[own])), icon=":material/help:")
    return ChosenImage(x, own if label == ALL_CLASSES else label, None)
