"""Pages and drawings of docs/ that are derived from the code, so that they stay true.

Here: what `mode-dagster docs` writes and the tests compare, a module a page.
Not here: pages that people write; the site that is made of all of them (mkdocs.yml, docs/hooks.py).
"""

from collections.abc import Mapping

from mode_dagster.documentation.checks import checks_page
from mode_dagster.documentation.diagram import tables_drawing
from mode_dagster.documentation.models import models_page
from mode_dagster.documentation.settings import configuration_page
from mode_dagster.documentation.tables import assets_page


def pages() -> Mapping[str, str]:
    """File name in docs/ → text."""
    return {
        "assets.md": assets_page(),
        "checks.md": checks_page(),
        "configuration.md": configuration_page(),
        "model-reference.md": models_page(),
        "tables.svg": tables_drawing(),
    }
