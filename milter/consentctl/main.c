/* consentctl(1): finds the command, checks its options by table, opens the store, runs it. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consentctl.h"
#include "service/open.h"

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
    {{"purpose", "add"}, 1, 1, NEED_STORE, cm_ctl_purpose_add, "title", "SENDER/PURPOSE [--title T]"},
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
     "source basis anchor at statement evidence ref",
     "ADDRESS SENDER/PURPOSE --source S [--basis B] [--anchor DATE] [--at TIME] [--statement N] [--evidence JSON] "
     "[--ref R]"},
    {{"withdraw"},
     2,
     2,
     NEED_SEAL,
     cm_ctl_withdraw,
     "reason at source",
     "ADDRESS SENDER/PURPOSE|SENDER|everybody [--reason R] [--at TIME] [--source S]"},
    {{"check"},
     1,
     2,
     NEED_STORE,
     cm_ctl_check,
     "at list",
     "ADDRESS SENDER/PURPOSE [--at TIME], or --list FILE SENDER/PURPOSE"},
    {{"show"}, 1, 1, NEED_STORE, cm_ctl_show, "", "ADDRESS"},
    {{"history"}, 1, 1, NEED_SEAL, cm_ctl_history, "", "ADDRESS"},
    {{"explain"}, 0, 1, NEED_STORE, cm_ctl_explain, "rcpt stream", "DECISION-ID, or --rcpt ADDRESS --stream NAME"},
    {{"stats"}, 0, 0, NEED_STORE, cm_ctl_stats, "", "numbers of records, and today's decisions"},
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
    {"rcpt", offsetof(struct options, rcpt)},
    {"stream", offsetof(struct options, stream)},
};

#define TEXT_COUNT (sizeof(texts) / sizeof(texts[0]))
#define FIRST_TEXT 256 /* getopt values below are the short options' and flags' */

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

static void fill_long_options(struct option out[TEXT_COUNT + 5])
{
    static const struct option flags[] = {
        {"json", no_argument, NULL, 'j'},
        {"quiet", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},
        {"material", no_argument, NULL, 'm'},
    };
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        out[i] = (struct option){texts[i].name, required_argument, NULL, FIRST_TEXT + (int)i};
    }
    memcpy(out + TEXT_COUNT, flags, sizeof(flags));
    out[TEXT_COUNT + 4] = (struct option){0};
}

/* What getopt found, before the command is known. */
struct parsed {
    struct options options;
    bool given[TEXT_COUNT];
    bool help;
    bool version;
};

static bool parse(int argc, char **argv, struct parsed *out)
{
    struct option long_options[TEXT_COUNT + 5];
    const char *environment = getenv(CM_SETTINGS_ENVIRONMENT);
    int option;
    fill_long_options(long_options);
    *out = (struct parsed){.options.file = environment != NULL ? environment : CM_SETTINGS_DEFAULT_FILE};
    while ((option = getopt_long(argc, argv, "c:Vh", long_options, NULL)) != -1) {
        if (option >= FIRST_TEXT) {
            size_t i = (size_t)(option - FIRST_TEXT);
            *(const char **)(void *)((char *)&out->options + texts[i].offset) = optarg;
            out->given[i] = true;
            continue;
        }
        switch (option) {
        case 'c': out->options.file = optarg; break;
        case 'j': out->options.json = true; break;
        case 'q': out->options.quiet = true; break;
        case 'm': out->options.material = true; break;
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
    if (parsed->options.material && !allows(command, "material")) {
        code = cm_ctl_fail(EX_USAGE, "%s takes no --material", command->words[0]);
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
    context.settings = cm_settings_load(options->file, &err);
    if (context.settings == NULL) {
        return cm_ctl_fail(EX_CONFIG, "%s", err.text);
    }
    if (command->need != NEED_NOTHING &&
        !cm_keys_load(context.settings->keys, command->need == NEED_SEAL, &context.keys, &err)) {
        code = cm_ctl_fail(EX_CONFIG, "%s", err.text);
    }
    if (code == EX_OK) {
        context.settings->store.timeout_ms = LONG_TIMEOUT_MS;
        context.store = cm_open_store(context.settings, &context.keys, POOL, &err);
        context.hasher = cm_hasher_new(context.keys.pepper);
        code = context.store != NULL && context.hasher != NULL ? command->run(&context)
                                                               : cm_ctl_fail(EX_OSERR, "out of memory");
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
