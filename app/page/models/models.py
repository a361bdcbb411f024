"""The page of models: all that there are, and bringing one from elsewhere."""

from app.page.models.bring import bring_model
from app.page.models.link import LINK, VIEW
from app.page.models.table import show_table
from app.ui import visitor
from app.ui.page import input_errors, open_head

STORY = (
    "All models of this laboratory with what was measured on them: the accuracy as reported beside "
    "the lowest measured. Bring your own or a published one, and compare its numbers here."
)


def main() -> None:
    """Draw the page."""
    corner = open_head("Models", STORY)
    LINK.warn()
    view = VIEW.segmented("View", bare=True)
    if view == "bring":
        with input_errors():
            visitor.check("import")
            bring_model()
    else:
        show_table()
    with corner:
        LINK.button()


main()
