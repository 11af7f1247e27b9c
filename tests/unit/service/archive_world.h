/* A directory of its own with an archiver's key in it, and entries to archive: for the tests of the archive. */
#ifndef TESTS_UNIT_SERVICE_ARCHIVE_WORLD_H
#define TESTS_UNIT_SERVICE_ARCHIVE_WORLD_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "service/archive.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define STORE_ID "0123456789abcdef0123456789abcdef"
#define OTHER_STORE_ID "fedcba9876543210fedcba9876543210"
#define DAY_MS ((cm_ms)86400000)
#define NOW ((cm_ms)1795000000000)

static char sandbox[] = "/tmp/cm-archive-XXXXXX";
static struct cm_archive_key key;
static struct cm_archive_key other_key;

static inline void run_shell(const char *command)
{
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): our own fixed text */
}

static inline int enter_sandbox(void **state)
{
    (void)state;
    struct cm_err err = {""};
    bool ok = mkdtemp(sandbox) != NULL && chdir(sandbox) == 0 && mkdir("keys", 0700) == 0 &&
              mkdir("other", 0700) == 0 && cm_archive_key_create("keys", &err) &&
              cm_archive_key_load("keys", true, &key, &err) && cm_archive_key_create("other", &err) &&
              cm_archive_key_load("other", true, &other_key, &err);
    if (!ok) {
        print_error("%s\n", err.text);
    }
    return ok ? 0 : -1;
}

static inline int leave_sandbox(void **state)
{
    (void)state;
    char command[64];
    (void)snprintf(command, sizeof(command), "rm -rf %s", sandbox); /* fits */
    return chdir("/") == 0 && system(command) == 0 ? 0 : -1;        /* NOLINT(cert-env33-c): as above */
}

/* Each test finds no archive. */
static inline int no_archive(void **state)
{
    (void)state;
    return system("rm -rf archive") == 0 ? 0 : -1; /* NOLINT(cert-env33-c): as above */
}

static const struct cm_archive_site site = {.directory = "archive", .store_id = STORE_ID, .key = &key};

/* An entry whose bytes follow from its ledger id; the document is that long. */
static inline struct cm_ledger_raw entry_of(unsigned partition, uint64_t id, size_t document_len)
{
    static char event[CM_EVENT_MAX_BYTES];
    static char document[CM_LIMIT_NOTE_BYTES + 1];
    memset(event, (int)(id & 0x7f), sizeof(event));
    memset(document, (int)(id & 0x7f) + 1, sizeof(document));
    return (struct cm_ledger_raw){.partition = partition,
                                  .id = id,
                                  .event = {event, document_len > 0 ? CM_EVENT_MAX_BYTES : CM_EVENT_BYTES},
                                  .document = {document, document_len}};
}

#endif
