#include "core/decision.h"

static const struct {
    const char *name;
    const char *explanation;
} rows[CM_REASON_COUNT] = {
    [CM_REASON_UNSET] = {"undecided", "Nothing was decided; this is a bug."},
    [CM_REASON_EXPRESS] = {"express", "The subject gave express consent for this purpose."},
    [CM_REASON_IMPLIED] = {"implied", "Consent is implied by a dated relationship, and the stream accepts that."},
    [CM_REASON_SOFT_OPTIN] = {"soft_optin", "A customer was told and did not refuse, and the stream accepts that."},
    [CM_REASON_ASSERTED] = {"asserted", "The sender asserts consent without proof, and the stream accepts that."},
    [CM_REASON_REQUEST] = {"request", "The subject asked to opt in; this message asks for the confirmation."},
    [CM_REASON_SERVICE] = {"service", "The stream carries service messages; the store is not asked."},
    [CM_REASON_NOT_OURS] = {"not_ours", "No stream claims this session."},
    [CM_REASON_NO_CONSENT] = {"no_consent", "There is no consent of this subject for this purpose."},
    [CM_REASON_REQUEST_OPEN] = {"request_open", "The subject was asked and has not confirmed."},
    [CM_REASON_LAPSED] = {"lapsed", "The consent or the request has lapsed."},
    [CM_REASON_OLDER_STATEMENT] = {"older_statement",
                                   "Consent was given under a statement that has changed materially."},
    [CM_REASON_BASIS_NOT_ACCEPTED] = {"basis_not_accepted",
                                      "There is consent on a basis that this stream does not accept."},
    [CM_REASON_NOT_YET] = {"not_yet", "The consent is dated in the future."},
    [CM_REASON_DORMANT] = {"dormant",
                           "Consent was not used for longer than the purpose allows; ask the subject again."},
    [CM_REASON_RESTRICTED] = {"restricted", "A legal restriction forbids it; only the rank that set it can end it."},
    [CM_REASON_DECEASED] = {"deceased", "The subject was reported dead; only the rank that set this can end it."},
    [CM_REASON_MINOR] = {"minor", "The subject is a minor, and no guardian gave consent for this purpose."},
    [CM_REASON_SUSPENDED] = {"suspended", "A dispute or complaint case is open; it must be closed first."},
    [CM_REASON_REFUSED] = {"refused", "The subject refused when asked."},
    [CM_REASON_WITHDRAWN] = {"withdrawn", "The subject withdrew; only the subject can opt in again."},
    [CM_REASON_OBJECTED] = {"objected", "The subject objected; only the subject can opt in again."},
    [CM_REASON_COMPLAINED] = {"complained", "The subject complained; only the subject can opt in again."},
    [CM_REASON_BOUNCED] = {"bounced",
                           "The mailbox does not exist or is disabled; this lapses, or the subject opts in again."},
    [CM_REASON_ERASED] = {"erased", "The subject's data were erased; only the subject can opt in again."},
    [CM_REASON_PURPOSE_UNKNOWN] = {"purpose_unknown",
                                   "The message belongs to no stream, or declares no registered purpose."},
    [CM_REASON_PURPOSE_RETIRED] = {"purpose_retired", "The purpose was retired; nothing is sent for it."},
    [CM_REASON_UNDECLARED_BULK] = {"undeclared_bulk",
                                   "Bulk mail of our own users that belongs to no stream is marketing."},
    [CM_REASON_HALTED] = {"halted", "The sender or purpose was halted; consentctl daemon halt --end lets it go on."},
    [CM_REASON_CONTRADICTED] = {"contradicted",
                                "List-Id or From of the message say something else than the purpose it declares."},
    [CM_REASON_SERVICE_DISHONEST] = {"service_dishonest",
                                     "A message of a service stream carries the marks of bulk mail."},
    [CM_REASON_TOO_MANY_RECIPIENTS] = {"too_many_recipients",
                                       "The message has more recipients than the stream allows."},
    [CM_REASON_RECIPIENT_UNPARSABLE] = {"recipient_unparsable", "The recipient is not an address."},
    [CM_REASON_RECIPIENT_AMBIGUOUS] = {"recipient_ambiguous",
                                       "The mail server reads another mailbox out of the recipient."},
    [CM_REASON_OTHER_RECIPIENT] = {"other_recipient", "Another recipient of the same message is not permitted."},
    [CM_REASON_TROUBLE] = {"trouble", "The store could not answer, so we do not know."},
    [CM_REASON_CONFIGURATION] = {"configuration",
                                 "The stream names a sender or purpose that is not registered in the store."},
    [CM_REASON_LIMIT] = {"limit", "A ceiling was reached; send fewer recipients or smaller headers."},
};

/* The law that speaks in each reason, as DESIGN counts them; 0: none. */
static const unsigned char laws[CM_REASON_COUNT] = {
    [CM_REASON_EXPRESS] = 8,
    [CM_REASON_IMPLIED] = 14,
    [CM_REASON_SOFT_OPTIN] = 14,
    [CM_REASON_ASSERTED] = 14,
    [CM_REASON_REQUEST] = 7,
    [CM_REASON_SERVICE] = 2,
    [CM_REASON_NOT_OURS] = 1,
    [CM_REASON_NO_CONSENT] = 8,
    [CM_REASON_REQUEST_OPEN] = 7,
    [CM_REASON_LAPSED] = 7,
    [CM_REASON_OLDER_STATEMENT] = 9,
    [CM_REASON_BASIS_NOT_ACCEPTED] = 14,
    [CM_REASON_NOT_YET] = 3,
    [CM_REASON_DORMANT] = 7,
    [CM_REASON_RESTRICTED] = 5,
    [CM_REASON_DECEASED] = 5,
    [CM_REASON_MINOR] = 15,
    [CM_REASON_SUSPENDED] = 5,
    [CM_REASON_REFUSED] = 4,
    [CM_REASON_WITHDRAWN] = 4,
    [CM_REASON_OBJECTED] = 4,
    [CM_REASON_COMPLAINED] = 4,
    [CM_REASON_BOUNCED] = 4,
    [CM_REASON_ERASED] = 4,
    [CM_REASON_PURPOSE_UNKNOWN] = 1,
    [CM_REASON_PURPOSE_RETIRED] = 1,
    [CM_REASON_UNDECLARED_BULK] = 14,
    [CM_REASON_HALTED] = 16,
    [CM_REASON_CONTRADICTED] = 1,
    [CM_REASON_SERVICE_DISHONEST] = 14,
    [CM_REASON_TOO_MANY_RECIPIENTS] = 14,
    [CM_REASON_RECIPIENT_UNPARSABLE] = 1,
    [CM_REASON_RECIPIENT_AMBIGUOUS] = 1,
    [CM_REASON_OTHER_RECIPIENT] = 2,
    [CM_REASON_TROUBLE] = 2,
    [CM_REASON_CONFIGURATION] = 2,
    [CM_REASON_LIMIT] = 2,
};

const char *cm_verdict_name(enum cm_verdict verdict)
{
    static const char *const names[] = {"undecided", "accept", "refuse", "defer"};
    return (size_t)verdict < sizeof(names) / sizeof(names[0]) ? names[verdict] : "unknown";
}

const char *cm_reason_name(enum cm_reason reason)
{
    return (size_t)reason < CM_REASON_COUNT ? rows[reason].name : "unknown";
}

const char *cm_reason_explanation(enum cm_reason reason)
{
    return (size_t)reason < CM_REASON_COUNT ? rows[reason].explanation : "";
}

enum cm_verdict cm_reason_verdict(enum cm_reason reason)
{
    if (reason == CM_REASON_UNSET || reason >= CM_REASON_COUNT) {
        return CM_VERDICT_UNDECIDED;
    }
    if (reason < CM_REASON_NO_CONSENT) {
        return CM_VERDICT_ACCEPT;
    }
    return reason < CM_REASON_TROUBLE ? CM_VERDICT_REFUSE : CM_VERDICT_DEFER;
}

unsigned cm_reason_law(enum cm_reason reason)
{
    return (size_t)reason < CM_REASON_COUNT ? laws[reason] : 0;
}

const char *cm_law_text(unsigned law)
{
    static const char *const texts[] = {
        [1] = "nothing unknown passes",
        [2] = "three answers, never two: where we do not know, mail waits; service streams need no consent",
        [3] = "the newest event of a kind wins, and no grant is dated ahead of the store's clock",
        [4] = "stops go down, from everybody to sender, from sender to purpose; grants never do",
        [5] = "restrictions and suspensions end only by the rank that set them",
        [7] = "expiry is judged by the stored dates at the moment of the decision",
        [8] = "a grant is exact: this address, this sender, this purpose",
        [9] = "consent under a statement older than the latest material one stops permitting",
        [14] = "marketing needs express consent unless the stream accepts more, and undeclared bulk mail is marketing",
        [15] = "a minor is refused unless a guardian's consent is recorded",
        [16] = "whatever changes what is permitted leaves an event with its author",
    };
    return law < sizeof(texts) / sizeof(texts[0]) && texts[law] != NULL ? texts[law] : "";
}

bool cm_reason_by_name(struct cm_span name, enum cm_reason *out)
{
    for (unsigned i = 0; i < CM_REASON_COUNT; i++) {
        if (cm_span_equal(name, cm_span_of(rows[i].name))) {
            *out = (enum cm_reason)i;
            return true;
        }
    }
    return false;
}
