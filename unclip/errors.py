"""What can go wrong on the command line, beside the errors of the service.

UnclipError                (contract/errors.py)
├─ SettingsWrong           (contract/errors.py) a variable or option that cannot be used: exit code 2
└─ CommandError            exit code 1
   ├─ DataFolderInUse      another `unclip serve` holds the data folder
   ├─ StartFailed          a part of the service did not come up
   ├─ ServiceUnreachable   nothing answers at the address, or no longer
   └─ ApiError             the service answered with an error
"""

from __future__ import annotations

from contract.errors import UnclipError


class CommandError(UnclipError):
    """A command could not do what it was asked to."""

    code = "command_failed"


class DataFolderInUse(CommandError):
    """Two services on one data folder would write the same queue file."""

    code = "data_folder_in_use"


class StartFailed(CommandError):
    """A part of the service stopped, or did not answer, while starting."""

    code = "start_failed"


class ServiceUnreachable(CommandError):
    """No HTTP answer came from the address."""

    code = "service_unreachable"


class ApiError(CommandError):
    """An error reply, with what the service said: HTTP status, code, param and the request id to look up in its log."""

    def __init__(self, status_code: int, message: str, *, code: str, param: str | None, request_id: str | None) -> None:
        super().__init__(message, param=param)
        self.status_code = status_code
        self.api_code = code
        self.request_id = request_id

    def __str__(self) -> str:
        about = [f"HTTP {self.status_code}", self.api_code]
        if self.request_id:
            about.append(f"request {self.request_id}")
        return f"{self.message} ({', '.join(about)})"
