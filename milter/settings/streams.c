#include <string.h>

#include "core/pattern.h"
#include "internal.h"

#define SENDER_BYTES 64
#define NAME_BYTES 64
#define HEADER_NAME_BYTES 76

const struct cm_word cm_words_of_mode[] = {{"enforce", CM_MODE_ENFORCE}, {"observe", CM_MODE_OBSERVE}, {NULL, 0}};

static const struct cm_word words_of_class[] = {
    {"marketing", CM_CLASS_MARKETING},
    {"service", CM_CLASS_SERVICE},
    {"consent_request", CM_CLASS_CONSENT_REQUEST},
    {NULL, 0},
};

static const struct cm_word words_of_basis[] = {
    {"express", CM_BASIS_EXPRESS},
    {"implied", CM_BASIS_IMPLIED},
    {"soft_optin", CM_BASIS_SOFT_OPTIN},
    {"asserted", CM_BASIS_ASSERTED},
    {NULL, 0},
};

static const struct cm_word words_of_mixed[] = {
    {"reject", CM_MIXED_REJECT},
    {"remove", CM_MIXED_REMOVE},
    {"quarantine", CM_MIXED_QUARANTINE},
    {NULL, 0},
};

/* A stream as its group says, before the keys are weighed against each other. */
struct draft {
    struct cm_stream stream;
    unsigned class; /* unsigned, as the tables write words; moved into the stream's enums at the end */
    unsigned mode;
    unsigned mixed;
    const char *purpose_from;
    const config_setting_t *headers;
};

#define IN_DRAFT(member) offsetof(struct draft, member)

static const struct cm_key stream_keys[] = {
    {.path = "name",
     .type = CM_KEY_TEXT,
     .required = true,
     .min = 1,
     .max = NAME_BYTES,
     .offset = IN_DRAFT(stream.name),
     .right = "a name of its own, such as \"acme-news\"",
     .problem = cm_problem_of_name},
    {.path = "match.auth",
     .type = CM_KEY_PATTERNS,
     .offset = IN_DRAFT(stream.session.auth),
     .problem = cm_problem_of_session_pattern},
    {.path = "match.daemon",
     .type = CM_KEY_PATTERNS,
     .offset = IN_DRAFT(stream.session.daemon),
     .problem = cm_problem_of_session_pattern},
    {.path = "match.client", .type = CM_KEY_NETWORKS, .offset = IN_DRAFT(stream.session.client)},
    {.path = "match.local", .type = CM_KEY_FLAG, .offset = IN_DRAFT(stream.session.local)},
    {.path = "match.mail_from",
     .type = CM_KEY_PATTERNS,
     .offset = IN_DRAFT(stream.mail_from),
     .problem = cm_problem_of_mail_from_pattern},
    {.path = "match.headers",
     .type = CM_KEY_LIST,
     .offset = IN_DRAFT(headers),
     .right = "a list of groups, as in ( { name = \"List-Id\"; value = \"*\"; } )"},
    {.path = "sender",
     .type = CM_KEY_TEXT,
     .required = true,
     .min = 1,
     .max = SENDER_BYTES,
     .offset = IN_DRAFT(stream.sender),
     .right = "the sender's identifier, such as \"acme\"",
     .problem = cm_problem_of_id},
    {.path = "purpose",
     .type = CM_KEY_TEXT,
     .min = 1,
     .max = CM_LIMIT_PURPOSE_BYTES,
     .offset = IN_DRAFT(stream.purpose),
     .right = "a purpose, such as \"newsletter\" or \"offers/partners\""},
    {.path = "purpose_from",
     .type = CM_KEY_TEXT,
     .min = 1,
     .max = HEADER_NAME_BYTES + 7,
     .offset = IN_DRAFT(purpose_from),
     .right = "\"mail_from\" or \"header:NAME\""},
    {.path = "class",
     .type = CM_KEY_WORD,
     .offset = IN_DRAFT(class),
     .number = CM_CLASS_MARKETING,
     .words = words_of_class},
    {.path = "mode",
     .type = CM_KEY_WORD,
     .offset = IN_DRAFT(mode),
     .number = CM_MODE_ENFORCE,
     .words = cm_words_of_mode},
    {.path = "accept_basis",
     .type = CM_KEY_WORDS,
     .min = 1,
     .offset = IN_DRAFT(stream.accept_basis),
     .number = CM_BASIS_EXPRESS,
     .right = "a list, as in [\"express\", \"implied\"]",
     .words = words_of_basis},
    {.path = "mixed",
     .type = CM_KEY_WORD,
     .offset = IN_DRAFT(mixed),
     .number = CM_MIXED_REJECT,
     .words = words_of_mixed},
    {.path = "max_recipients", .type = CM_KEY_COUNT, .max = 100000, .offset = IN_DRAFT(stream.max_recipients)},
    {.path = "list_id",
     .type = CM_KEY_PATTERNS,
     .offset = IN_DRAFT(stream.list_id),
     .problem = cm_problem_of_header_identity},
    {.path = "from",
     .type = CM_KEY_PATTERNS,
     .offset = IN_DRAFT(stream.from),
     .problem = cm_problem_of_header_identity},
};

static const struct cm_key_table stream_table = {
    .keys = stream_keys, .count = sizeof(stream_keys) / sizeof(stream_keys[0]), .name = "streams"};

static const struct cm_key header_keys[] = {
    {.path = "name",
     .type = CM_KEY_TEXT,
     .required = true,
     .min = 1,
     .max = HEADER_NAME_BYTES,
     .offset = offsetof(struct cm_header_condition, name),
     .right = "a header name, such as \"List-Id\"",
     .problem = cm_problem_of_header_name},
    {.path = "value",
     .type = CM_KEY_TEXT,
     .required = true,
     .max = 1024,
     .offset = offsetof(struct cm_header_condition, value),
     .right = "a pattern, such as \"*<news.acme.example>*\"",
     .problem = cm_problem_of_header_pattern},
};

static const struct cm_key_table header_table = {
    .keys = header_keys, .count = sizeof(header_keys) / sizeof(header_keys[0]), .name = "streams.match.headers"};

/* A stream's group while its keys are weighed against each other. */
struct weighing {
    const struct cm_reader *reader;
    const config_setting_t *group;
    struct draft *draft;
};

static bool fail(const struct weighing *w, const char *path, const char *problem)
{
    char whole[CM_SETTINGS_PATH_BYTES];
    struct cm_text t = cm_text_over(whole, sizeof(whole));
    cm_text_add_format(&t, "streams.%s", path);
    return cm_reader_fail(w->reader, cm_reader_member(w->group, path), whole, "%s", problem);
}

static bool read_headers(const struct weighing *w)
{
    const config_setting_t *list = w->draft->headers;
    struct cm_stream *stream = &w->draft->stream;
    size_t count = list != NULL ? (size_t)config_setting_length(list) : 0;
    if (count > CM_SETTINGS_STREAM_HEADERS) {
        return fail(w, "match.headers", "has more than 16 conditions; make it two streams");
    }
    if (count == 0) {
        return true;
    }
    stream->headers = cm_arena_array(w->reader->arena, count, sizeof(*stream->headers));
    if (stream->headers == NULL) {
        return cm_reader_fail_memory(w->reader);
    }
    for (size_t i = 0; i < count; i++) {
        const config_setting_t *group = config_setting_get_elem(list, (unsigned)i);
        if (!config_setting_is_group(group)) {
            return cm_reader_fail(w->reader, group, header_table.name, "holds no group; write %s",
                                  "( { name = \"List-Id\"; value = \"*\"; } )");
        }
        if (!cm_reader_group(w->reader, group, &header_table, &stream->headers[i])) {
            return false;
        }
    }
    stream->header_count = count;
    return true;
}

static bool check_session(const struct weighing *w)
{
    const struct cm_session_conditions *session = &w->draft->stream.session;
    if (session->auth.count > 0 || session->daemon.count > 0 || session->client.count > 0 || session->local) {
        return true;
    }
    return fail(w, "match",
                "has no session condition, so anybody's mail could belong to it; name at least one of auth, daemon, "
                "client or local = true");
}

static bool holds_purpose(const char *pattern)
{
    return strstr(pattern, "{purpose}") != NULL;
}

/* {purpose} in a pattern and purpose_from = "mail_from" need each other. */
static bool check_mail_from(const struct weighing *w, bool is_source)
{
    const struct cm_patterns *patterns = &w->draft->stream.mail_from;
    if (is_source && patterns->count == 0) {
        return fail(w, "purpose_from",
                    "is \"mail_from\", but match.mail_from has no pattern; write one with {purpose}");
    }
    for (size_t i = 0; i < patterns->count; i++) {
        if (is_source && !holds_purpose(patterns->items[i])) {
            return fail(
                w, "match.mail_from",
                "has a pattern without {purpose}, but purpose_from is \"mail_from\"; write {purpose} into each");
        }
        if (!is_source && holds_purpose(patterns->items[i])) {
            return fail(w, "match.mail_from",
                        "holds {purpose}, but the purpose is not taken from there; write purpose_from = \"mail_from\"");
        }
    }
    return true;
}

static bool check_purpose_from(const struct weighing *w)
{
    static const char header_prefix[] = "header:";
    struct cm_stream *stream = &w->draft->stream;
    const char *from = w->draft->purpose_from;
    if (strcmp(from, "mail_from") == 0) {
        stream->purpose_from = CM_PURPOSE_MAIL_FROM;
        return true;
    }
    if (!cm_span_starts_with(cm_span_of(from), header_prefix)) {
        return fail(w, "purpose_from", "is not known; write \"mail_from\" or \"header:NAME\"");
    }
    stream->purpose_from = CM_PURPOSE_HEADER;
    stream->purpose_header = from + sizeof(header_prefix) - 1;
    if (stream->purpose_header[0] == '\0' || cm_problem_of_header_name(stream->purpose_header) != NULL) {
        return fail(w, "purpose_from", "names no header; write one as in \"header:X-Consent-Purpose\"");
    }
    return true;
}

static bool check_purpose(const struct weighing *w)
{
    struct cm_stream *stream = &w->draft->stream;
    char whole[CM_LIMIT_PURPOSE_BYTES + 1];
    if (stream->purpose != NULL && w->draft->purpose_from != NULL) {
        return fail(w, "purpose_from", "stands beside purpose; keep one of the two");
    }
    if (w->draft->purpose_from != NULL) {
        return check_purpose_from(w);
    }
    if (stream->purpose == NULL) {
        stream->purpose_from = CM_PURPOSE_NONE;
        return w->draft->class == CM_CLASS_SERVICE ||
               fail(w, "purpose",
                    "is missing; write purpose = \"NAME\" or purpose_from = \"mail_from\" or \"header:NAME\"");
    }
    stream->purpose_from = CM_PURPOSE_FIXED;
    struct cm_text t = cm_text_over(whole, sizeof(whole));
    cm_text_add_format(&t, "%s/%s", stream->sender, stream->purpose);
    if (t.truncated) {
        return fail(w, "purpose", "is too long; sender/purpose may have 128 bytes in all");
    }
    if (!cm_purpose_path_is_valid((struct cm_span){whole, t.len})) {
        return fail(
            w, "purpose",
            "is no purpose; write up to 7 names of a-z, 0-9 and . _ - with '/' between, as in \"offers/partners\"");
    }
    return true;
}

/* Keys that only mail which asks for consent has a use for. */
static bool check_marketing(const struct weighing *w)
{
    static const char *const keys[] = {"mixed", "max_recipients", "list_id", "from"};
    for (size_t i = 0; w->draft->class == CM_CLASS_SERVICE && i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (cm_reader_has(w->group, keys[i])) {
            return fail(w, keys[i], "means nothing here: a service stream declares no purpose; leave it out");
        }
    }
    if (w->draft->class == CM_CLASS_CONSENT_REQUEST && cm_reader_has(w->group, "max_recipients")) {
        return fail(w, "max_recipients", "means nothing here: it bounds marketing messages; leave it out");
    }
    return true;
}

static bool check_basis(const struct weighing *w)
{
    if (w->draft->class == CM_CLASS_MARKETING || !cm_reader_has(w->group, "accept_basis")) {
        return true;
    }
    return fail(w, "accept_basis", "means nothing here: only marketing asks for consent; leave it out");
}

static bool read_stream(const struct cm_reader *reader, const config_setting_t *group, struct cm_stream *out)
{
    struct draft draft = {.headers = NULL};
    const struct weighing w = {.reader = reader, .group = group, .draft = &draft};
    if (!config_setting_is_group(group)) {
        return cm_reader_fail(reader, group, stream_table.name, "holds no group; write %s",
                              "( { name = ...; match: { ... }; sender = ...; }, ... )");
    }
    if (!cm_reader_group(reader, group, &stream_table, &draft) || !read_headers(&w) || !check_session(&w) ||
        !check_purpose(&w) || !check_mail_from(&w, draft.stream.purpose_from == CM_PURPOSE_MAIL_FROM) ||
        !check_basis(&w) || !check_marketing(&w)) {
        return false;
    }
    draft.stream.class = (enum cm_stream_class)draft.class;
    draft.stream.mode = (enum cm_mode)draft.mode;
    draft.stream.mixed = (enum cm_mixed)draft.mixed;
    *out = draft.stream;
    return true;
}

bool cm_streams_read(const struct cm_reader *reader, const config_setting_t *list, struct cm_stream_table *table)
{
    int count = config_setting_length(list);
    for (int i = 0; i < count; i++) {
        if (!read_stream(reader, config_setting_get_elem(list, (unsigned)i), &table->streams[table->count])) {
            return false;
        }
        table->count++;
    }
    return true;
}

/* The list that the stream of this number was read from; *number becomes its place there. */
static const struct cm_stream_list *list_of(const struct cm_stream_list *lists, size_t *number)
{
    for (;; lists++) {
        size_t length = lists->list != NULL ? (size_t)config_setting_length(lists->list) : 0;
        if (*number < length) {
            return lists;
        }
        *number -= length;
    }
}

static bool fail_same_name(const struct cm_stream_list *lists, size_t first, size_t second, const char *name)
{
    char place[CM_ERR_BYTES];
    struct cm_text t = cm_text_over(place, sizeof(place));
    const struct cm_stream_list *of_first = list_of(lists, &first);
    const struct cm_stream_list *of_second = list_of(lists, &second);
    const config_setting_t *group = config_setting_get_elem(of_first->list, (unsigned)first);
    cm_reader_place(&of_first->reader, cm_reader_member(group, "name"), &t);
    group = config_setting_get_elem(of_second->list, (unsigned)second);
    return cm_reader_fail(&of_second->reader, cm_reader_member(group, "name"), "streams.name",
                          "\"%s\" is the name of the stream at %s too; choose another", name, place);
}

bool cm_streams_check_names(const struct cm_stream_list *lists, const struct cm_stream_table *table)
{
    for (size_t second = 1; second < table->count; second++) {
        for (size_t first = 0; first < second; first++) {
            if (strcmp(table->streams[first].name, table->streams[second].name) == 0) {
                return fail_same_name(lists, first, second, table->streams[first].name);
            }
        }
    }
    return true;
}
