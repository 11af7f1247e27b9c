/* ledger archive, ledger verify. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "consentctl.h"
#include "ledger.h"
#include "service/archiver.h"
#include "service/verify.h"

#define POLL_S 1
#define TIDY_EVERY_S 60

bool cm_ctl_archive_site(const struct context *context, bool to_sign, struct ledger_site *out, struct cm_err *err)
{
    struct cm_text path = cm_text_over(out->directory, sizeof(out->directory));
    cm_text_add_format(&path, "%s/archive", context->settings->state);
    if (path.truncated) {
        cm_err_set(err, "state: the path is too long");
        return false;
    }
    if (!cm_archive_key_load(context->settings->keys, to_sign, &out->key, err)) {
        return false;
    }
    out->site = (struct cm_archive_site){
        .directory = out->directory, .store_id = context->keys.store_id, .key = &out->key};
    return true;
}

/* "7d", "12h", "0": how long; without it as long as keepers keep their journals, so that a replay finds in Redis what
 * it would otherwise write once more. False after printing. */
static bool read_keep(const struct cm_settings *settings, const char *text, cm_ms *out)
{
    uint64_t number = 0;
    struct cm_span span = cm_span_of(text);
    cm_ms unit = 0;
    *out = (cm_ms)settings->keeper.retain_days * 86400000;
    if (text == NULL) {
        return true;
    }
    if (span.len > 1) {
        unit = span.p[span.len - 1] == 'd' ? 86400000 : span.p[span.len - 1] == 'h' ? 3600000 : 0;
        span.len -= unit != 0 ? 1 : 0;
    }
    if (!cm_parse_u64(span, 36500, &number) || (unit == 0 && number != 0)) {
        (void)cm_ctl_fail(EX_USAGE, "--keep: %s is not a time like 7d, 12h or 0", text);
        return false;
    }
    *out = (cm_ms)number * unit;
    return true;
}

static void print_alarm(void *unused, const char *text)
{
    (void)unused;
    (void)cm_ctl_fail(EX_DATAERR, "ALARM: %s", text); /* the sums tell that there was one */
}

static int code_of_end(const struct cm_archive_end *end, const struct cm_err *err)
{
    switch (end->archive) {
    case CM_ARCHIVE_UNSET:
    case CM_ARCHIVE_OK: return cm_ctl_fail_trouble(end->trouble, err);
    case CM_ARCHIVE_NONE: return cm_ctl_fail(EX_NOINPUT, "%s", err->text);
    case CM_ARCHIVE_LOCKED: return cm_ctl_fail(EX_TEMPFAIL, "%s", err->text);
    case CM_ARCHIVE_DAMAGED: return cm_ctl_fail(EX_DATAERR, "%s", err->text);
    case CM_ARCHIVE_FAILED: break;
    }
    return cm_ctl_fail(EX_IOERR, "%s", err->text);
}

/* Everything there is, then the tidying. */
static bool catch_up(struct cm_archiver *archiver, bool seal, struct cm_archive_end *end, struct cm_err *err)
{
    for (bool more = true; more;) {
        if (!cm_archiver_round(archiver, cm_clock_wall_ms(), &more, end, err)) {
            return false;
        }
    }
    return cm_archiver_tidy(archiver, cm_clock_wall_ms(), seal, end, err);
}

static void block_signals(sigset_t *out)
{
    (void)sigemptyset(out); /* none of these fails with valid arguments */
    (void)sigaddset(out, SIGTERM);
    (void)sigaddset(out, SIGINT);
    (void)sigprocmask(SIG_BLOCK, out, NULL);
}

/* Close behind the ledger until a signal comes. Trouble of Redis is told once and waited for. */
static int follow(struct cm_archiver *archiver, struct cm_archive_end *end)
{
    sigset_t signals;
    struct cm_err err;
    const struct timespec pause = {.tv_sec = POLL_S};
    enum cm_trouble told = CM_TROUBLE_NONE;
    unsigned rounds = 0;
    bool more = false;
    block_signals(&signals);
    for (;;) {
        bool ok = cm_archiver_round(archiver, cm_clock_wall_ms(), &more, end, &err);
        if (ok && !more && rounds++ % TIDY_EVERY_S == 0) {
            ok = cm_archiver_tidy(archiver, cm_clock_wall_ms(), false, end, &err);
        }
        if (!ok && end->archive != CM_ARCHIVE_OK) {
            return code_of_end(end, &err);
        }
        if (end->trouble != told && end->trouble != CM_TROUBLE_NONE) {
            (void)cm_ctl_fail_trouble(end->trouble, &err); /* and tried again */
        }
        told = end->trouble;
        if ((!ok || !more) && sigtimedwait(&signals, NULL, &pause) > 0) {
            return EX_OK;
        }
    }
}

static int run_archiver(struct context *context, const struct cm_archiver_options *options)
{
    struct cm_err err;
    struct cm_archive_end end;
    struct cm_archiver *archiver = cm_archiver_open(context->store, options, &end, &err);
    if (archiver == NULL) {
        return code_of_end(&end, &err);
    }
    struct cm_archiver_sums sums = cm_archiver_sums(archiver);
    if (sums.cut_bytes > 0) {
        cm_ctl_say(context, "cut off %llu bytes of a torn end: Redis still has these entries",
                   (unsigned long long)sums.cut_bytes);
    }
    int code = EX_OK;
    if (context->options->follow) {
        code = follow(archiver, &end);
    } else if (!catch_up(archiver, context->options->seal, &end, &err)) {
        code = code_of_end(&end, &err);
    }
    sums = cm_archiver_sums(archiver);
    cm_archiver_close(archiver);
    if (code == EX_OK) {
        cm_ctl_say(context, "%llu events archived, %llu trimmed", (unsigned long long)sums.archived,
                   (unsigned long long)sums.trimmed);
        cm_ctl_emit(context, json_pack("{s:I, s:I, s:I, s:i}", "archived", (json_int_t)sums.archived, "trimmed",
                                       (json_int_t)sums.trimmed, "cut_bytes", (json_int_t)sums.cut_bytes, "alarms",
                                       (int)sums.alarms));
        code = sums.alarms > 0 ? EXIT_FINDINGS : EX_OK;
    }
    return code;
}

int cm_ctl_ledger_archive(struct context *context)
{
    struct cm_err err;
    struct ledger_site where;
    struct cm_archiver_options options = {.alarm = print_alarm};
    if (!read_keep(context->settings, context->options->keep, &options.keep_for_ms)) {
        return EX_USAGE;
    }
    if (context->options->follow && context->options->seal) {
        return cm_ctl_fail(EX_USAGE, "--follow seals by itself");
    }
    /* The archiver is not trusted with pepper and seal master, so they are not asked for. */
    if (!cm_keys_load_store_id(context->settings->keys, &context->keys, &err) ||
        !cm_ctl_archive_site(context, true, &where, &err)) {
        return cm_ctl_fail(EX_CONFIG, "%s", err.text);
    }
    options.where = where.site;
    int code = run_archiver(context, &options);
    cm_archive_key_wipe(&where.key);
    return code;
}

/* Tells findings as they come, and how far it is. */
struct verification {
    const struct context *context;
    bool progress;
    bool shown; /* a progress line stands on the terminal */
};

static void clear_progress(struct verification *verification)
{
    if (verification->shown) {
        (void)fprintf(stderr, "\r\033[K"); /* only for the eyes, as the next */
        verification->shown = false;
    }
}

static void show_progress(void *opaque, const char *what, uint64_t done, uint64_t of)
{
    struct verification *verification = opaque;
    if (verification->progress && of > 0) {
        (void)fprintf(stderr, "\r%s %3u %%", what, (unsigned)(done * 100 / of));
        verification->shown = true;
    }
}

static void show_finding(void *opaque, const struct cm_verify_finding *finding)
{
    struct verification *verification = opaque;
    char where[64];
    char id[CM_LEDGER_ID_TEXT_BYTES] = "-";
    struct cm_text place = cm_text_over(where, sizeof(where));
    const char *name = cm_fault_name(finding->fault);
    const char *advice = cm_fault_advice(finding->fault);
    clear_progress(verification);
    if (finding->ledger != 0) {
        cm_ledger_id_format(finding->ledger, id);
    }
    if (finding->partition >= 0) {
        cm_text_add_format(&place, "partition %d, event %s", finding->partition, id);
    } else {
        cm_text_add_format(&place, "segment %llu", (unsigned long long)finding->segment);
    }
    cm_ctl_say(verification->context, "%s: %s: %s. %s", name, where, finding->text, advice);
    cm_ctl_emit(verification->context,
                json_pack("{s:s, s:i, s:s, s:I, s:o, s:s}", "finding", name, "partition", finding->partition, "ledger",
                          id, "segment", (json_int_t)finding->segment, "text", cm_ctl_json_text(finding->text),
                          "advice", advice));
}

static int report_sums(const struct context *context, const struct cm_verify_sums *sums)
{
    cm_ctl_say(context, "%llu events (%llu from the archive) and %llu records: %llu findings, %llu partitions unknown",
               (unsigned long long)sums->events, (unsigned long long)sums->archived, (unsigned long long)sums->records,
               (unsigned long long)sums->findings, (unsigned long long)sums->unknown);
    cm_ctl_emit(context, json_pack("{s:I, s:I, s:I, s:I, s:I}", "events", (json_int_t)sums->events, "archived",
                                   (json_int_t)sums->archived, "records", (json_int_t)sums->records, "findings",
                                   (json_int_t)sums->findings, "unknown", (json_int_t)sums->unknown));
    if (sums->findings > 0) {
        return EXIT_FINDINGS;
    }
    return sums->unknown > 0 ? EX_TEMPFAIL : EX_OK;
}

int cm_ctl_ledger_verify(struct context *context)
{
    struct cm_err err;
    struct ledger_site where;
    struct cm_archive_end end;
    struct cm_verify_sums sums;
    const struct cm_registry *registry = NULL;
    struct verification verification = {.context = context,
                                        .progress = !context->options->quiet && isatty(STDERR_FILENO) != 0};
    if (!cm_ctl_archive_site(context, false, &where, &err)) {
        return cm_ctl_fail(EX_CONFIG, "%s", err.text);
    }
    int code = cm_ctl_read_registry(context, &registry);
    if (code != EX_OK) {
        return code;
    }
    struct cm_verify_options options = {.where = &where.site,
                                        .registry = registry,
                                        .finding = show_finding,
                                        .progress = show_progress,
                                        .context = &verification};
    bool ok = cm_verify(context->store, &options, &sums, &end, &err);
    cm_registry_unref(registry);
    clear_progress(&verification);
    if (!ok) {
        (void)code_of_end(&end, &err); /* whatever it is, the ledger's state is not known */
        return EX_TEMPFAIL;
    }
    return report_sums(context, &sums);
}
