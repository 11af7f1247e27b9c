/*
 * consentctl(1): everything a person does. Each command is a function over the parsed options, found by a table in
 * main.c.
 *
 * Data goes to standard output, all else to standard error. With --json each command prints one JSON object a line.
 * Exit codes are those of sysexits.h; `check` answers 0 permitted, 1 not permitted, 75 don't know.
 */
#ifndef CONSENTCTL_CONSENTCTL_H
#define CONSENTCTL_CONSENTCTL_H

#include <jansson.h>
#include <sysexits.h>

#include "core/address.h"
#include "service/enforce.h"
#include "settings/settings.h"

#define EXIT_NOT_PERMITTED 1

/* An option that may be given several times. */
#define OPTION_LIST_MAX 64
struct option_list {
    const char *items[OPTION_LIST_MAX];
    size_t count;
};

struct options {
    const char *file;
    const char *words[4]; /* after the command's own words */
    int word_count;
    bool json;
    bool quiet;
    bool material;
    bool postfix;
    bool sendmail;
    bool guardian;
    bool officer;
    bool end;
    bool retire;
    bool readmit;
    bool follow;
    bool seal;
    bool local;
    bool drop_oldest;
    const char *title;
    const char *lang;
    const char *version;
    const char *effective;
    const char *source;
    const char *basis;
    const char *anchor;
    const char *at;
    const char *statement;
    const char *evidence;
    const char *ref;
    const char *reason;
    const char *list;
    const char *stream;
    const char *keep;
    const char *dormancy;
    const char *wait;
    const char *purpose;
    const char *from;
    const char *auth;
    const char *daemon;
    const char *client;
    const char *log;
    const char *mbox;
    const char *config;
    struct option_list rcpt;
    struct option_list header;
    const char *postfix_config;
    const char *sendmail_config;
};

struct context {
    const struct options *options;
    struct cm_settings *settings;
    struct cm_keys keys;
    struct cm_store *store;
    struct cm_hasher *hasher;
    uint32_t peppers; /* those of the hasher, as cm_keys_in_use tells */
    char actor[80];   /* for the ledger: the login behind this process */
};

int cm_ctl_init(struct context *context);
int cm_ctl_sender_add(struct context *context);
int cm_ctl_sender_list(struct context *context);
int cm_ctl_sender_show(struct context *context);
int cm_ctl_purpose_add(struct context *context);
int cm_ctl_purpose_list(struct context *context);
int cm_ctl_purpose_show(struct context *context);
int cm_ctl_purpose_retire(struct context *context);
int cm_ctl_statement_publish(struct context *context);
int cm_ctl_statement_show(struct context *context);
int cm_ctl_grant(struct context *context);
int cm_ctl_withdraw(struct context *context);
int cm_ctl_restrict(struct context *context);
int cm_ctl_erase(struct context *context);
int cm_ctl_store_status(struct context *context);
int cm_ctl_store_accept(struct context *context);
int cm_ctl_purpose_dormancy(struct context *context);
int cm_ctl_check(struct context *context);
int cm_ctl_show(struct context *context);
int cm_ctl_history(struct context *context);
int cm_ctl_ledger_verify(struct context *context);
int cm_ctl_ledger_archive(struct context *context);
int cm_ctl_explain(struct context *context);
int cm_ctl_replay(struct context *context);
int cm_ctl_stats(struct context *context);
int cm_ctl_doctor(struct context *context);
int cm_ctl_daemon_halt(struct context *context);
int cm_ctl_daemon_status(struct context *context);
int cm_ctl_daemon_reload(struct context *context);
int cm_ctl_daemon_observe(struct context *context);
int cm_ctl_daemon_enforce(struct context *context);
int cm_ctl_daemon_drain(struct context *context);
int cm_ctl_keys_show(struct context *context);
int cm_ctl_keys_rotate(struct context *context);
int cm_ctl_keeper_status(struct context *context);
int cm_ctl_keeper_replay(struct context *context);

/* Prints "consentctl: ..." and returns `code`. */
int cm_ctl_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same for trouble of the store, with its advice; the code fits the trouble. */
int cm_ctl_fail_trouble(enum cm_trouble trouble, const struct cm_err *err);
/* A line for people, without control characters; nothing with --quiet or --json. */
void cm_ctl_say(const struct context *context, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* With --json prints the object as one line. Always takes it over. */
void cm_ctl_emit(const struct context *context, json_t *object);

/* Computes the subject under the peppers in use. False if libcrypto fails or without memory. */
bool cm_ctl_subject_of(struct context *context, const struct cm_address *address, struct cm_subject *out);
/* Reads the address argument and computes its subject; EX_OK, or the code after printing what is wrong. */
int cm_ctl_read_subject(struct context *context, const char *text, struct cm_address *out_address,
                        struct cm_subject *out);
/* The present registry; EX_OK, or the code after printing. */
int cm_ctl_read_registry(struct context *context, const struct cm_registry **out);
/* A purpose that must exist; NULL after printing. */
const struct cm_registry_purpose *cm_ctl_find_purpose(const struct cm_registry *registry, const char *path);
/* A time option; 0 in *out when `text` is NULL. False after printing. */
bool cm_ctl_read_time(const char *name, const char *text, cm_ms *out);
/* A whole small file, "-" for standard input; NULL after printing. The caller frees. */
char *cm_ctl_read_file(const char *path, size_t max_bytes, size_t *out_len);
/* JSON strings for instants and names; never NULL but without memory. */
json_t *cm_ctl_json_time(cm_ms at);
json_t *cm_ctl_json_text(const char *text);

#endif
