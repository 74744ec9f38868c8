"""GET /metrics."""

from hmac import compare_digest

from server.kit.call import Answer, Call
from server.kit.problem import ProblemKind
from server.metrics.exposition import Exposition

NOT_SERVED = ProblemKind("metrics.off", 404, "This server does not serve metrics: METRICS_TOKEN is not set.")
TOKEN_NEEDED = ProblemKind("metrics.token-needed", 401, "Reading the metrics needs the token METRICS_TOKEN as Bearer.")


async def read_metrics(call: Call, *, exposition: Exposition, token: str | None) -> Answer:
    """The metrics for whoever shows the token. Raises `metrics.off` without one set, `metrics.token-needed`."""
    if token is None:
        raise NOT_SERVED()
    scheme, _, shown = call.authorization.partition(" ")
    if scheme.lower() != "bearer" or not compare_digest(shown.strip().encode(), token.encode()):
        raise TOKEN_NEEDED()
    return Answer(exposition.render(), media_type=exposition.media_type)
