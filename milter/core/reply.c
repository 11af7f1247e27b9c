#include "core/reply.h"

#define RECIPIENT_MAX 80

enum reply_row {
    ROW_CONSENT,
    ROW_STOP,
    ROW_PURPOSE,
    ROW_RETIRED,
    ROW_BULK,
    ROW_HALTED,
    ROW_CONTRADICTED,
    ROW_DISHONEST,
    ROW_TOO_MANY,
    ROW_SYNTAX,
    ROW_AMBIGUOUS,
    ROW_OTHER,
    ROW_TROUBLE,
    ROW_BROKEN,
    ROW_LIMIT
};

static const struct {
    const char *code;
    const char *xcode;
    const char *text;           /* what is missing */
    const char *before_purpose; /* what joins the purpose to it; NULL: the purpose is not named */
} rows[] = {
    [ROW_CONSENT] = {"550", "5.7.1", "no consent on record", " for "},
    [ROW_STOP] = {"550", "5.7.1", "recipient is in the suppression list", " for "},
    [ROW_PURPOSE] = {"550", "5.7.1", "purpose unknown: the message matches no stream with a registered purpose", NULL},
    [ROW_RETIRED] = {"550", "5.7.1", "the purpose was retired", ": "},
    [ROW_BULK] = {"550", "5.7.1", "undeclared bulk mail: it belongs to no stream", NULL},
    [ROW_HALTED] = {"550", "5.7.1", "halted by the administrator", ": "},
    [ROW_CONTRADICTED] = {"550", "5.7.1", "List-Id or From contradict the purpose that the message declares", ", "},
    [ROW_DISHONEST] = {"550", "5.7.1", "a service message carries the marks of bulk mail", NULL},
    [ROW_TOO_MANY] = {"550", "5.7.1", "more recipients than one message may have", " for "},
    [ROW_SYNTAX] = {"550", "5.1.3", "recipient cannot be parsed as an address", NULL},
    [ROW_AMBIGUOUS] = {"550", "5.7.1", "recipient address is ambiguous; use the plain form user@domain", NULL},
    [ROW_OTHER] = {"550", "5.7.1", "permitted, but another recipient of the same message is not", NULL},
    [ROW_TROUBLE] = {"451", "4.3.0", "consent cannot be checked now, try again later", NULL},
    [ROW_BROKEN] = {"451", "4.3.5", "consent filter is not configured correctly, try again later", NULL},
    [ROW_LIMIT] = {"452", "4.5.3", "too many recipients or headers for one message, send fewer at a time", NULL},
};

/* The text for anyone but the stream's own sender is the same for all subjects who may not be written to: it must not
 * tell who withdrew and who never consented. */
static const char discreet_text[] = "no consent on record, or recipient is in the suppression list,";

static enum reply_row row_of(enum cm_reason reason)
{
    switch (reason) {
    case CM_REASON_NO_CONSENT:
    case CM_REASON_REQUEST_OPEN:
    case CM_REASON_LAPSED:
    case CM_REASON_OLDER_STATEMENT:
    case CM_REASON_BASIS_NOT_ACCEPTED:
    case CM_REASON_NOT_YET:
    case CM_REASON_DORMANT: return ROW_CONSENT;
    case CM_REASON_RESTRICTED:
    case CM_REASON_DECEASED:
    case CM_REASON_MINOR:
    case CM_REASON_SUSPENDED:
    case CM_REASON_REFUSED:
    case CM_REASON_WITHDRAWN:
    case CM_REASON_OBJECTED:
    case CM_REASON_COMPLAINED:
    case CM_REASON_BOUNCED:
    case CM_REASON_ERASED: return ROW_STOP;
    case CM_REASON_PURPOSE_UNKNOWN: return ROW_PURPOSE;
    case CM_REASON_PURPOSE_RETIRED: return ROW_RETIRED;
    case CM_REASON_UNDECLARED_BULK: return ROW_BULK;
    case CM_REASON_HALTED: return ROW_HALTED;
    case CM_REASON_CONTRADICTED: return ROW_CONTRADICTED;
    case CM_REASON_SERVICE_DISHONEST: return ROW_DISHONEST;
    case CM_REASON_TOO_MANY_RECIPIENTS: return ROW_TOO_MANY;
    case CM_REASON_RECIPIENT_UNPARSABLE: return ROW_SYNTAX;
    case CM_REASON_RECIPIENT_AMBIGUOUS: return ROW_AMBIGUOUS;
    case CM_REASON_OTHER_RECIPIENT: return ROW_OTHER;
    case CM_REASON_CONFIGURATION: return ROW_BROKEN;
    case CM_REASON_LIMIT: return ROW_LIMIT;
    case CM_REASON_UNSET:
    case CM_REASON_EXPRESS:
    case CM_REASON_IMPLIED:
    case CM_REASON_SOFT_OPTIN:
    case CM_REASON_ASSERTED:
    case CM_REASON_REQUEST:
    case CM_REASON_SERVICE:
    case CM_REASON_NOT_OURS:
    case CM_REASON_TROUBLE:
    case CM_REASON_COUNT: break;
    }
    return ROW_TROUBLE; /* anything without a row of its own is "don't know" */
}

static void add_clean(struct cm_text *text, struct cm_span raw)
{
    bool cut = raw.len > RECIPIENT_MAX;
    for (size_t i = 0; i < raw.len && i < RECIPIENT_MAX; i++) {
        char c = raw.p[i];
        cm_text_add_char(text, c > ' ' && c < 0x7f ? c : '?');
    }
    if (cut) {
        cm_text_add_str(text, "...");
    }
}

/* What must stand whole, for it explains the refusal later (LAW-13): with a purpose of 128 and a URL of 120 bytes it
 * leaves more than 40 bytes of the line to the recipients. */
static void add_explanation(struct cm_text *text, enum reply_row row, const struct cm_reply_facts *facts)
{
    bool about_subject = row == ROW_CONSENT || row == ROW_STOP;
    cm_text_add_str(text, about_subject && !facts->tell_state ? discreet_text : rows[row].text);
    if (rows[row].before_purpose != NULL && facts->purpose != NULL && facts->purpose[0] != '\0') {
        cm_text_add_format(text, "%s%s", rows[row].before_purpose, facts->purpose);
    }
    cm_text_add_format(text, " (id %s)", facts->decision_id);
    if (facts->url != NULL) {
        cm_text_add_format(text, " see %s", facts->url);
    }
}

/* Recipients take what room the explanation leaves. */
static void add_recipients(struct cm_text *text, const struct cm_reply_facts *facts)
{
    for (size_t i = 0; i < facts->recipient_count; i++) {
        if (facts->recipients[i].len > 0) {
            add_clean(text, facts->recipients[i]);
            cm_text_add_char(text, ' ');
        }
    }
    if (facts->more > 0) {
        cm_text_add_format(text, "and %zu more ", facts->more);
    }
    if (text->truncated && text->len > 0) {
        text->p[text->len - 1] = ' ';
    }
}

void cm_reply_make(const struct cm_reply_facts *facts, struct cm_reply *out)
{
    const struct cm_decision *decision = facts->decision;
    char explanation[CM_REPLY_TEXT_MAX + 1];
    *out = (struct cm_reply){0};
    if (decision->verdict == CM_VERDICT_ACCEPT) {
        return;
    }
    enum reply_row row = row_of(decision->reason);
    if (decision->verdict != CM_VERDICT_REFUSE && rows[row].code[0] != '4') {
        row = ROW_TROUBLE; /* LAW-1, LAW-2: neither a deferral nor "undecided" is told as a refusal, or passes */
    }
    out->code = rows[row].code;
    out->xcode = rows[row].xcode;
    struct cm_text tail = cm_text_over(explanation, sizeof(explanation));
    add_explanation(&tail, row, facts);
    struct cm_text head = cm_text_over(out->text, sizeof(out->text) - tail.len);
    add_recipients(&head, facts);
    struct cm_text all = {.p = out->text, .len = head.len, .size = sizeof(out->text)};
    cm_text_add(&all, (struct cm_span){tail.p, tail.len});
}

void cm_reply_escape(const char *text, char *out, size_t size)
{
    struct cm_text escaped = cm_text_over(out, size);
    for (; *text != '\0'; text++) {
        if (*text == '%') {
            cm_text_add_char(&escaped, '%');
        }
        cm_text_add_char(&escaped, *text);
    }
}
