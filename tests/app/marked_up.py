"""A data set, models and runs whose every name is full of markup, and where a page draws it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import Message
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Block, Node

from robust_core.checkpoints.card import Card
from robust_core.checkpoints.catalog import save_checkpoint
from robust_core.models.base import create_model
from tests.training.conftest import tiny_config

MARKUP = (
    "[zq](http:e)",
    "![zq](e)",
    "<b>zq</b>",
    "<img src=zq>",
    ":red[zq]",
    "$zq$",
    "`zq`",
    "**zq**",
    "~~zq~~",
    "%{y}<a>zq</a>",
)
ALL = " ".join(MARKUP)
CLASS_NAMES = tuple(f"{k} {ALL}" for k in range(10))  # at most 100 characters
NAME = "**zq** <img src=zq> $zq$ :red[zq]"  # of files: no slash, and short
SAMPLER = {"backbone": "small_cnn", "backbone_width": 4, "normalisation": "digits", "num_views": 4}
NETWORKS: dict[str, dict[str, Any]] = {
    "small_cnn": {"width": 4},
    "retinotopic": SAMPLER,
}


def make_home(root: Path) -> None:
    """Write the data set `NAME` and a network of each kind, "`NAME` <network>", with notes."""
    pixels, y = np.random.default_rng(0), np.tile(np.arange(len(CLASS_NAMES)), 12)
    arrays = {"class_names": np.array(CLASS_NAMES)}
    for part in ("train", "test"):
        arrays |= {f"x_{part}": pixels.integers(0, 256, (len(y), 32, 32), dtype=np.uint8)}
        arrays |= {f"y_{part}": y}
    np.savez(root / f"{NAME}.npz", allow_pickle=False, **arrays)
    (root / "pretrained").mkdir()
    for network, parameters in NETWORKS.items():
        save_checkpoint(
            root / "pretrained" / f"{NAME} {network}.safetensors",
            create_model(network, (1, 32, 32), len(CLASS_NAMES), parameters),
            config=tiny_config(
                data={"name": NAME},
                model={"name": network, "parameters": parameters},
                method={"name": "standard", "parameters": {}},
                title=ALL[:90],
            ),
            class_names=CLASS_NAMES,
            epoch=1,
            card=Card.create(_card()),
        )


def _card() -> dict[str, Any]:
    finding = {"name": "converged", "severity": "warn", "value": 0.2, "threshold": 0.02}
    return {
        "split": "test",
        "num_images": 10,
        "clean_accuracy": 0.5,
        "clean_interval": [0.2, 0.8],
        "robust": [
            {
                "attack": {"name": "fgsm", "parameters": {}},
                "accuracy": 0.1,
                "interval": [0.0, 0.4],
                "num_images": 10,
                "findings": [finding | {"sentence": ALL, "advice": ALL, "cause": ALL[:60]}],
                "notes": [ALL],
            }
        ],
        "notes": [ALL],
        "epoch": 1,
        "seed": 0,
        "versions": {},
    }


AS_IT_IS = {  # message -> fields that are drawn as they are, or not at all
    "Selectbox": {"options", "raw_value"},
    "MultiSelect": {"options", "raw_values"},
    "TextInput": {"default", "value"},
    "Radio": {"raw_value"},
    "ButtonGroup": {"raw_values"},
    "Code": {"code_text"},
    "BidiComponent": {"json"},
    "PageLink": {"query_string"},
    "DownloadButton": {"url"},
    "VegaLiteChart": {"spec"},
    "Image": {"url"},
}
HTML = {"PlotlyChart.spec", "Html.body"}
IN_HTML = [mark for mark in MARKUP if "<" in mark or "$" in mark]
NOT_DRAWN = {"id", "key", "alt", "form_id", "element_id", "query_param_key", "raw_value"}


def marked_up(page: AppTest) -> list[str]:
    """Return the drawn texts of a page in which markup from outside is markup."""
    found = []
    for where, text in _texts(page._tree):
        marks = IN_HTML if where in HTML else MARKUP
        wrong = [mark for mark in marks if mark in text]
        found += [f"{where}: {mark} in {text[:300]}" for mark in wrong]
    return found


def _texts(node: Node) -> Iterator[tuple[str, str]]:
    if isinstance(node, Block):
        if isinstance(getattr(node, "proto", None), Message):
            yield from _strings(node.proto)
        for child in node.children.values():
            yield from _texts(child)
    elif isinstance(getattr(node, "proto", None), Message):
        yield from _strings(node.proto)
        if node.type == "table":
            cells = node.value.reset_index().astype(str).to_numpy().ravel()
            yield from (("Table.cell", str(cell)) for cell in cells)


def _strings(message: Message) -> Iterator[tuple[str, str]]:
    kind = message.DESCRIPTOR.name
    for field, value in message.ListFields():
        if field.name in AS_IT_IS.get(kind, set()) | NOT_DRAWN:
            continue
        for one in value if field.is_repeated else [value]:
            if isinstance(one, str):
                yield f"{kind}.{field.name}", one.replace("\\u003c", "<").replace("\\u003e", ">")
            elif isinstance(one, Message):
                yield from _strings(one)
