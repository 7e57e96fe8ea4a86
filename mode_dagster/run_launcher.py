"""Dagster's own way of starting runs, and of noticing that one went down with its code server.

Here: the class that deploy/dagster.yaml names.
Not here: what becomes of a run that failed (dagster.yaml's `run_retries`).

Dagster 1.13 starts runs as processes of the code server, which reports those that die. When it dies itself (out of
memory, the machine restarted), nobody does, and the run counts as running until `max_runtime_seconds`. And a run whose
turn comes while the code server waits for another one before it goes (a new release) would fail, and not be started
again, because that needs the code server, too. Kubernetes needs none of this: its launcher looks after the pods.
"""

from dagster import DagsterRun
from dagster._core.errors import DagsterLaunchFailedError, DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, LaunchRunContext, WorkerStatus
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster_shared.serdes import deserialize_value

IT_SHUTS_DOWN = "after telling it to shut down"
"""What a code server says of a run that it does not start because it is about to go."""


class WatchedRunLauncher(DefaultRunLauncher):
    """Asks the code server, which has an address that outlives it, whether it runs what it was given."""

    def launch_run(self, context: LaunchRunContext) -> None:
        """Starts a run.

        Raises:
            DagsterUserCodeUnreachableError: The code server is about to go, so that the run returns to the queue
                (`max_user_code_failure_retries` of dagster.yaml).
        """
        try:
            super().launch_run(context)
        except DagsterLaunchFailedError as error:
            if IT_SHUTS_DOWN in str(error):
                raise DagsterUserCodeUnreachableError(str(error)) from error
            raise

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
