"""Dagster's own way of starting runs, and of noticing that one went down with its code server.

Here: the class that deploy/dagster.yaml names.
Not here: what becomes of a run that failed (dagster.yaml's `run_retries`).

Dagster 1.13 starts runs as processes of the code server, which reports those that die. When it dies itself (out of
memory, the machine restarted), nobody does, and the run counts as running until `max_runtime_seconds`. Kubernetes needs
none of this: its launcher looks after the pods.
"""

from dagster import DagsterRun
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster_shared.serdes import deserialize_value


class WatchedRunLauncher(DefaultRunLauncher):
    """Asks the code server, which has an address that outlives it, whether it runs what it was given."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Yes, so that run monitoring asks."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Failed, if the code server answers and does not know the run.

        A server that does not answer says nothing of a run: it may be busy, or be about to start.
        """
        client = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
        if client is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "no code server is known")
        try:
            answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id))
        except DagsterUserCodeUnreachableError:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "the code server does not answer")
        if deserialize_value(answer, CanCancelExecutionResult).can_cancel:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, "its code server was restarted and does not know it")
