"""Why something of the other server is told of, in the words that an operator reads."""

from typing import Final

# Tenants and what is in them

NO_CONFIG: Final = "Data of tenants that have no app config"
BAD_CONFIG: Final = "App configs with mistakes: correct them there, or give a corrected file with --config"
TENANT_EXISTS: Final = "Tenants whose id one has here that was not taken over from that server"
NOT_THERE: Final = "Tenants that were asked for and are not there"
ARTIFACT_TAKEN: Final = (
    "Artifact ids that another tenant has here: printed QR codes of these tenants have to be replaced"
)
ARTIFACT_ODD: Final = "Tenants without an artifact id that can be kept: they have a new one"
ARTIFACT_CHANGED: Final = "Artifact ids that changed there since: here the first one is kept"
CONFIG_ON_BOTH: Final = "App configs that were changed there and here since: this server's own is kept"
CUSTOM_TYPES: Final = "Types of events of the app's own: named in customEventTypes, so that phones go on getting them"
CUSTOM_SINCE: Final = "Types of events of the app's own that are not in customEventTypes: phones are not sent them"
ARCHIVED: Final = "App configs that were archived there: their tenants are suspended here"
BAD_EVENT: Final = "Events that cannot be events: kept in the quarantine"
BAD_ENTRY: Final = "Entries of the audit log that cannot be read: kept in the quarantine"
WAITING: Final = "Events that wait for a record which no event makes"
UNKNOWN_PAIR: Final = "Pairs of duplicates of which a record does not live"
NO_MEMBER: Final = "Members of groups that do not live"
MADE_RECORD: Final = "Records that no event explains: made as that server shows them"
MADE_FIELDS: Final = "Fields that no event explains: added as that server shows them"
SEED_LOADED: Final = "Rows of seed data of which that server has no record: loaded"

# Accounts

BAD_HASH: Final = "Accounts whose password is kept in a way that cannot be checked here"
UNREADABLE_ACCOUNT: Final = "Accounts that cannot be read"
BAD_EMAIL: Final = "Accounts whose name is no e-mail address"
SAME_EMAIL: Final = "Accounts whose e-mail address another one has in other capitals"
KNOWN_EMAIL: Final = "Accounts that exist here: they keep the password of this server and get the memberships"
ODD_ROLE: Final = "Accounts with a role that is not known: they can sign in but are member of no tenant"
NO_TENANT: Final = "Accounts without a tenant: they can sign in but are member of none"
NOT_OPERATOR: Final = "Accounts that were to be operators and were not made so"

# Records that differ

UNREADABLE: Final = "Records that cannot be read"
LOST_THERE: Final = "Records that the log holds and that server has lost"
DELETED_HERE: Final = "Records that the log deletes and that server still shows"
NOT_APPLIED: Final = "Records to which that server did not apply every event of its log"
OTHER_ORDER: Final = "Records that the log, in the order of its times, makes otherwise"
REFUSED_EVENT: Final = "Records about which an event was refused"
OTHER_MEMBERS: Final = "Groups that have other members there than the log gives them, or such as do not live"
CHANGED_HERE: Final = "Records that were changed on this server since"
NOT_MADE: Final = "Records that could not be made"
