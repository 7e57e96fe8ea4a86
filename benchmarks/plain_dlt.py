"""Mode with nothing but dlt's declarative REST source: what one gets from dltHub's page about Mode, made to work.

The page's paths, selectors and paging are corrected (spaces → reports → queries → charts, reports → runs → query
runs, data sources); rows are merged on `token`; children are fetched in parallel; nothing is incremental, because
Mode's lists of children have no cursor that a declaration could name.
Not here: the other lists that this project reads.

`python benchmarks/plain_dlt.py`, with the same settings as this project in the environment:
`SOURCES__MODE_ANALYTICS_SOURCE__BASE_URL`, `…__WORKSPACE`, `…__USERNAME`, `…__PASSWORD`,
`DESTINATION__DUCKDB__CREDENTIALS`.
"""

from collections.abc import Iterable
from typing import Any

import dlt
from dlt.extract import DltResource
from dlt.sources.rest_api import rest_api_resources

COUNTED = {"type": "page_number", "base_page": 1, "total_path": "pagination.total_pages"}
UNTIL_EMPTY = {"type": "page_number", "base_page": 1, "total_path": None, "stop_after_empty_page": True}
ONCE = {"type": "single_page"}
"""For lists that ignore `page`: a page number would ask for them for ever."""


def listing(name: str, path: str, selector: str = "", paginator: Any = ONCE, **params: str | int) -> dict[str, Any]:
    """One list of Mode's, its parents' tokens in the path."""
    endpoint = {"path": path, "data_selector": f"_embedded.{selector or name}", "paginator": paginator}
    return {"name": name, "parallelized": True, "endpoint": endpoint | ({"params": params} if params else {})}


@dlt.source
def mode_analytics_source(
    base_url: str = dlt.config.value,
    workspace: str = dlt.config.value,
    username: str = dlt.secrets.value,
    password: str = dlt.secrets.value,
) -> Iterable[DltResource]:
    report = "reports/{resources.reports.token}"
    runs = listing("runs", f"{report}/runs", "report_runs", COUNTED, per_page=30)
    return rest_api_resources(
        {
            "client": {
                "base_url": f"{base_url}/{workspace}/",
                "auth": {"type": "http_basic", "username": username, "password": password},
            },
            "resource_defaults": {"primary_key": "token", "write_disposition": "merge"},
            "resources": [
                listing("data_sources", "data_sources"),
                listing("spaces", "spaces", paginator=COUNTED, filter="all", per_page=30),
                listing("reports", "spaces/{resources.spaces.token}/reports", paginator=UNTIL_EMPTY, filter="all"),
                listing("queries", f"{report}/queries") | {"include_from_parent": ["token"]},
                listing(
                    "charts", "reports/{resources.queries._reports_token}/queries/{resources.queries.token}/charts"
                ),
                runs | {"include_from_parent": ["token"]},
                listing("query_runs", "reports/{resources.runs._reports_token}/runs/{resources.runs.token}/query_runs"),
            ],
        }
    )


def main() -> None:
    pipeline = dlt.pipeline("plain_dlt_pipeline", destination="duckdb", dataset_name="mode_analytics_data")
    print(pipeline.run(mode_analytics_source(), loader_file_format="parquet"))


if __name__ == "__main__":
    main()
