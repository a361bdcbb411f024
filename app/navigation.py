"""The table of pages."""

PAGES = {  # folder in app/page/ -> title and icon; a page is shown once its file exists
    "start": ("Start", ":material/home:"),
    "attack": ("Attack", ":material/bolt:"),
    "compare": ("Compare", ":material/compare:"),
    "gradients": ("Gradients", ":material/gradient:"),
    "retina": ("Retina", ":material/visibility:"),
    "hard_pairs": ("Hard pairs", ":material/grid_on:"),
    "latent": ("Latent space", ":material/scatter_plot:"),
    "robustness": ("Robustness", ":material/verified_user:"),
    "models": ("Models", ":material/inventory_2:"),
    "train": ("Train", ":material/fitness_center:"),
    "learn": ("Learn", ":material/school:"),
}


def page_script(name: str) -> str:
    """Return the script of a page, as Streamlit's links name it."""
    return f"page/{name}/{name}.py"
