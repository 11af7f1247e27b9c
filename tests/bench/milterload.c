/*
 * The load generator: many SMTP sessions' worth of milter protocol from one thread, one JSON line of results.
 *
 * It is a closed loop: a session sends its next recipient when the last is answered, or with --think after a pause.
 * One session alone is read with a blocking call; from two on, epoll.  One thread is enough: it costs a fraction of
 * what libmilter costs, and the generator's share is the same for every filter that is compared.
 *
 * Exit code: 0 clean, 1 a wrong verdict, a missing or senseless reply, or a refused connection, 64 usage.
 * 4xx replies are counted apart and do not fail the run; who runs it knows whether they were due.
 */
#include "mta.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sysexits.h>

enum { CONNECTIONS_MAX = 4096, HEADERS_MAX = 500, BODY_MAX = 60000, BATCH = 64 };

struct options {
    struct cm_mta_plan plan;
    unsigned connections;
    unsigned duration_ms;
    unsigned think_ms;
    unsigned limit_ms;
    uint64_t seed;
};

struct run {
    const struct options *options;
    struct cm_mta_session *sessions;
    struct cm_mta_stats stats;
    int epoll;
    unsigned open;
    uint64_t random;
    uint64_t deadline_ns; /* no new command after it */
    uint64_t finish_ns;   /* no waiting for replies after it */
    uint64_t next_look_ns;
    double seconds;
};

static void usage(void)
{
    fputs("usage: milterload --socket unix:PATH|inet:PORT@ADDRESS [options]\n"
          "  --connections N     sessions at the same time (1)\n"
          "  --recipients N      per message (1)\n"
          "  --headers N         per message, if the filter wants them (8)\n"
          "  --body BYTES        if the filter wants it (2048)\n"
          "  --duration MS       (300)\n"
          "  --without SHARE     recipients without consent, 0..1 (0.3)\n"
          "  --login NAME        SASL login, empty for none (acme-mailer)\n"
          "  --from ADDRESS      (news@news.acme.example)\n"
          "  --expect WHAT       consent: the right verdict for each; accept: everybody (consent)\n"
          "  --think MS          pause of each session between commands, 50..150 % of it at random (0)\n"
          "  --limit MS          count sessions that waited longer than this for an answer (1000)\n"
          "  --timeout MS        give up on a reply (5000)\n"
          "  --seed N            (1)\n",
          stderr);
}

static bool number(const char *text, unsigned low, unsigned high, unsigned *out)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    if (*text == '\0' || *end != '\0' || n < low || n > high) {
        return false;
    }
    *out = (unsigned)n;
    return true;
}

static bool share(const char *text, double *out)
{
    char *end;
    double d = strtod(text, &end);

    if (*text == '\0' || *end != '\0' || !(d >= 0.0 && d <= 1.0)) {
        return false;
    }
    *out = d;
    return true;
}

static bool set_option(struct options *o, int option, const char *text)
{
    unsigned n = 0;

    switch (option) {
    case 's': o->plan.socket = text; return true;
    case 'c': return number(text, 1, CONNECTIONS_MAX, &o->connections);
    case 'r': return number(text, 1, 100000, &o->plan.recipient_count);
    case 'h': return number(text, 0, HEADERS_MAX, &o->plan.header_count);
    case 'b': return number(text, 0, BODY_MAX, &o->plan.body_bytes);
    case 'd': return number(text, 1, 3600000, &o->duration_ms);
    case 'w': return share(text, &o->plan.share_without);
    case 'l': o->plan.login = *text != '\0' ? text : NULL; return strlen(text) < 200;
    case 'f': o->plan.from = text; return strchr(text, '@') != NULL && strlen(text) < 100;
    case 'e':
        o->plan.expect = strcmp(text, "accept") == 0    ? CM_MTA_EXPECT_ACCEPT
                         : strcmp(text, "consent") == 0 ? CM_MTA_EXPECT_CONSENT
                                                        : CM_MTA_EXPECT_UNSET;
        return o->plan.expect != CM_MTA_EXPECT_UNSET;
    case 't': return number(text, 0, 60000, &o->think_ms);
    case 'm': return number(text, 1, 60000, &o->limit_ms);
    case 'T': return number(text, 1, 600000, &o->plan.timeout_ms);
    case 'S': o->seed = number(text, 1, UINT32_MAX, &n) ? n : 0; return o->seed != 0;
    default: return false;
    }
}

static bool parse_options(struct options *o, int argc, char **argv)
{
    static const struct option table[] = {
        {"socket", 1, NULL, 's'},  {"connections", 1, NULL, 'c'}, {"recipients", 1, NULL, 'r'},
        {"headers", 1, NULL, 'h'}, {"body", 1, NULL, 'b'},        {"duration", 1, NULL, 'd'},
        {"without", 1, NULL, 'w'}, {"login", 1, NULL, 'l'},       {"from", 1, NULL, 'f'},
        {"expect", 1, NULL, 'e'},  {"think", 1, NULL, 't'},       {"limit", 1, NULL, 'm'},
        {"timeout", 1, NULL, 'T'}, {"seed", 1, NULL, 'S'},        {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (!set_option(o, option, optarg)) {
            if (option != '?') {
                fprintf(stderr, "milterload: impossible value: %s\n", optarg);
            }
            return false;
        }
    }
    return optind == argc && o->plan.socket != NULL;
}

/* ---- the loop ---- */

static uint64_t next_random(struct run *run)
{
    run->random = run->random * 6364136223846793005u + 1442695040888963407u;
    return run->random >> 33;
}

/* What a session does after an answer: its next command now, after its pause, or good-bye. */
static void go_on(struct run *run, struct cm_mta_session *s, uint64_t now)
{
    uint64_t think_ns = (uint64_t)run->options->think_ms * 1000000u;

    if (s->state == CM_MTA_READY && now >= run->deadline_ns) {
        cm_mta_close(s);
    } else if (s->state == CM_MTA_READY && think_ns > 0) {
        s->ready_ns = now + think_ns / 2 + next_random(run) % think_ns;
    } else if (s->state == CM_MTA_READY) {
        cm_mta_advance(s);
    }
    if (s->state == CM_MTA_CLOSED) {
        run->open--;
    }
}

/* Starts the commands whose pause is over and gives up on replies that are overdue; returns the wait in ms. */
static int look_around(struct run *run, uint64_t now)
{
    uint64_t timeout_ns = (uint64_t)run->options->plan.timeout_ms * 1000000u;
    uint64_t next = now + 100000000u;

    for (unsigned i = 0; i < run->options->connections; i++) {
        struct cm_mta_session *s = &run->sessions[i];
        enum cm_mta_state before = s->state;

        if (s->state == CM_MTA_READY && now >= run->deadline_ns) {
            cm_mta_close(s);
        } else if (s->state == CM_MTA_READY && now >= s->ready_ns) {
            cm_mta_advance(s);
        } else if (s->state == CM_MTA_READY && s->ready_ns < next) {
            next = s->ready_ns;
        } else if (s->state == CM_MTA_AWAITING && (now >= run->finish_ns || now - s->sent_ns > timeout_ns)) {
            cm_mta_give_up(s);
        }
        if (before != CM_MTA_CLOSED && s->state == CM_MTA_CLOSED) {
            run->open--;
        }
    }
    run->next_look_ns = next;
    return (int)((next - now) / 1000000u) + 1;
}

static void loop_alone(struct run *run)
{
    struct cm_mta_session *s = &run->sessions[0];

    while (run->open > 0) {
        cm_mta_receive(s); /* comes back after the socket's time limit at the latest */
        uint64_t now = cm_latency_now_ns();

        if (s->state == CM_MTA_AWAITING && now - s->sent_ns > (uint64_t)run->options->plan.timeout_ms * 1000000u) {
            cm_mta_give_up(s);
        }
        go_on(run, s, now);
    }
}

static void loop_many(struct run *run)
{
    struct epoll_event events[BATCH];

    while (run->open > 0) {
        uint64_t now = cm_latency_now_ns();
        int wait_ms = now >= run->next_look_ns ? look_around(run, now)
                                               : (int)((run->next_look_ns - now) / 1000000u) + 1;
        int n = epoll_wait(run->epoll, events, BATCH, wait_ms);

        for (int i = 0; i < n; i++) {
            struct cm_mta_session *s = events[i].data.ptr;

            if (s->state != CM_MTA_AWAITING) {
                /* Only a filter that breaks off makes a session readable that waits for nothing. */
                if (s->state == CM_MTA_READY) {
                    cm_mta_give_up(s);
                    run->open--;
                }
                continue;
            }
            cm_mta_receive(s);
            if (s->state != CM_MTA_AWAITING) {
                go_on(run, s, cm_latency_now_ns());
            }
            if (s->state == CM_MTA_READY && s->ready_ns < run->next_look_ns) {
                run->next_look_ns = s->ready_ns;
            }
        }
    }
}

static bool open_all(struct run *run)
{
    const struct options *o = run->options;

    for (unsigned i = 0; i < o->connections; i++) {
        struct cm_mta_session *s = &run->sessions[i];
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};

        /* A filter that does not answer one will hardly answer the next: do not wait for each in turn. */
        if (!cm_mta_open(s, &o->plan, &run->stats, (o->seed * 1000003u + i) * 0x9E3779B97F4A7C15u | 1u)) {
            return false;
        }
        if (epoll_ctl(run->epoll, EPOLL_CTL_ADD, s->fd, &event) != 0) {
            return false;
        }
        run->open++;
    }
    return true;
}

static void run_all(struct run *run)
{
    const struct options *o = run->options;
    uint64_t start = cm_latency_now_ns();

    run->deadline_ns = start + (uint64_t)o->duration_ms * 1000000u;
    run->finish_ns = run->deadline_ns + (uint64_t)o->plan.timeout_ms * 1000000u;
    for (unsigned i = 0; i < o->connections; i++) {
        struct cm_mta_session *s = &run->sessions[i];

        /* With pauses the sessions start one after the other, as real ones do. */
        s->ready_ns = o->think_ms > 0 ? start + next_random(run) % ((uint64_t)o->think_ms * 1000000u) : start;
        if (o->think_ms == 0) {
            cm_mta_advance(s);
        }
        if (s->state == CM_MTA_CLOSED) {
            run->open--;
        }
    }
    if (o->connections == 1 && o->think_ms == 0) {
        loop_alone(run);
    } else {
        loop_many(run);
    }
    run->seconds = (double)(cm_latency_now_ns() - start) / 1e9;
}

/* ---- results ---- */

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void print_latency(const char *name, const struct cm_latency *l)
{
    printf("\"%s_count\":%llu,\"%s_p50_us\":%.2f,\"%s_p99_us\":%.2f,\"%s_p999_us\":%.2f,\"%s_max_us\":%.1f,", name,
           (unsigned long long)l->count, name, cm_latency_quantile_us(l, 0.5), name, cm_latency_quantile_us(l, 0.99),
           name, cm_latency_quantile_us(l, 0.999), name, (double)l->max_ns / 1e3);
}

static void print_waits(const struct run *run)
{
    static uint64_t waits[CONNECTIONS_MAX];
    unsigned n = run->options->connections, over = 0;

    for (unsigned i = 0; i < n; i++) {
        waits[i] = run->sessions[i].longest_ns;
        over += waits[i] > (uint64_t)run->options->limit_ms * 1000000u;
    }
    qsort(waits, n, sizeof(waits[0]), compare);
    printf("\"wait_median_ms\":%.3f,\"wait_max_ms\":%.3f,\"sessions_over_limit\":%u,", (double)waits[n / 2] / 1e6,
           (double)waits[n - 1] / 1e6, over);
}

static void print_count(const char *name, uint64_t count)
{
    printf("\"%s\":%llu,", name, (unsigned long long)count);
}

static bool print_results(const struct run *run)
{
    const struct cm_mta_stats *s = &run->stats;
    struct rusage usage_self;
    /* A message whose accepted recipients all consent must not be refused at its end either. */
    bool clean = s->wrong_accepted + s->wrong_refused + s->eom_refused + s->missing_replies + s->protocol_errors +
                     s->failed_connections ==
                 0;

    (void)getrusage(RUSAGE_SELF, &usage_self); /* cannot fail for this process */
    printf("{\"connections\":%u,\"recipients\":%u,\"seconds\":%.4f,\"rcpt_per_s\":%.1f,", run->options->connections,
           run->options->plan.recipient_count, run->seconds,
           run->seconds > 0 ? (double)s->rcpt.count / run->seconds : 0.0);
    print_latency("rcpt", &s->rcpt);
    print_latency("eom", &s->eom);
    print_waits(run);
    print_count("accepted", s->accepted);
    print_count("refused", s->refused);
    print_count("deferred", s->deferred);
    print_count("wrong_accepted", s->wrong_accepted);
    print_count("wrong_refused", s->wrong_refused);
    print_count("eom_accepted", s->eom_accepted);
    print_count("eom_refused", s->eom_refused);
    print_count("eom_deferred", s->eom_deferred);
    print_count("modifications", s->modifications);
    print_count("protocol_errors", s->protocol_errors);
    print_count("missing_replies", s->missing_replies);
    print_count("failed_connections", s->failed_connections);
    printf("\"generator_cpu_s\":%.3f,", (double)(usage_self.ru_utime.tv_sec + usage_self.ru_stime.tv_sec) +
                                            (double)(usage_self.ru_utime.tv_usec + usage_self.ru_stime.tv_usec) / 1e6);
    printf("\"refusal\":\"%s\",\"deferral\":\"%s\",\"trouble\":\"%s\",\"clean\":%s}\n", s->refusal, s->deferral,
           s->trouble, clean ? "true" : "false");
    return clean;
}

int main(int argc, char **argv)
{
    static struct options options = {
        .plan = {.login = "acme-mailer",
                 .from = "news@news.acme.example",
                 .recipient_count = 1,
                 .header_count = 8,
                 .body_bytes = 2048,
                 .share_without = 0.3,
                 .expect = CM_MTA_EXPECT_CONSENT,
                 .timeout_ms = 5000},
        .connections = 1,
        .duration_ms = 300,
        .limit_ms = 1000,
        .seed = 1,
    };
    static struct run run;

    if (!parse_options(&options, argc, argv)) {
        usage();
        return EX_USAGE;
    }
    run.options = &options;
    run.random = options.seed;
    run.epoll = epoll_create1(EPOLL_CLOEXEC);
    run.sessions = calloc(options.connections, sizeof(*run.sessions));
    if (run.epoll < 0 || run.sessions == NULL) {
        perror("milterload");
        return EX_OSERR;
    }
    if (open_all(&run)) {
        run_all(&run);
    }
    for (unsigned i = 0; i < options.connections; i++) {
        cm_mta_close(&run.sessions[i]);
    }
    bool clean = print_results(&run);
    free(run.sessions);
    return clean ? 0 : 1;
}
