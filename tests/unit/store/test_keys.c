#include "store/keys.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char sandbox[] = "/tmp/cm-keys-XXXXXX";

/* Each test works in a directory `keys` that is not there yet. */
static int enter(void **state)
{
    (void)state;
    return system("rm -rf keys") == 0 ? 0 : -1; /* NOLINT(cert-env33-c): our own fixed text */
}

static int make_sandbox(void **state)
{
    (void)state;
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

static void put(const char *path, const char *bytes, size_t len, unsigned mode)
{
    (void)unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
}

static struct cm_keys create(bool want_fresh)
{
    struct cm_keys keys;
    struct cm_err err = {""};
    bool fresh = !want_fresh;
    if (!cm_keys_create("keys", &keys, &fresh, &err)) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(fresh, want_fresh);
    return keys;
}

static struct cm_keys create_and_commit(void)
{
    struct cm_keys keys = create(true);
    assert_true(cm_keys_commit("keys", NULL));
    return keys;
}

static void refuse_load(bool with_seal, const char *first, const char *second)
{
    struct cm_keys keys = {.store_id = "untouched"};
    struct cm_err err = {""};
    assert_false(cm_keys_load("keys", with_seal, &keys, &err));
    if (strstr(err.text, first) == NULL || strstr(err.text, second) == NULL) {
        fail_msg("neither %s nor %s in: %s", first, second, err.text);
    }
    assert_string_equal(keys.store_id, "untouched");
}

static void keys_are_made_for_their_owner_alone(void **state)
{
    (void)state;
    mode_t before = umask(0);
    struct cm_keys keys = create(true);
    (void)umask(before);
    assert_int_equal(mode_of("keys"), 0750);
    assert_int_equal(mode_of("keys/pepper.1"), 0400);
    assert_int_equal(mode_of("keys/seal.1"), 0400);
    assert_int_equal(mode_of("keys/store.new"), 0400);
    assert_int_equal(strlen(keys.store_id), CM_STORE_ID_CHARS);
    assert_int_equal(strspn(keys.store_id, "0123456789abcdef"), CM_STORE_ID_CHARS);
    assert_true(keys.has_seal);
    assert_memory_not_equal(keys.peppers[1].bytes, keys.seals[1], CM_PEPPER_BYTES);
}

static void a_store_id_counts_only_once_committed(void **state)
{
    (void)state;
    struct cm_keys first = create(true);
    refuse_load(false, "keys/store", "consentctl init");
    struct cm_keys second = create(true); /* an interrupted init goes on */
    assert_string_equal(first.store_id, second.store_id);
    assert_memory_equal(first.peppers[1].bytes, second.peppers[1].bytes, CM_PEPPER_BYTES);
    assert_true(cm_keys_commit("keys", NULL));
    assert_int_equal(access("keys/store.new", F_OK), -1);
    struct cm_keys third = create(false);
    assert_memory_equal(first.peppers[1].bytes, third.peppers[1].bytes, CM_PEPPER_BYTES);
    assert_memory_equal(first.seals[1], third.seals[1], CM_SEAL_MASTER_BYTES);
    assert_string_equal(first.store_id, third.store_id);
    struct cm_err err = {""};
    assert_false(cm_keys_commit("keys", &err)); /* there is nothing new */
    assert_non_null(strstr(err.text, "store.new"));
}

static void what_was_made_is_loaded(void **state)
{
    (void)state;
    struct cm_keys made = create_and_commit();
    struct cm_keys loaded;
    assert_true(cm_keys_load("keys", true, &loaded, NULL));
    assert_string_equal(made.store_id, loaded.store_id);
    assert_memory_equal(made.peppers[1].bytes, loaded.peppers[1].bytes, CM_PEPPER_BYTES);
    assert_string_equal(made.peppers[1].check, loaded.peppers[1].check);
    assert_memory_equal(made.seals[1], loaded.seals[1], CM_SEAL_MASTER_BYTES);
    assert_true(cm_keys_load("keys", false, &loaded, NULL));
    assert_false(loaded.has_seal);
    static const uint8_t none[CM_SEAL_MASTER_BYTES];
    assert_memory_equal(loaded.seals[1], none, sizeof(none)); /* the filter never has it in memory */
}

static void two_stores_have_nothing_in_common(void **state)
{
    (void)state;
    struct cm_keys first = create_and_commit();
    assert_int_equal(enter(NULL), 0);
    struct cm_keys second = create_and_commit();
    assert_memory_not_equal(first.peppers[1].bytes, second.peppers[1].bytes, CM_PEPPER_BYTES);
    assert_memory_not_equal(first.seals[1], second.seals[1], CM_SEAL_MASTER_BYTES);
    assert_string_not_equal(first.store_id, second.store_id);
    assert_string_not_equal(first.peppers[1].check, second.peppers[1].check);
}

static void missing_files_are_named(void **state)
{
    (void)state;
    refuse_load(false, "keys/pepper.1", "consentctl init");
    (void)create_and_commit();
    assert_int_equal(unlink("keys/seal.1"), 0);
    refuse_load(true, "keys/seal.1", "consentctl init");
    struct cm_keys keys;
    assert_true(cm_keys_load("keys", false, &keys, NULL)); /* the filter needs none */
}

static void a_missing_pepper_is_never_made_anew_for_a_store(void **state)
{
    (void)state;
    (void)create_and_commit();
    assert_int_equal(unlink("keys/pepper.1"), 0);
    struct cm_keys keys;
    struct cm_err err = {""};
    bool fresh = false;
    assert_false(cm_keys_create("keys", &keys, &fresh, &err));
    assert_non_null(strstr(err.text, "restore it from the backup"));
    assert_int_equal(access("keys/pepper.1", F_OK), -1);
}

/* With a new master all evidence of the store would be lost without a word. */
static void a_missing_seal_master_is_never_made_anew_for_a_store(void **state)
{
    (void)state;
    (void)create_and_commit();
    assert_int_equal(unlink("keys/seal.1"), 0);
    struct cm_keys keys;
    struct cm_err err = {""};
    bool fresh = false;
    assert_false(cm_keys_create("keys", &keys, &fresh, &err));
    assert_non_null(strstr(err.text, "seal"));
    assert_int_equal(access("keys/seal.1", F_OK), -1);
}

static void damaged_files_are_refused(void **state)
{
    (void)state;
    static const char bytes[CM_STORE_ID_CHARS + 1] = {0};
    struct cm_keys made = create_and_commit();
    static const size_t wrong[] = {0, 1, CM_PEPPER_BYTES - 1, CM_PEPPER_BYTES + 1};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        put("keys/pepper.1", bytes, wrong[i], 0400);
        refuse_load(false, "keys/pepper.1 is damaged", "backup");
    }
    put("keys/pepper.1", (const char *)made.peppers[1].bytes, CM_PEPPER_BYTES, 0400);
    put("keys/seal.1", bytes, CM_SEAL_MASTER_BYTES - 1, 0400);
    refuse_load(true, "keys/seal.1 is damaged", "backup");
    put("keys/seal.1", (const char *)made.seals[1], CM_SEAL_MASTER_BYTES, 0400);
    put("keys/store", made.store_id, CM_STORE_ID_CHARS - 1, 0400);
    refuse_load(false, "keys/store is damaged", "32");
    put("keys/store", "0123456789abcdef0123456789abcdeg", CM_STORE_ID_CHARS, 0400);
    refuse_load(false, "keys/store is damaged", "hex");
    assert_int_equal(unlink("keys/store"), 0);
    assert_int_equal(mkdir("keys/store", 0700), 0);
    refuse_load(false, "keys/store", "not a regular file");
    assert_int_equal(rmdir("keys/store"), 0);
}

static void files_that_others_may_read_are_refused(void **state)
{
    (void)state;
    (void)create_and_commit();
    static const struct {
        unsigned mode;
        bool good;
    } rows[] = {{0400, true},  {0600, true},  {0440, true},  {0640, true},  {0404, false}, {0444, false},
                {0644, false}, {0402, false}, {0401, false}, {0420, false}, {0660, false}, {0777, false}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(chmod("keys/pepper.1", rows[i].mode), 0);
        if (rows[i].good) {
            struct cm_keys keys;
            assert_true(cm_keys_load("keys", true, &keys, NULL));
        } else {
            refuse_load(false, "keys/pepper.1 is open to others", "chmod 0400");
        }
    }
}

static void a_directory_that_cannot_be_made_is_named(void **state)
{
    (void)state;
    struct cm_keys keys;
    struct cm_err err = {""};
    bool fresh = false;
    assert_false(cm_keys_create("absent/keys", &keys, &fresh, &err));
    assert_non_null(strstr(err.text, "cannot make absent/keys"));
    char deep[2048];
    memset(deep, 'x', sizeof(deep) - 1);
    deep[sizeof(deep) - 1] = '\0';
    assert_false(cm_keys_load(deep, false, &keys, &err));
    assert_int_equal(err.text[0], 'x');
}

static void a_fingerprint_is_of_the_key_alone(void **state)
{
    (void)state;
    struct cm_keys keys = {.store_id = "x"};
    char text[17];
    cm_key_fingerprint(keys.peppers[1].bytes, text);
    assert_string_equal(text, "66687aadf862bd77"); /* SHA-256 of 32 zero bytes */
    cm_keys_wipe(&keys);
    assert_string_equal(keys.store_id, "");
}

static void the_newest_three_peppers_are_in_use_until_a_store_tells(void **state)
{
    (void)state;
    struct cm_keys keys = create_and_commit();
    uint32_t in_use = 0;
    assert_int_equal(cm_keys_in_use(&keys), CM_IN_USE(1U << 1, 1));
    for (unsigned id = 2; id <= 4; id++) {
        assert_true(cm_keys_make("keys", "pepper", id, id - 1, NULL));
    }
    assert_true(cm_keys_load("keys", false, &keys, NULL));
    assert_int_equal(cm_keys_in_use(&keys), CM_IN_USE(1U << 2 | 1U << 3 | 1U << 4, 4));
    cm_keys_use(&keys, CM_IN_USE(1U << 1 | 1U << 2 | 1U << 3, 2)); /* a guess gives way */
    assert_int_equal(CM_IN_USE_CURRENT(cm_keys_in_use(&keys)), 2);
    cm_keys_use(&keys, CM_IN_USE(1U << 1 | 1U << 2, 2)); /* told before 3 was announced, heard after */
    assert_int_equal(CM_IN_USE_MASK(cm_keys_in_use(&keys)), 1U << 1 | 1U << 2 | 1U << 3);
    cm_keys_use(&keys, CM_IN_USE(1U << 1 | 1U << 2 | 1U << 3, 3));
    cm_keys_use(&keys, CM_IN_USE(1U << 1 | 1U << 2 | 1U << 3, 2)); /* likewise of 3 being current */
    assert_int_equal(CM_IN_USE_CURRENT(cm_keys_in_use(&keys)), 3);
    cm_keys_use(&keys, CM_IN_USE(1U << 2 | 1U << 3, 3)); /* the oldest was dropped */
    assert_int_equal(CM_IN_USE_MASK(cm_keys_in_use(&keys)), 1U << 2 | 1U << 3);
    struct cm_hasher *hasher = cm_keys_hasher(&keys, &in_use);
    assert_non_null(hasher);
    assert_int_equal(in_use, cm_keys_in_use(&keys));
    cm_hasher_free(hasher);
}

static void a_new_pepper_is_as_readable_as_the_present_one(void **state)
{
    (void)state;
    struct cm_keys keys = create_and_commit();
    struct cm_err err = {""};
    assert_int_equal(chmod("keys/pepper.1", 0440), 0);
    assert_false(cm_keys_know_pepper(&keys, 2, &err));
    assert_non_null(strstr(err.text, "keys/pepper.2"));
    put("keys/pepper.2.new", "half", 4, 0400); /* an interrupted rotation */
    assert_true(cm_keys_make("keys", "pepper", 2, 1, NULL));
    assert_int_equal(mode_of("keys/pepper.2"), 0440);
    assert_int_equal(access("keys/pepper.2.new", F_OK), -1);
    assert_true(cm_keys_know_pepper(&keys, 2, NULL));
    uint8_t before[CM_PEPPER_BYTES];
    memcpy(before, keys.peppers[2].bytes, sizeof(before));
    assert_true(cm_keys_make("keys", "pepper", 2, 1, NULL)); /* what is there stays */
    assert_true(cm_keys_load("keys", false, &keys, NULL));
    assert_memory_equal(before, keys.peppers[2].bytes, sizeof(before));
    assert_true(cm_keys_drop_pepper("keys", 1, NULL));
    assert_true(cm_keys_drop_pepper("keys", 1, NULL)); /* again is harmless */
    assert_int_equal(mode_of("keys/pepper.1.dropped"), 0440);
    bool fresh = true;
    assert_true(cm_keys_create("keys", &keys, &fresh, NULL)); /* init after that makes none anew */
    assert_int_equal(access("keys/pepper.1", F_OK), -1);
}

/* The filter may start before it may read an announced pepper; with none at all it may not. */
static void an_unreadable_pepper_beside_a_good_one_is_left_out(void **state)
{
    (void)state;
    (void)create_and_commit();
    struct cm_keys keys;
    put("keys/pepper.2", "short", 5, 0400);
    assert_true(cm_keys_load("keys", false, &keys, NULL));
    assert_int_equal(cm_keys_in_use(&keys), CM_IN_USE(1U << 1, 1));
    assert_int_equal(unlink("keys/pepper.1"), 0);
    refuse_load(false, "keys/pepper.", "");
}

static void documents_open_under_the_master_they_were_sealed_with(void **state)
{
    (void)state;
    struct cm_keys keys = create_and_commit();
    struct cm_keys old = keys;
    struct cm_sealed sealed[2];
    char text[CM_LIMIT_EVIDENCE_BYTES + 1];
    size_t len = 0;
    static const uint8_t salt[CM_SALT_BYTES] = {7};
    assert_true(cm_keys_seal(&keys, salt, CM_SPAN("first"), &sealed[0]));
    assert_true(cm_keys_make("keys", "seal", 2, 1, NULL));
    assert_true(cm_keys_load("keys", true, &keys, NULL));
    assert_true(cm_keys_seal(&keys, salt, CM_SPAN("second"), &sealed[1]));
    for (size_t i = 0; i < 2; i++) {
        struct cm_span bytes = {(const char *)sealed[i].bytes, sealed[i].len};
        assert_true(cm_keys_unseal(&keys, salt, bytes, text, &len));
        assert_string_equal(text, i == 0 ? "first" : "second");
        assert_int_equal(cm_keys_unseal(&old, salt, bytes, text, &len), i == 0); /* the newest seals */
    }
    assert_true(cm_keys_load("keys", false, &keys, NULL));
    assert_false(cm_keys_seal(&keys, salt, CM_SPAN("x"), &sealed[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(keys_are_made_for_their_owner_alone, enter),
        cmocka_unit_test_setup(a_store_id_counts_only_once_committed, enter),
        cmocka_unit_test_setup(what_was_made_is_loaded, enter),
        cmocka_unit_test_setup(two_stores_have_nothing_in_common, enter),
        cmocka_unit_test_setup(missing_files_are_named, enter),
        cmocka_unit_test_setup(a_missing_pepper_is_never_made_anew_for_a_store, enter),
        cmocka_unit_test_setup(a_missing_seal_master_is_never_made_anew_for_a_store, enter),
        cmocka_unit_test_setup(damaged_files_are_refused, enter),
        cmocka_unit_test_setup(files_that_others_may_read_are_refused, enter),
        cmocka_unit_test_setup(a_directory_that_cannot_be_made_is_named, enter),
        cmocka_unit_test_setup(the_newest_three_peppers_are_in_use_until_a_store_tells, enter),
        cmocka_unit_test_setup(a_new_pepper_is_as_readable_as_the_present_one, enter),
        cmocka_unit_test_setup(an_unreadable_pepper_beside_a_good_one_is_left_out, enter),
        cmocka_unit_test_setup(documents_open_under_the_master_they_were_sealed_with, enter),
        cmocka_unit_test_setup(a_fingerprint_is_of_the_key_alone, enter),
    };
    return cmocka_run_group_tests(tests, make_sandbox, remove_sandbox);
}
