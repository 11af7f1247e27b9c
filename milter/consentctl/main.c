/* consentctl(1): finds the command, checks its options by table, opens the store, runs it. */
#include <getopt.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "consentctl.h"
#include "service/open.h"
#include "store/peppers.h"

#define LONG_TIMEOUT_MS 10000 /* a person waits longer than a mail */
#define POOL 2

enum need { NEED_NOTHING, NEED_STORE, NEED_SEAL };

static const struct command {
    const char *words[2];
    int least;
    int most;
    enum need need;
    int (*run)(struct context *context);
    const char *options; /* beside --json --quiet --help */
    const char *usage;
} commands[] = {
    {{"init"}, 0, 0, NEED_NOTHING, cm_ctl_init, "", "make keys and store, load the Redis functions"},
    {{"sender", "add"}, 1, 1, NEED_STORE, cm_ctl_sender_add, "title", "SENDER [--title T]"},
    {{"sender", "list"}, 0, 0, NEED_STORE, cm_ctl_sender_list, "", ""},
    {{"sender", "show"}, 1, 1, NEED_STORE, cm_ctl_sender_show, "", "SENDER"},
    {{"store", "status"},
     0,
     0,
     NEED_STORE,
     cm_ctl_store_status,
     "",
     "the store, its keepers, and the last notes of the ledger"},
    {{"store", "accept"},
     1,
     1,
     NEED_STORE,
     cm_ctl_store_accept,
     "retire readmit reason",
     "KEEPER --retire|--readmit --reason R"},
    {{"purpose", "add"},
     1,
     1,
     NEED_STORE,
     cm_ctl_purpose_add,
     "title dormancy",
     "SENDER/PURPOSE [--title T] [--dormancy MONTHS:warn|MONTHS:refuse]"},
    {{"purpose", "dormancy"},
     2,
     2,
     NEED_STORE,
     cm_ctl_purpose_dormancy,
     "",
     "SENDER/PURPOSE MONTHS:warn|MONTHS:refuse|off"},
    {{"purpose", "list"}, 0, 0, NEED_STORE, cm_ctl_purpose_list, "", ""},
    {{"purpose", "show"}, 1, 1, NEED_STORE, cm_ctl_purpose_show, "", "SENDER/PURPOSE"},
    {{"purpose", "retire"}, 1, 1, NEED_STORE, cm_ctl_purpose_retire, "", "SENDER/PURPOSE"},
    {{"statement", "publish"},
     2,
     2,
     NEED_STORE,
     cm_ctl_statement_publish,
     "lang version material effective",
     "SENDER/PURPOSE FILE [--lang L] [--version N] [--material] [--effective DATE]"},
    {{"statement", "show"},
     1,
     1,
     NEED_STORE,
     cm_ctl_statement_show,
     "lang version",
     "SENDER/PURPOSE [--version N] [--lang L]"},
    {{"grant"},
     2,
     2,
     NEED_SEAL,
     cm_ctl_grant,
     "source basis anchor at statement lang evidence ref guardian officer",
     "ADDRESS SENDER/PURPOSE --source S [--basis B] [--anchor DATE] [--at TIME] [--statement N] [--lang L] "
     "[--evidence JSON] [--ref R] [--guardian] [--officer]"},
    {{"withdraw"},
     2,
     2,
     NEED_SEAL,
     cm_ctl_withdraw,
     "reason at source evidence officer",
     "ADDRESS SENDER/PURPOSE|SENDER|everybody [--reason R] [--at TIME] [--source S] [--evidence JSON] [--officer]"},
    {{"restrict"},
     2,
     2,
     NEED_SEAL,
     cm_ctl_restrict,
     "reason at source evidence end officer",
     "ADDRESS SENDER/PURPOSE|SENDER|all --reason minor|legal|deceased|dispute|case [--end] [--at TIME] [--source S] "
     "[--evidence JSON] [--officer]"},
    {{"erase"}, 2, 2, NEED_SEAL, cm_ctl_erase, "evidence officer", "ADDRESS SENDER|all [--evidence JSON] [--officer]"},
    {{"check"},
     1,
     2,
     NEED_STORE,
     cm_ctl_check,
     "at list",
     "ADDRESS SENDER/PURPOSE [--at TIME], or --list FILE SENDER/PURPOSE"},
    {{"show"}, 1, 1, NEED_STORE, cm_ctl_show, "", "ADDRESS"},
    {{"history"}, 1, 1, NEED_SEAL, cm_ctl_history, "", "ADDRESS"},
    {{"ledger", "verify"}, 0, 0, NEED_STORE, cm_ctl_ledger_verify, "", "compare records, ledger and archive"},
    {{"ledger", "archive"},
     0,
     0,
     NEED_NOTHING,
     cm_ctl_ledger_archive,
     "follow keep seal",
     "[--follow] [--keep DAYSd] [--seal]"},
    {{"daemon", "status"}, 0, 0, NEED_NOTHING, cm_ctl_daemon_status, "", "what the running filter says of itself"},
    {{"daemon", "reload"},
     0,
     0,
     NEED_NOTHING,
     cm_ctl_daemon_reload,
     "",
     "read the configuration again, all or nothing"},
    {{"daemon", "observe"}, 0, 1, NEED_NOTHING, cm_ctl_daemon_observe, "", "[STREAM]"},
    {{"daemon", "enforce"}, 0, 1, NEED_NOTHING, cm_ctl_daemon_enforce, "", "[STREAM]"},
    {{"daemon", "drain"}, 0, 0, NEED_NOTHING, cm_ctl_daemon_drain, "end", "[--end]"},
    {{"daemon", "halt"},
     1,
     1,
     NEED_STORE,
     cm_ctl_daemon_halt,
     "reason end",
     "SENDER|SENDER/PURPOSE --reason R [--end]"},
    {{"keeper", "status"},
     0,
     0,
     NEED_STORE,
     cm_ctl_keeper_status,
     "",
     "the keeper of this host, and all that the store knows"},
    {{"keeper", "replay"},
     0,
     0,
     NEED_STORE,
     cm_ctl_keeper_replay,
     "",
     "write the whole journal of this host once more"},
    {{"keys", "show"}, 0, 0, NEED_SEAL, cm_ctl_keys_show, "", "peppers and seal masters, which of them is current"},
    {{"keys", "rotate"},
     1,
     1,
     NEED_SEAL,
     cm_ctl_keys_rotate,
     "wait drop-oldest",
     "pepper|seal [--wait SECONDS] [--drop-oldest]"},
    {{"explain"},
     0,
     1,
     NEED_STORE,
     cm_ctl_explain,
     "rcpt stream purpose from auth daemon client local header",
     "DECISION-ID [--rcpt ADDRESS --purpose SENDER/PURPOSE|--stream NAME], or --rcpt ADDRESS --stream NAME, or "
     "--from ADDRESS --rcpt ADDRESS... [--auth LOGIN] [--daemon NAME] [--client IP] [--local] [--header 'NAME: "
     "VALUE']..."},
    {{"replay"},
     0,
     0,
     NEED_STORE,
     cm_ctl_replay,
     "log mbox config auth daemon client local stream",
     "--log FILE [--config FILE], or --mbox FILE [--auth LOGIN] [--daemon NAME] [--client IP] [--local] [--stream "
     "NAME] [--config FILE]"},
    {{"stats"}, 0, 0, NEED_STORE, cm_ctl_stats, "", "numbers of records, and today's decisions"},
    {{"doctor"},
     0,
     0,
     NEED_STORE,
     cm_ctl_doctor,
     "postfix sendmail postfix-config sendmail-config",
     "[--postfix [--postfix-config DIR]] [--sendmail [--sendmail-config FILE.cf]]"},
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

/* Options with an argument, and where it goes. */
static const struct {
    const char *name;
    size_t offset;
} texts[] = {
    {"title", offsetof(struct options, title)},
    {"lang", offsetof(struct options, lang)},
    {"version", offsetof(struct options, version)},
    {"effective", offsetof(struct options, effective)},
    {"source", offsetof(struct options, source)},
    {"basis", offsetof(struct options, basis)},
    {"anchor", offsetof(struct options, anchor)},
    {"at", offsetof(struct options, at)},
    {"statement", offsetof(struct options, statement)},
    {"evidence", offsetof(struct options, evidence)},
    {"ref", offsetof(struct options, ref)},
    {"reason", offsetof(struct options, reason)},
    {"list", offsetof(struct options, list)},
    {"stream", offsetof(struct options, stream)},
    {"keep", offsetof(struct options, keep)},
    {"dormancy", offsetof(struct options, dormancy)},
    {"wait", offsetof(struct options, wait)},
    {"purpose", offsetof(struct options, purpose)},
    {"from", offsetof(struct options, from)},
    {"auth", offsetof(struct options, auth)},
    {"daemon", offsetof(struct options, daemon)},
    {"client", offsetof(struct options, client)},
    {"log", offsetof(struct options, log)},
    {"mbox", offsetof(struct options, mbox)},
    {"config", offsetof(struct options, config)},
    {"postfix-config", offsetof(struct options, postfix_config)},
    {"sendmail-config", offsetof(struct options, sendmail_config)},
};

/* Options with an argument that may be given several times. */
static const struct {
    const char *name;
    size_t offset;
} lists[] = {
    {"rcpt", offsetof(struct options, rcpt)},
    {"header", offsetof(struct options, header)},
};

/* Options without one, beside those that every command takes. */
static const struct {
    const char *name;
    size_t offset;
} flags[] = {
    {"material", offsetof(struct options, material)},
    {"postfix", offsetof(struct options, postfix)},
    {"guardian", offsetof(struct options, guardian)},
    {"officer", offsetof(struct options, officer)},
    {"end", offsetof(struct options, end)},
    {"retire", offsetof(struct options, retire)},
    {"readmit", offsetof(struct options, readmit)},
    {"follow", offsetof(struct options, follow)},
    {"local", offsetof(struct options, local)},
    {"seal", offsetof(struct options, seal)},
    {"drop-oldest", offsetof(struct options, drop_oldest)},
    {"sendmail", offsetof(struct options, sendmail)},
};

#define TEXT_COUNT (sizeof(texts) / sizeof(texts[0]))
#define LIST_COUNT (sizeof(lists) / sizeof(lists[0]))
#define FLAG_COUNT (sizeof(flags) / sizeof(flags[0]))
#define LONG_COUNT (TEXT_COUNT + LIST_COUNT + FLAG_COUNT)
#define COMMON_COUNT 3
#define FIRST_TEXT 256 /* getopt values below are the short options' and the common ones' */
#define FIRST_LIST (FIRST_TEXT + (int)TEXT_COUNT)
#define FIRST_FLAG (FIRST_LIST + (int)LIST_COUNT)

static void print_command(FILE *out, const struct command *command)
{
    (void)fprintf(out, "  consentctl %s%s%s %s\n", command->words[0], command->words[1] != NULL ? " " : "",
                  command->words[1] != NULL ? command->words[1] : "", command->usage);
}

static void print_usage(FILE *out)
{
    (void)fprintf(out, "usage: consentctl [-c FILE] [-Vh] COMMAND ... [--json] [--quiet] [--help]\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        print_command(out, &commands[i]);
    }
}

static bool allows(const struct command *command, const char *option)
{
    struct cm_span rest = cm_span_of(command->options);
    struct cm_span word;
    while (cm_span_next(&rest, ' ', &word)) {
        if (cm_span_equal(word, cm_span_of(option))) {
            return true;
        }
    }
    return false;
}

static void fill_long_options(struct option out[LONG_COUNT + COMMON_COUNT + 1])
{
    static const struct option common[COMMON_COUNT + 1] = {
        {"json", no_argument, NULL, 'j'},
        {"quiet", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},
    };
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        out[i] = (struct option){texts[i].name, required_argument, NULL, FIRST_TEXT + (int)i};
    }
    for (size_t i = 0; i < LIST_COUNT; i++) {
        out[TEXT_COUNT + i] = (struct option){lists[i].name, required_argument, NULL, FIRST_LIST + (int)i};
    }
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        out[TEXT_COUNT + LIST_COUNT + i] = (struct option){flags[i].name, no_argument, NULL, FIRST_FLAG + (int)i};
    }
    memcpy(out + LONG_COUNT, common, sizeof(common));
}

/* What getopt found, before the command is known. */
struct parsed {
    struct options options;
    bool given[TEXT_COUNT];
    bool overflow; /* an option was given too often */
    bool help;
    bool version;
};

static void take_option(struct parsed *parsed, int option, const char *argument)
{
    char *options = (char *)&parsed->options;
    if (option >= FIRST_FLAG) {
        *(bool *)(void *)(options + flags[option - FIRST_FLAG].offset) = true;
    } else if (option >= FIRST_LIST) {
        struct option_list *list = (struct option_list *)(void *)(options + lists[option - FIRST_LIST].offset);
        if (list->count == OPTION_LIST_MAX) {
            parsed->overflow = true;
        } else {
            list->items[list->count++] = argument;
        }
    } else {
        *(const char **)(void *)(options + texts[option - FIRST_TEXT].offset) = argument;
        parsed->given[option - FIRST_TEXT] = true;
    }
}

static bool parse(int argc, char **argv, struct parsed *out)
{
    struct option long_options[LONG_COUNT + COMMON_COUNT + 1];
    const char *environment = getenv(CM_SETTINGS_ENVIRONMENT);
    int option;
    fill_long_options(long_options);
    *out = (struct parsed){.options.file = environment != NULL ? environment : CM_SETTINGS_DEFAULT_FILE};
    while ((option = getopt_long(argc, argv, "c:Vh", long_options, NULL)) != -1) {
        if (option >= FIRST_TEXT) {
            take_option(out, option, optarg);
            continue;
        }
        switch (option) {
        case 'c': out->options.file = optarg; break;
        case 'j': out->options.json = true; break;
        case 'q': out->options.quiet = true; break;
        case 'h': out->help = true; break;
        case 'V': out->version = true; break;
        default: return false;
        }
    }
    return true;
}

/* The command that the words name; *out_used tells how many of them. */
static const struct command *find_command(char *const *words, int count, int *out_used)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        int needs = commands[i].words[1] != NULL ? 2 : 1;
        if (count >= needs && strcmp(words[0], commands[i].words[0]) == 0 &&
            (needs == 1 || strcmp(words[1], commands[i].words[1]) == 0)) {
            *out_used = needs;
            return &commands[i];
        }
    }
    return NULL;
}

/* EX_OK, or EX_USAGE after printing what does not fit. */
static int check_usage(const struct command *command, const struct parsed *parsed)
{
    int code = EX_OK;
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        if (parsed->given[i] && !allows(command, texts[i].name)) {
            code = cm_ctl_fail(EX_USAGE, "%s takes no --%s", command->words[0], texts[i].name);
        }
    }
    for (size_t i = 0; i < LIST_COUNT; i++) {
        const struct option_list *list = (const struct option_list *)(const void *)((const char *)&parsed->options +
                                                                                    lists[i].offset);
        if (list->count > 0 && !allows(command, lists[i].name)) {
            code = cm_ctl_fail(EX_USAGE, "%s takes no --%s", command->words[0], lists[i].name);
        }
    }
    if (parsed->overflow) {
        code = cm_ctl_fail(EX_USAGE, "an option is given more than %d times", OPTION_LIST_MAX);
    }
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        bool is_set = *(const bool *)(const void *)((const char *)&parsed->options + flags[i].offset);
        if (is_set && !allows(command, flags[i].name)) {
            code = cm_ctl_fail(EX_USAGE, "%s takes no --%s", command->words[0], flags[i].name);
        }
    }
    if (parsed->options.word_count < command->least || parsed->options.word_count > command->most) {
        code = cm_ctl_fail(EX_USAGE, "wrong number of arguments");
    }
    if (code != EX_OK) {
        print_command(stderr, command);
    }
    return code;
}

static int run(const struct command *command, const struct options *options)
{
    struct cm_err err;
    struct context context = {.options = options};
    int code = EX_OK;
    /* The doctor of the mail server needs no store, and helps where there is none yet. */
    enum need need = options->postfix || options->sendmail ? NEED_NOTHING : command->need;
    const struct passwd *user = getpwuid(getuid());
    (void)snprintf(context.actor, sizeof(context.actor), "%s (consentctl)",
                   user != NULL ? user->pw_name : "unknown"); /* a long name is cut */
    context.settings = cm_settings_load(options->file, &err);
    if (context.settings == NULL) {
        return cm_ctl_fail(EX_CONFIG, "%s", err.text);
    }
    if (need != NEED_NOTHING && !cm_keys_load(context.settings->keys, need == NEED_SEAL, &context.keys, &err)) {
        code = cm_ctl_fail(EX_CONFIG, "%s", err.text);
    }
    if (code == EX_OK) {
        context.settings->store.timeout_ms = LONG_TIMEOUT_MS;
        context.store = cm_open_store(context.settings, &context.keys, POOL, &err);
        if (context.store != NULL && need != NEED_NOTHING) {
            struct cm_pepper_list peppers;
            (void)cm_store_read_peppers(context.store, &peppers, &err); /* the command meets the same trouble */
        }
        code = context.store != NULL ? command->run(&context) : cm_ctl_fail(EX_OSERR, "%s", err.text);
    }
    cm_hasher_free(context.hasher);
    cm_store_free(context.store);
    cm_keys_wipe(&context.keys);
    cm_settings_free(context.settings);
    return code;
}

int main(int argc, char **argv)
{
    struct parsed parsed;
    int used = 0;
    if (!parse(argc, argv, &parsed)) {
        print_usage(stderr);
        return EX_USAGE;
    }
    if (parsed.version) {
        (void)printf("consentctl %s\n", CM_VERSION);
        return EX_OK;
    }
    const struct command *command = find_command(argv + optind, argc - optind, &used);
    if (parsed.help) {
        if (command != NULL) {
            print_command(stdout, command);
        } else {
            print_usage(stdout);
        }
        return EX_OK;
    }
    if (command == NULL) {
        print_usage(stderr);
        return EX_USAGE;
    }
    for (int i = optind + used; i < argc; i++) {
        if (parsed.options.word_count == (int)(sizeof(parsed.options.words) / sizeof(parsed.options.words[0]))) {
            return cm_ctl_fail(EX_USAGE, "too many arguments");
        }
        parsed.options.words[parsed.options.word_count++] = argv[i];
    }
    int code = check_usage(command, &parsed);
    if (code == EX_OK) {
        code = run(command, &parsed.options);
    }
    if (fflush(stdout) != 0 || ferror(stdout) != 0) {
        return cm_ctl_fail(EX_IOERR, "cannot write to standard output");
    }
    return code;
}
