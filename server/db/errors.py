"""What an error of the database means to a caller."""

import asyncpg

from server.kit.problem import Problem, ProblemKind

TRY_AGAIN = ProblemKind("database.try-again", 503, "The server is busy with the same records. Try again in a moment.")
UNAVAILABLE = ProblemKind("database.unavailable", 503, "The database cannot be reached. Try again in a moment.")
TAKEN = ProblemKind("database.taken", 409, "This exists already.")
STATEMENT_TOOK_TOO_LONG = ProblemKind("database.timeout", 503, "This took too long and was given up.")

OUT_OF_RANGE = ProblemKind("request.out-of-range", 400, "The request holds a value that is too large to be kept.")
NOT_TEXT = ProblemKind("request.not-text", 400, "The request holds a character that no text can hold.")

_SOON = {"Retry-After": "1"}


def problem_of(error: BaseException) -> Problem | None:
    """The problem that a database error is to a caller; None for one that is a fault of ours."""
    match error:
        case (
            asyncpg.DeadlockDetectedError()
            | asyncpg.SerializationError()
            | asyncpg.LockNotAvailableError()
            | asyncpg.InvalidCachedStatementError()
        ):
            return TRY_AGAIN(headers=_SOON)
        case asyncpg.UniqueViolationError():
            return TAKEN()
        case asyncpg.QueryCanceledError():
            return STATEMENT_TOOK_TOO_LONG(headers=_SOON)
        case (
            asyncpg.PostgresConnectionError()
            | asyncpg.CannotConnectNowError()
            | asyncpg.AdminShutdownError()
            | asyncpg.CrashShutdownError()
            | asyncpg.TooManyConnectionsError()
            | OSError()
        ):
            return UNAVAILABLE(headers=_SOON)
        case _:
            return _problem_of_value(error)


def _problem_of_value(error: BaseException) -> Problem | None:
    """For a value that no column holds. Where asyncpg says so and not the database, its cause tells what is wrong."""
    match error:
        case asyncpg.CharacterNotInRepertoireError() | asyncpg.UntranslatableCharacterError():
            return NOT_TEXT()
        case asyncpg.DataError(__cause__=UnicodeError()):
            return NOT_TEXT()
        case asyncpg.NumericValueOutOfRangeError() | asyncpg.DatetimeFieldOverflowError():
            return OUT_OF_RANGE()
        case asyncpg.DataError(__cause__=OverflowError()):
            return OUT_OF_RANGE()
        case _:
            return None
