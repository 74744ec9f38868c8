"""What can be wrong with a request about tenants."""

from server.kit.problem import ProblemKind

UNKNOWN_TENANT = ProblemKind("tenants.unknown", 404, "There is no such tenant.")
NO_FILE = ProblemKind("tenants.no-file", 400, "No JSON file uploaded")
OTHER_ID = ProblemKind("tenants.other-id", 400, "The id in the file is not the id in the address.")
ID_TAKEN = ProblemKind("tenants.id-taken", 409, "This id is in use. Choose another one.")
WRONG_STATE = ProblemKind("tenants.wrong-state", 409, "The tenant's state does not allow this.")
NOT_MIGRATED = ProblemKind(
    "tenants.not-migrated", 503, "This tenant's data has not been brought to this server's version. Run: croft migrate"
)
STILL_KEPT = ProblemKind("tenants.still-kept", 409, "The tenant's data is kept until its retention time is over.")
UNKNOWN_VERSION = ProblemKind("tenants.unknown-version", 404, "The tenant has no config version with this number.")
UNKNOWN_ARTIFACT = ProblemKind("artifacts.unknown", 404, "There is no such artifact.")
NO_PUBLIC_ADDRESS = ProblemKind(
    "artifacts.no-public-address",
    421,
    "This server does not know its public address. Its operator sets PUBLIC_BASE_URL, or adds this host to "
    "ALLOWED_HOSTS.",
)
