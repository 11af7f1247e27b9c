/*
 * What the files of this directory share. Nothing outside includes it.
 *
 *   source.c   files: reading, checking what libconfig does not check, fragments, the SHA-256
 *   reader.c   tables of keys against a libconfig tree
 *   items.c    one value by its row
 *   suggest.c  what may have been meant by an unknown key
 *   values.c   single values: store URLs, sockets, names
 *   streams.c  the stream table
 *   canaries.c the file of canaries
 *   keeper.c   the keepers and who may call ours
 *   top.c      the other keys
 *   settings.c loading and freeing
 *   warn.c     what is allowed and probably not meant
 */
#ifndef SETTINGS_INTERNAL_H
#define SETTINGS_INTERNAL_H

#include <libconfig.h>

#include "base/arena.h"
#include "settings/settings.h"

/* Ceilings; more is a configuration error. */
#define CM_SETTINGS_FILE_BYTES (4 * 1048576) /* of one file */
#define CM_SETTINGS_FRAGMENTS 1024           /* in conf.d */
#define CM_SETTINGS_INCLUDES 256             /* @include lines followed, in all */
#define CM_SETTINGS_INCLUDE_DEPTH 8          /* libconfig stops at 10 */
#define CM_SETTINGS_LIST_VALUES 1024         /* values of one list */
#define CM_SETTINGS_STREAM_HEADERS 16        /* header conditions of one stream */
#define CM_SETTINGS_CALLERS 64               /* of the keeper */
#define CM_SETTINGS_PATH_BYTES 96            /* of a key path in a message; a longer one is cut */

/* --- source.c --- */

struct cm_source_set {
    struct cm_arena *arena; /* for paths, until loading ends */
    const char *directory;  /* of the main file; @include lines are relative to it */
    struct evp_md_ctx_st *digest;
    unsigned includes; /* followed so far */
    struct cm_err *err;
};

/* Reads a file whole, adds it to the digest, and checks it and what it includes for all that libconfig would pass over
 * or stumble on. The caller frees the text; NULL and err on failure. */
char *cm_source_read(struct cm_source_set *set, const char *path);
/* Reads any other file that the configuration names, whole; the rest as above. */
char *cm_source_read_list(const char *path, size_t *out_len, struct cm_err *err);
/* Names of the fragments in conf.d, in C-locale order, as paths. False and err on failure; no directory: none. */
bool cm_source_fragments(struct cm_source_set *set, const char ***out_paths, size_t *out_count);
/* The part before the last '/', or ".". */
const char *cm_source_directory(struct cm_arena *arena, const char *path);

/* --- reader.c --- */

struct cm_reader {
    struct cm_arena *arena; /* of the settings: what is read stays there */
    const char *file;
    const char *directory;
    struct cm_err *err;
};

enum cm_key_type {
    CM_KEY_TEXT = 1, /* const char * */
    CM_KEY_PARSED,   /* text that `parse` takes apart */
    CM_KEY_FLAG,     /* bool */
    CM_KEY_COUNT,    /* unsigned */
    CM_KEY_DURATION, /* unsigned, ms; text with a unit */
    CM_KEY_DAYS,     /* unsigned; text with the unit d */
    CM_KEY_OCTAL,    /* unsigned; text of octal digits */
    CM_KEY_WORD,     /* unsigned, one of `words` */
    CM_KEY_WORDS,    /* unsigned, the OR of a list of `words` */
    CM_KEY_PATTERNS, /* struct cm_patterns */
    CM_KEY_NETWORKS, /* struct cm_networks */
    CM_KEY_LIST,     /* const config_setting_t *: a list that the caller reads */
};

struct cm_word {
    const char *word;
    unsigned value; /* never 0, which is "not set" */
};

/* One key. `path` is relative to the group that the table describes; "a.b" makes a an inner group. */
struct cm_key {
    const char *path;
    enum cm_key_type type;
    bool required;
    bool may_hold_secret; /* a text with '@' is not repeated in messages */
    unsigned min;         /* of numbers, bytes of a text, or WORDS */
    unsigned max;         /* likewise; of PATTERNS how many, 0: CM_SETTINGS_LIST_VALUES */
    size_t offset;        /* of the value in what the table fills */
    const char *text;     /* default of TEXT and PARSED; NULL: NULL */
    unsigned number;      /* default of numbers and words */
    const char *right;    /* what would be right, to follow "write" */
    const struct cm_word *words;
    /* What is wrong with a text (or with one of PATTERNS), or NULL. */
    const char *(*problem)(const char *text);
    /* Takes a text apart into the value; the problem, or NULL. */
    const char *(*parse)(struct cm_arena *arena, const char *text, void *out_value);
};

struct cm_key_table {
    const struct cm_key *keys;
    size_t count;
    const char *name; /* the group's own path, "" for the top: messages put it in front */
};

/* Fills `base` from a group by its table: defaults first, then every member. False and err if anything is not right. */
bool cm_reader_group(const struct cm_reader *reader, const config_setting_t *group, const struct cm_key_table *table,
                     void *base);
/* Sets err to "FILE:LINE: path: text"; always false. `path` may be "". */
bool cm_reader_fail(const struct cm_reader *reader, const config_setting_t *at, const char *path, const char *format,
                    ...) __attribute__((format(printf, 4, 5)));
bool cm_reader_fail_memory(const struct cm_reader *reader);
/* Where a setting stands, "FILE:LINE" or "FILE". */
void cm_reader_place(const struct cm_reader *reader, const config_setting_t *at, struct cm_text *out);
/* A text of the file for a message: cut at 60 bytes, control characters replaced. */
#define CM_QUOTE_BYTES 64
const char *cm_quote(const char *text, char out[CM_QUOTE_BYTES]);
/* The member of a group by its dotted path, or the innermost group around it that is there: where to point at. */
const config_setting_t *cm_reader_member(const config_setting_t *group, const char *path);
bool cm_reader_has(const config_setting_t *group, const char *path);

/* --- items.c --- */

/* A value of the file on its way into the settings. */
struct cm_item {
    const struct cm_reader *reader;
    const struct cm_key *key;
    const config_setting_t *setting;
    const char *path; /* whole, for messages */
};

/* Stores the value as its row says; false and err if it is not right. */
bool cm_item_read(const struct cm_item *item, void *out);
/* What a setting is, for "is ...". */
const char *cm_type_name(const config_setting_t *setting);

/* --- suggest.c --- */

/* Adds what the administrator may have meant by an unknown key of the group `prefix` ("" or "store."). */
void cm_suggest_key(const struct cm_key_table *table, const char *prefix, const char *wrong, struct cm_text *out);
/* Adds 'write "a" or "b"'. */
void cm_suggest_word(const struct cm_word *words, struct cm_text *out);

/* --- values.c: problems of texts, NULL when right --- */

const char *cm_problem_of_file(const char *text);
const char *cm_problem_of_name(const char *text);
const char *cm_problem_of_id(const char *text);
const char *cm_problem_of_store_user(const char *text);
const char *cm_problem_of_server_name(const char *text);
const char *cm_problem_of_group(const char *text);
const char *cm_problem_of_account(const char *text);
const char *cm_problem_of_keeper(const char *text);
const char *cm_problem_of_officer(const char *text);
/* Of metrics.listen: where nobody else in the network can connect. */
const char *cm_problem_of_loopback(const char *text);
/* Of mail.server: HOST:PORT. */
const char *cm_problem_of_mail_server(const char *text);
const char *cm_problem_of_url(const char *text);
const char *cm_problem_of_header_name(const char *text);
const char *cm_problem_of_session_pattern(const char *text);
const char *cm_problem_of_mail_from_pattern(const char *text);
const char *cm_problem_of_header_pattern(const char *text);
/* Of list_id and from: a header pattern that may hold {purpose}. */
const char *cm_problem_of_header_identity(const char *text);
/* `arena` keeps what is taken out of the text. */
const char *cm_parse_store_url(struct cm_arena *arena, const char *text, void *out_store);
const char *cm_parse_socket(struct cm_arena *arena, const char *text, void *out_socket);
bool cm_parse_duration(const char *text, unsigned *out_ms);
bool cm_parse_days(const char *text, unsigned *out_days);
bool cm_parse_octal(const char *text, unsigned *out_value);

/* --- streams.c --- */

extern const struct cm_word cm_words_of_mode[];

/* Reads the groups of one `streams` list into the next entries of the table, which has room for them. */
bool cm_streams_read(const struct cm_reader *reader, const config_setting_t *list, struct cm_stream_table *table);
/* Refuses two streams of one name. `lists` are all that were read, in order, each with its reader. */
struct cm_stream_list {
    struct cm_reader reader;
    const config_setting_t *list; /* NULL: the file has none */
};
bool cm_streams_check_names(const struct cm_stream_list *lists, const struct cm_stream_table *table);

/* --- keeper.c --- */

/* The lists that the top level holds about keepers, before they are weighed. */
struct cm_keeper_lists {
    struct cm_patterns names;
    const config_setting_t *callers; /* NULL: the file has none */
};
/* Fills keepers and keeper.callers; `root` is the top of the main file. */
bool cm_keepers_read(const struct cm_reader *reader, const config_setting_t *root, const struct cm_keeper_lists *lists,
                     struct cm_settings *settings);

/* --- canaries.c --- */

/* Reads the file that settings->canaries_file names, if it does. */
bool cm_canaries_read(const struct cm_reader *reader, const config_setting_t *root, struct cm_settings *settings);

/* --- top.c --- */

/* The top level as the file says, before it is weighed. */
struct cm_draft {
    struct cm_settings settings;
    unsigned mode; /* unsigned, as the tables write words */
    unsigned bulk;
    unsigned honesty;
    const config_setting_t *streams;
    struct cm_keeper_lists keepers;
};

/* Reads and weighs the top of the main file, but for its streams. */
bool cm_top_read(const struct cm_reader *reader, const config_setting_t *root, struct cm_draft *draft);

#endif
