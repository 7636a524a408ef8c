"""What is wrong on our side: parts that do not answer, faults nobody foresaw, settings and models that cannot be used."""

from __future__ import annotations

from contract.error_root import UnclipError


class OutageError(UnclipError):
    """A part this service stands on does not answer."""

    status = 503
    type = "server_error"
    code = "unavailable"
    retry_after_seconds = 5


class QueueDown(OutageError):
    """The queue (Redis or Valkey) does not answer."""

    code = "queue_unavailable"

    def __init__(self, reason: str = "") -> None:
        # The reason may hold addresses: it is for the log, never for the reply.
        super().__init__("the job queue does not answer; try again shortly")
        self.reason = reason


class StoreDown(OutageError):
    """The image store does not answer, or refuses to keep a picture."""

    code = "store_unavailable"

    def __init__(self, reason: str = "") -> None:
        super().__init__("the image store does not answer; try again shortly")
        self.reason = reason


class FilterDown(OutageError):
    """A content filter broke. What nobody has looked at is neither taken in nor given out."""

    code = "filter_unavailable"

    def __init__(self, reason: str = "") -> None:
        super().__init__("the content filter does not answer, and nothing is drawn unchecked; try again shortly")
        self.reason = reason


class WaitTimedOut(OutageError):
    """A caller waited as long as a reply may take; the job itself goes on."""

    status = 504
    code = "wait_timeout"

    def __init__(self, job_id: str, waited_seconds: float) -> None:
        super().__init__(f"job {job_id} is not done after {waited_seconds:.0f} s; it goes on, follow it at /v1/jobs/{job_id}")


# Faults on our side.


class ServerError(UnclipError):
    """Something went wrong on this side."""


class InternalError(ServerError):
    """A fault nobody foresaw; details are in the log under the request id."""

    def __init__(self) -> None:
        super().__init__("the server met an unexpected fault; the log has it under this reply's request id")


class OperationMissing(ServerError):
    """An operation that needs a part which the served model does not have."""

    status = 501
    type = "invalid_request_error"
    code = "operation_not_offered"

    def __init__(self, operation: str, part: str) -> None:
        super().__init__(f"{operation} needs {part}, which the served model does not have", param="operation")


class JobFailed(ServerError):
    """A job that a caller waited for ended without pictures."""

    code = "job_failed"

    def __init__(self, job_id: str, reason: str) -> None:
        super().__init__(f"job {job_id} failed: {reason}")


# What stops a process at start; no caller meets these.


class SettingsWrong(UnclipError):
    """A setting that is missing or cannot be used; the message names it."""

    code = "settings_wrong"


class ModelError(UnclipError):
    """A model folder that is missing, incomplete or of another format; stops a process at start."""

    code = "model_folder_invalid"
