/* A directory of its own for a test program of the settings; it is the working directory, so messages are the same
 * everywhere. */
#ifndef TESTS_UNIT_SETTINGS_SANDBOX_H
#define TESTS_UNIT_SETTINGS_SANDBOX_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "settings/settings.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The least that a configuration needs, on one line. */
#define STORE "store: { url = \"unix:/r\"; };\n"
#define NAMES "name = \"n\"; sender = \"s\"; purpose = \"p\";"
#define MATCH "match: { auth = [\"a\"]; };"
/* A stream on lines 2 to 6: names on 3, match on 4, the rest on 5. */
#define STREAM(names, match, rest) STORE "streams: ( {\n" names "\n" match "\n" rest "\n} );\n"

static char sandbox[] = "/tmp/cm-settings-XXXXXX";

static inline int enter_sandbox(void **state)
{
    (void)state;
    return mkdtemp(sandbox) != NULL && chdir(sandbox) == 0 && mkdir("conf.d", 0700) == 0 ? 0 : -1;
}

static inline void put_bytes(const char *path, const void *bytes, size_t len)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static inline void put(const char *path, const char *text)
{
    put_bytes(path, text, strlen(text));
}

static inline int leave_sandbox(void **state)
{
    (void)state;
    char command[64];
    (void)snprintf(command, sizeof(command), "rm -rf %s", sandbox); /* fits */
    return chdir("/") == 0 && system(command) == 0 ? 0 : -1;        /* NOLINT(cert-env33-c): our own fixed text */
}

/* Loads "consent-milter.conf" and expects success. */
static inline struct cm_settings *load_good(const char *text)
{
    struct cm_err err = {.text = ""};
    put("consent-milter.conf", text);
    struct cm_settings *settings = cm_settings_load("consent-milter.conf", &err);
    if (settings == NULL) {
        fail_msg("%s", err.text);
    }
    assert_string_equal(err.text, ""); /* written on failure only */
    return settings;
}

/* Loads what is there and expects exactly this error. */
static inline void expect_error(const char *what, const char *want)
{
    struct cm_err err = {.text = ""};
    struct cm_settings *settings = cm_settings_load("consent-milter.conf", &err);
    if (settings != NULL) {
        cm_settings_free(settings);
        fail_msg("%s: loaded; not refused with: %s", what, want);
    }
    if (strcmp(err.text, want) != 0) {
        fail_msg("%s:\n  is   %s\n  want %s", what, err.text, want);
    }
}

/* A bad file and what stands behind its name in the error. */
struct bad_file {
    const char *what;
    const char *text;
    const char *want;
};

static inline void expect_errors(const struct bad_file *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char want[CM_ERR_BYTES];
        (void)snprintf(want, sizeof(want), "consent-milter.conf%s", rows[i].want); /* cut as the error is */
        put("consent-milter.conf", rows[i].text);
        expect_error(rows[i].what, want);
    }
}

#endif
