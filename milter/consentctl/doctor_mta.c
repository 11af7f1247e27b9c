/* doctor --postfix and --sendmail: reads the configuration of the mail server, asks the daemon, prints the findings. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "doctor.h"
#include "ops/control.h"
#include "service/mta_doctor.h"

#define PROGRAM_MS 10000 /* postconf takes tens of milliseconds */
#define TEXTS_MAX 32
#define GROUPS_MAX 64
#define SENDMAIL_CF "/etc/mail/sendmail.cf"
#define OPENDKIM_CONF "/etc/opendkim.conf"

/* All texts that were read live until the findings are printed. */
struct texts {
    char *kept[TEXTS_MAX];
    size_t count;
};

/* A buffer for one byte more than the ceiling, so that a text that is too long is seen to be. NULL: no more. */
static char *new_text(struct texts *texts)
{
    char *text = texts->count < TEXTS_MAX ? malloc(CM_MTA_TEXT_BYTES + 1) : NULL;
    if (text != NULL) {
        texts->kept[texts->count++] = text;
    }
    return text; /* NOLINT(clang-analyzer-unix.Malloc): texts keeps it, and free_texts frees it */
}

static void free_texts(struct texts *texts)
{
    while (texts->count > 0) {
        free(texts->kept[--texts->count]);
    }
}

/* Reads until the end, the ceiling or the time. False if it was the time, or a failure. */
static bool read_all(int fd, int64_t until_ms, char *text, size_t *out_len)
{
    *out_len = 0;
    while (*out_len <= CM_MTA_TEXT_BYTES) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        int64_t left = until_ms - cm_clock_monotonic_ms();
        if (left <= 0 || (poll(&wait, 1, (int)left) < 0 && errno != EINTR)) {
            return false;
        }
        if (wait.revents == 0) {
            continue;
        }
        ssize_t got = read(fd, text + *out_len, CM_MTA_TEXT_BYTES + 1 - *out_len);
        if (got == 0) {
            return true;
        }
        if (got < 0 && errno != EINTR) {
            return false;
        }
        *out_len += got > 0 ? (size_t)got : 0;
    }
    return true;
}

/* Starts `argv` with its standard output in *out_fd. Its messages would only repeat what the findings say. */
static bool start(const char *const *argv, int *out_fd, pid_t *out_pid)
{
    static const char *const environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL};
    static const char *const places[] = {"/usr/sbin/postconf", "/usr/local/sbin/postconf"};
    posix_spawn_file_actions_t actions;
    int ends[2];
    const char *path = access(places[0], X_OK) == 0 ? places[0] : places[1];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return false;
    }
    bool ok = posix_spawn_file_actions_init(&actions) == 0;
    if (ok) {
        ok = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0) == 0 &&
             posix_spawn_file_actions_adddup2(&actions, ends[1], 1) == 0 &&
             posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0) == 0 &&
             posix_spawn(out_pid, path, &actions, NULL, (char *const *)argv, (char *const *)environment) == 0;
        (void)posix_spawn_file_actions_destroy(&actions); /* frees memory only */
    }
    (void)close(ends[1]); /* the child has its own; a failure would show as no end of the output, which has a limit */
    if (!ok) {
        (void)close(ends[0]); /* nothing was read */
        return false;
    }
    *out_fd = ends[0];
    return true;
}

/* The output of postconf with these options; false after telling. */
static bool run_postconf(const struct context *context, const char *option, struct texts *texts,
                         struct cm_mta_findings *findings, struct cm_span *out)
{
    char directory[4096];
    const char *argv[] = {"postconf", option, NULL, NULL, NULL};
    int fd = -1;
    pid_t pid = -1;
    int status = -1;
    size_t len = 0;
    bool ok = true;
    if (context->options->postfix_config != NULL) {
        ok = cm_copy(directory, sizeof(directory), cm_span_of(context->options->postfix_config));
        argv[2] = "-c";
        argv[3] = directory;
    }
    char *text = new_text(texts);
    ok = ok && text != NULL && start(argv, &fd, &pid);
    if (ok) {
        ok = read_all(fd, cm_clock_monotonic_ms() + PROGRAM_MS, text, &len);
        (void)close(fd); /* read only */
        if (!ok || len > CM_MTA_TEXT_BYTES) {
            (void)kill(pid, SIGKILL); /* it is our child and not waited for yet, so the number is its own */
        }
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        }
        ok = ok && (len > CM_MTA_TEXT_BYTES || status == 0);
    }
    if (!ok) {
        (void)cm_mta_add(findings, "postconf", CM_HEALTH_UNKNOWN, "postconf", "Run it by hand to see why it fails.",
                         "`postconf %s` gave no answer", option);
        return false;
    }
    *out = (struct cm_span){text, len};
    return true;
}

/* A regular file of at most the ceiling and one byte. */
static bool read_path(struct texts *texts, const char *path, struct cm_span *out)
{
    struct stat about;
    size_t len = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return false;
    }
    char *text = fstat(fd, &about) == 0 && S_ISREG(about.st_mode) ? new_text(texts) : NULL;
    bool ok = text != NULL && read_all(fd, cm_clock_monotonic_ms() + PROGRAM_MS, text, &len);
    (void)close(fd); /* read only */
    if (ok) {
        *out = (struct cm_span){text, len};
    }
    return ok;
}

static bool read_table(void *context, struct cm_span path, struct cm_span *out_text)
{
    char name[4096];
    return path.len > 0 && path.p[0] == '/' && cm_copy(name, sizeof(name), path) && read_path(context, name, out_text);
}

/* The socket. */

struct user {
    uid_t uid;
    gid_t groups[GROUPS_MAX];
    int group_count;
};

static bool find_user(const char *name, struct user *out)
{
    const struct passwd *user = getpwnam(name);
    if (user == NULL) {
        return false;
    }
    out->uid = user->pw_uid;
    out->group_count = GROUPS_MAX;
    return getgrouplist(name, user->pw_gid, out->groups, &out->group_count) >= 0;
}

static bool is_in_group(const struct user *user, gid_t group)
{
    for (int i = 0; i < user->group_count; i++) {
        if (user->groups[i] == group) {
            return true;
        }
    }
    return false;
}

/* As access(2) decides for a user other than root; `bits` of the last three of a mode. */
static bool may(const struct user *user, const struct stat *about, mode_t bits)
{
    unsigned shift = about->st_uid == user->uid ? 6 : is_in_group(user, about->st_gid) ? 3 : 0;
    return (about->st_mode >> shift & bits) == bits;
}

/* Walks down the path. */
static void judge_socket(const char *path, const char *user_name, struct cm_mta_findings *findings)
{
    struct user user;
    struct stat about;
    char part[4096];
    size_t len = strlen(path);
    if (!find_user(user_name, &user) || len >= sizeof(part)) {
        (void)cm_mta_add(findings, "socket-permission", CM_HEALTH_UNKNOWN, path, "Look at it yourself.",
                         "the user %s of the mail server is not known here", user_name);
        return;
    }
    for (size_t i = 1; i <= len; i++) {
        bool is_last = i == len;
        if (!is_last && path[i] != '/') {
            continue;
        }
        (void)cm_copy(part, sizeof(part), (struct cm_span){path, i}); /* fits */
        if (stat(part, &about) != 0) {
            if (errno == ENOENT || errno == ENOTDIR) {
                cm_mta_judge_reach(&(struct cm_mta_reach){user_name, path, part, true}, findings);
            } else {
                (void)cm_mta_add(findings, "socket-permission", CM_HEALTH_UNKNOWN, path, "Run this as root.", "%s: %s",
                                 part, strerror(errno));
            }
            return;
        }
        if (!may(&user, &about, is_last ? 02 : 01)) {
            cm_mta_judge_reach(&(struct cm_mta_reach){user_name, path, part, false}, findings);
            return;
        }
    }
}

/* The mail servers. */

static void look_at_postfix(const struct context *context, struct texts *texts, struct cm_mta_findings *findings)
{
    struct cm_mta_postfix postfix = {.socket = context->settings->milter.socket, .read = read_table, .context = texts};
    struct cm_span owner = CM_SPAN("postfix");
    char user[64];
    if (!run_postconf(context, "-x", texts, findings, &postfix.main) ||
        !run_postconf(context, "-M", texts, findings, &postfix.services) ||
        !run_postconf(context, "-Px", texts, findings, &postfix.overrides)) {
        return;
    }
    (void)read_path(texts, OPENDKIM_CONF, &postfix.opendkim); /* else it is told, where opendkim is in use */
    cm_mta_judge_postfix(&postfix, findings);
    (void)cm_mta_parameter(postfix.main, "mail_owner", &owner); /* else the default */
    (void)cm_copy(user, sizeof(user), owner);                   /* a name that is cut is not found, which is told */
    if (strncmp(postfix.socket, "unix:", 5) == 0) {
        judge_socket(postfix.socket + 5, user, findings);
    }
}

static void look_at_sendmail(const struct context *context, struct texts *texts, struct cm_mta_findings *findings)
{
    const char *file = context->options->sendmail_config != NULL ? context->options->sendmail_config : SENDMAIL_CF;
    const char *slash = strrchr(file, '/');
    struct cm_mta_sendmail sendmail = {.socket = context->settings->milter.socket};
    char submit[4096];
    if (!read_path(texts, file, &sendmail.daemon)) {
        (void)cm_mta_add(findings, "sendmail.cf", CM_HEALTH_UNKNOWN, file, "Name it by --sendmail-config.",
                         "it cannot be read: %s", strerror(errno));
        return;
    }
    int len = snprintf(submit, sizeof(submit), "%.*ssubmit.cf", slash != NULL ? (int)(slash - file) + 1 : 0, file);
    if (len > 0 && (size_t)len < sizeof(submit)) {
        (void)read_path(texts, submit, &sendmail.submit); /* else there is none, which is told */
    }
    (void)read_path(texts, OPENDKIM_CONF, &sendmail.opendkim); /* else it is told, where opendkim is in use */
    cm_mta_judge_sendmail(&sendmail, findings);
}

static void ask_daemon(const struct context *context, struct cm_mta_findings *findings)
{
    const char *path = context->settings->control.socket;
    struct cm_err err = {.text = "control.socket is empty"};
    char *answer = NULL;
    if (path != NULL && path[0] != '\0' && cm_control_ask(path, "{\"command\":\"status\"}", &answer, &err)) {
        cm_mta_judge_status(cm_span_of(answer), &context->settings->streams, findings);
        free(answer);
    } else {
        (void)cm_mta_add(findings, "daemon", CM_HEALTH_WARN, "consent-milter (running)",
                         "Start consent-milter, let some mail pass, then ask again.",
                         "no daemon tells which macros the mail server sends: %s", err.text);
    }
}

/* Printing. */

static void show(const struct context *context, const struct cm_mta_finding *finding)
{
    cm_ctl_say(context, "%-8s%-18s %s: %s", cm_health_name(finding->health), finding->name, finding->where,
               finding->found);
    if (finding->advice[0] != '\0') {
        cm_ctl_say(context, "        -> %s", finding->advice);
    }
    if (finding->line[0] != '\0') {
        cm_ctl_say(context, "        %s", finding->line);
    }
    cm_ctl_emit(context, json_pack("{s:s, s:s, s:o, s:o, s:s, s:o}", "finding", finding->name, "health",
                                   cm_health_name(finding->health), "where", cm_ctl_json_text(finding->where), "found",
                                   cm_ctl_json_text(finding->found), "advice", finding->advice, "line",
                                   cm_ctl_json_text(finding->line)));
}

int cm_ctl_doctor_mta(struct context *context)
{
    static const struct cm_mta_finding good = {.name = "mail-server",
                                               .health = CM_HEALTH_GOOD,
                                               .where = "configuration",
                                               .found = "no way around consent-milter was found",
                                               .advice = ""};
    struct texts texts = {.count = 0};
    struct cm_mta_findings *findings = calloc(1, sizeof(*findings));
    if (findings == NULL) {
        return cm_ctl_fail(EX_OSERR, "out of memory");
    }
    if (context->options->postfix) {
        look_at_postfix(context, &texts, findings);
    }
    if (context->options->sendmail) {
        look_at_sendmail(context, &texts, findings);
    }
    enum cm_health configuration = cm_mta_worst(findings);
    ask_daemon(context, findings);
    if (configuration == CM_HEALTH_UNSET) {
        show(context, &good);
    }
    for (size_t i = 0; i < findings->count; i++) {
        show(context, &findings->rows[i]);
    }
    enum cm_health worst = cm_mta_worst(findings);
    free(findings);
    free_texts(&texts);
    return cm_ctl_code_of_health(worst == CM_HEALTH_UNSET ? CM_HEALTH_GOOD : worst);
}
