/* The archiver's key: made once, refused when it is not what it was, and its signatures are nobody else's. */
#include "store/archive_key.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char sandbox[] = "/tmp/cm-archive-key-XXXXXX";

static int enter(void **state)
{
    (void)state;
    return system("rm -rf keys && mkdir keys") == 0 ? 0 : -1; /* NOLINT(cert-env33-c): our own fixed text */
}

static int make_sandbox(void **state)
{
    (void)state;
    (void)umask(022); /* the former mask is of no interest */
    return mkdtemp(sandbox) != NULL && chdir(sandbox) == 0 ? 0 : -1;
}

static int remove_sandbox(void **state)
{
    (void)state;
    char command[64];
    (void)snprintf(command, sizeof(command), "rm -rf %s", sandbox); /* fits */
    return chdir("/") == 0 && system(command) == 0 ? 0 : -1;        /* NOLINT(cert-env33-c): as above */
}

static unsigned mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (unsigned)st.st_mode & 0777U;
}

static void create(void)
{
    struct cm_err err = {""};
    if (!cm_archive_key_create("keys", &err)) {
        fail_msg("%s", err.text);
    }
}

static struct cm_archive_key load(bool to_sign)
{
    struct cm_archive_key key;
    struct cm_err err = {""};
    if (!cm_archive_key_load("keys", to_sign, &key, &err)) {
        fail_msg("%s", err.text);
    }
    return key;
}

static void expect_refused(bool to_sign, const char *word)
{
    struct cm_archive_key key;
    struct cm_err err = {""};
    assert_false(cm_archive_key_load("keys", to_sign, &key, &err));
    if (strstr(err.text, word) == NULL) {
        fail_msg("%s", err.text);
    }
}

/* Restores the length, with a last byte that is certainly not the one that was there. */
static void replace_last_byte(const char *path, const struct cm_archive_key *was)
{
    FILE *file = fopen(path, "r+e");
    assert_non_null(file);
    assert_int_equal(fseek(file, CM_ARCHIVE_KEY_BYTES - 1, SEEK_SET), 0);
    assert_int_not_equal(fputc(was->shown[CM_ARCHIVE_KEY_BYTES - 1] ^ 1, file), EOF);
    assert_int_equal(fclose(file), 0);
}

static void test_it_is_made_once(void **state)
{
    (void)state;
    create();
    struct cm_archive_key first = load(true);
    assert_int_equal(mode_of("keys/archive.1"), 0400);
    assert_int_equal(mode_of("keys/archive.1.pub"), 0444);
    create();
    struct cm_archive_key second = load(true);
    assert_memory_equal(&first, &second, sizeof(first));
    assert_int_equal(unlink("keys/archive.1.pub"), 0); /* as after a crash between the two */
    create();
    second = load(true);
    assert_memory_equal(&first, &second, sizeof(first));
    assert_int_equal(unlink("keys/archive.1"), 0); /* kept where the archiver runs */
    create();
    assert_int_equal(access("keys/archive.1", F_OK), -1);
    expect_refused(true, "archive.1:");
    assert_false(load(false).can_sign);
}

static void test_files_that_are_not_as_made(void **state)
{
    (void)state;
    expect_refused(false, "consentctl init");
    create();
    struct cm_archive_key key = load(true);
    assert_int_equal(chmod("keys/archive.1", 0444), 0);
    expect_refused(true, "open to others");
    assert_int_equal(chmod("keys/archive.1", 0400), 0);
    assert_int_equal(chmod("keys/archive.1.pub", 0664), 0);
    expect_refused(false, "chmod 0444");
    assert_int_equal(chmod("keys/archive.1.pub", 0644), 0);
    assert_int_equal(truncate("keys/archive.1.pub", 31), 0);
    expect_refused(false, "damaged");
    replace_last_byte("keys/archive.1.pub", &key);
    expect_refused(true, "not of one pair");
}

static void test_signatures(void **state)
{
    (void)state;
    struct cm_span text = CM_SPAN("a head");
    uint8_t signature[CM_ARCHIVE_SIGNATURE_BYTES];
    create();
    struct cm_archive_key key = load(true);
    assert_true(cm_archive_sign(&key, text, signature));
    assert_true(cm_archive_signature_fits(&key, text, signature));
    assert_false(cm_archive_signature_fits(&key, CM_SPAN("another"), signature));
    for (size_t bit = 0; bit < sizeof(signature) * 8; bit++) {
        signature[bit / 8] ^= (uint8_t)(1U << bit % 8);
        assert_false(cm_archive_signature_fits(&key, text, signature));
        signature[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    (void)enter(state);
    create();
    struct cm_archive_key other = load(false);
    assert_false(cm_archive_signature_fits(&other, text, signature));
    assert_false(cm_archive_sign(&other, text, signature));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_it_is_made_once, enter),
        cmocka_unit_test_setup(test_files_that_are_not_as_made, enter),
        cmocka_unit_test_setup(test_signatures, enter),
    };
    return cmocka_run_group_tests(tests, make_sandbox, remove_sandbox);
}
