/* Files: the main one, what it includes, fragments, and the hash over them all; and the warnings. */
#include "sandbox.h"

#include <openssl/evp.h>

#define ONE_STREAM(name, auth) \
    "streams: ( { name = \"" name "\"; sender = \"s\"; purpose = \"p\"; match: { auth = [\"" auth "\"]; }; } );\n"

static const char main_file[] = "consent-milter.conf";

static void remove_all(const char *const *paths, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(unlink(paths[i]), 0);
    }
}

static void assert_hash(const struct cm_settings *settings, const char *const *texts, size_t count)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    char hex[65];
    struct cm_text t = cm_text_over(hex, sizeof(hex));
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestInit_ex(context, EVP_sha256(), NULL), 1);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(EVP_DigestUpdate(context, texts[i], strlen(texts[i])), 1);
    }
    assert_int_equal(EVP_DigestFinal_ex(context, digest, &len), 1);
    EVP_MD_CTX_free(context);
    cm_text_add_hex(&t, digest, len);
    assert_string_equal(settings->sha256, hex);
}

static void fragments_are_read_in_the_order_of_their_names(void **state)
{
    (void)state;
    static const char *const files[] = {"conf.d/10-b.conf", "conf.d/9-a.conf", "conf.d/B.conf", "conf.d/a.conf"};
    static const char *const texts[] = {STORE ONE_STREAM("main", "m"), ONE_STREAM("second", "a"),
                                        ONE_STREAM("third", "a"), ONE_STREAM("fourth", "a"), ONE_STREAM("fifth", "a")};
    static const char *const names[] = {"main", "second", "third", "fourth", "fifth"};
    for (size_t i = 0; i < COUNT(files); i++) {
        put(files[COUNT(files) - 1 - i], texts[COUNT(files) - i]); /* written in another order than read */
    }
    struct cm_settings *settings = load_good(texts[0]);
    assert_int_equal(settings->streams.count, COUNT(names));
    for (size_t i = 0; i < COUNT(names); i++) {
        assert_string_equal(settings->streams.streams[i].name, names[i]);
    }
    assert_hash(settings, texts, COUNT(texts));
    cm_settings_free(settings);
    remove_all(files, COUNT(files));
}

static void other_files_in_conf_d_are_passed_over(void **state)
{
    (void)state;
    static const char *const files[] = {"conf.d/.hidden.conf",    "conf.d/a.conf~", "conf.d/a.conf.dpkg-new",
                                        "conf.d/a.dpkg-old.conf", "conf.d/README",  "conf.d/.conf",
                                        "conf.d/a.CONF"};
    for (size_t i = 0; i < COUNT(files); i++) {
        put(files[i], "this is = no configuration");
    }
    cm_settings_free(load_good(STORE));
    remove_all(files, COUNT(files));
}

static const struct {
    const char *what;
    const char *fragment;
    const char *want;
} fragment_rows[] = {
    {"a key of the main file", "keys = \"/k\";\n",
     "./conf.d/f.conf:1: keys: stands in a fragment, which may hold streams only; move it to consent-milter.conf"},
    {"a store of its own", ONE_STREAM("f", "a") STORE,
     "./conf.d/f.conf:2: store: stands in a fragment, which may hold streams only; move it to consent-milter.conf"},
    {"an unknown key", "strems = ();\n",
     "./conf.d/f.conf:1: strems: stands in a fragment, which may hold streams only; move it to consent-milter.conf"},
    {"streams of another type", "streams = \"x\";\n",
     "./conf.d/f.conf:1: streams: is text; write a list of groups, as in streams: ( { name = ...; } );"},
    {"a name that the main file has", "\n" ONE_STREAM("main", "a"),
     "./conf.d/f.conf:2: streams.name: \"main\" is the name of the stream at consent-milter.conf:2 too; choose "
     "another"},
    {"a syntax error", "streams: (\n(;\n",
     "./conf.d/f.conf:2: syntax error; on this line or the one before, a ';', '=', quote or bracket is missing or too "
     "many"},
    {"a bad stream", "streams: (\n{ name = \"f\"; });\n",
     "./conf.d/f.conf:2: streams.sender: is missing; write the sender's identifier, such as \"acme\""},
};

static void bad_fragments_are_refused(void **state)
{
    (void)state;
    put(main_file, STORE ONE_STREAM("main", "m"));
    for (size_t i = 0; i < COUNT(fragment_rows); i++) {
        put("conf.d/f.conf", fragment_rows[i].fragment);
        expect_error(fragment_rows[i].what, fragment_rows[i].want);
    }
    assert_int_equal(unlink("conf.d/f.conf"), 0);
    assert_int_equal(mkdir("conf.d/f.conf", 0700), 0);
    expect_error("a directory", "./conf.d/f.conf: is a directory; name the file in it");
    assert_int_equal(rmdir("conf.d/f.conf"), 0);
}

static void conf_d_may_be_absent_but_no_file(void **state)
{
    (void)state;
    assert_int_equal(rmdir("conf.d"), 0);
    cm_settings_free(load_good(STORE));
    put("conf.d", "x");
    expect_error("a file", "./conf.d: Not a directory; make it a readable directory of *.conf files, or remove it");
    assert_int_equal(unlink("conf.d"), 0);
    assert_int_equal(mkdir("conf.d", 0700), 0);
}

static void fragments_count_towards_the_limit(void **state)
{
    (void)state;
    FILE *file = fopen(main_file, "w");
    assert_non_null(file);
    (void)fputs(STORE "streams: (", file); /* fclose tells */
    for (unsigned i = 0; i < CM_LIMIT_STREAMS; i++) {
        (void)fprintf(file, "%s{ name = \"n%u\"; sender = \"s\"; class = \"service\"; match: { local = true; }; }",
                      i > 0 ? "," : "", i);
    }
    (void)fputs(");\n", file);
    assert_int_equal(fclose(file), 0);
    put("conf.d/f.conf", "streams = ();\n");
    struct cm_settings *settings = cm_settings_load(main_file, NULL);
    assert_non_null(settings);
    assert_int_equal(settings->streams.count, CM_LIMIT_STREAMS);
    cm_settings_free(settings);
    put("conf.d/f.conf", ONE_STREAM("f", "a"));
    expect_error("one too many",
                 "./conf.d/f.conf:1: streams: makes more than 4096 streams in all; join some, with several "
                 "patterns each");
    assert_int_equal(unlink("conf.d/f.conf"), 0);
}

/* --- includes --- */

static void includes_are_relative_to_the_main_file(void **state)
{
    (void)state;
    static const char *const texts[] = {"# @include \"a\"\n/*\n@include \"b\"\n*/\n\t@include \"inner/store.conf\"\n",
                                        STORE};
    char path[128];
    assert_int_equal(mkdir("inner", 0700), 0);
    put("inner/store.conf", texts[1]);
    put(main_file, texts[0]);
    (void)snprintf(path, sizeof(path), "%s/%s", sandbox, main_file); /* fits */
    assert_int_equal(chdir("/"), 0);
    struct cm_err err = {.text = ""};
    struct cm_settings *settings = cm_settings_load(path, &err);
    assert_string_equal(err.text, "");
    assert_non_null(settings);
    assert_string_equal(settings->store.path, "/r");
    assert_hash(settings, texts, COUNT(texts));
    cm_settings_free(settings);
    assert_int_equal(chdir(sandbox), 0);
    assert_int_equal(unlink("inner/store.conf"), 0);
    assert_int_equal(rmdir("inner"), 0);
}

static void errors_name_the_included_file(void **state)
{
    (void)state;
    put(main_file, STORE "\n@include \"inc\"\n");
    put("inc", "\nmode = \"x\";\n");
    expect_error("a value", "./inc:2: mode: \"x\" is not known; write \"enforce\" or \"observe\"");
    put("inc", "\nkeys = \"/k;\n");
    expect_error("a text",
                 "consent-milter.conf:3: @include: ./inc:2: a text runs over the end of the line; close it with "
                 "a '\"'");
    put("inc", "keys = ;\n");
    struct cm_err err = {.text = ""};
    assert_null(cm_settings_load(main_file, &err));
    assert_non_null(strstr(err.text, "inc:1: syntax error"));
    put("inc", "@include \"inc\"\n");
    assert_null(cm_settings_load(main_file, &err));
    assert_non_null(strstr(err.text, "@include goes too deep or too far; at most 8 levels and 256 files"));
    assert_int_equal(unlink("inc"), 0);
}

static void includes_have_a_number(void **state)
{
    (void)state;
    put("inc", "\n");
    for (unsigned count = 256; count <= 257; count++) {
        FILE *file = fopen(main_file, "w");
        assert_non_null(file);
        (void)fputs(STORE, file); /* fclose tells */
        for (unsigned i = 0; i < count; i++) {
            (void)fputs("@include \"inc\"\n", file);
        }
        assert_int_equal(fclose(file), 0);
        struct cm_settings *settings = cm_settings_load(main_file, NULL);
        assert_int_equal(settings != NULL, count <= 256);
        cm_settings_free(settings);
    }
    assert_int_equal(unlink("inc"), 0);
}

static void includes_have_a_depth(void **state)
{
    (void)state;
    char name[16];
    char text[64];
    put(main_file, STORE "@include \"inc1\"\n");
    for (unsigned depth = 1; depth <= 8; depth++) {
        (void)snprintf(name, sizeof(name), "inc%u", depth);                    /* fits */
        (void)snprintf(text, sizeof(text), "@include \"inc%u\"\n", depth + 1); /* fits */
        put(name, depth < 8 ? text : "");
    }
    struct cm_settings *settings = cm_settings_load(main_file, NULL);
    assert_non_null(settings);
    cm_settings_free(settings);
    put("inc8", "@include \"inc9\"\n");
    put("inc9", "");
    struct cm_err err = {.text = ""};
    assert_null(cm_settings_load(main_file, &err));
    assert_non_null(strstr(err.text, "./inc8:1: @include goes too deep or too far; at most 8 levels and 256 files"));
}

/* --- the file itself --- */

static void what_is_no_readable_file_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        const char *want;
    } rows[] = {
        {"absent.conf",
         "absent.conf: No such file or directory; give the path of the configuration with -c or in CONSENT_CONF"},
        {"conf.d", "conf.d: is a directory; name the file in it"},
        {"fifo", "fifo: is no regular file; put the configuration into a file"},
        {"/dev/null", "/dev/null: is no regular file; put the configuration into a file"},
        {"loop", "loop: Too many levels of symbolic links; put a readable file there"},
    };
    assert_int_equal(mkfifo("fifo", 0600), 0);
    assert_int_equal(symlink("loop", "loop"), 0);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_err err = {.text = ""};
        assert_null(cm_settings_load(rows[i].path, &err));
        /* conf.d beside it is looked at first, and /dev has none */
        assert_string_equal(err.text, rows[i].want);
    }
    assert_int_equal(unlink("fifo"), 0);
    assert_int_equal(unlink("loop"), 0);
}

static void a_file_of_others_is_refused(void **state)
{
    (void)state;
    bool is_root = geteuid() == 0;
    put(main_file, STORE);
    assert_int_equal(chmod(main_file, 0), 0);
    assert_int_equal(chmod(".", 0755), 0);
    assert_int_equal(chmod("conf.d", 0755), 0);
    assert_true(!is_root || seteuid(65534) == 0); /* root may read everything */
    struct cm_err err = {.text = ""};
    struct cm_settings *settings = cm_settings_load(main_file, &err);
    assert_true(!is_root || seteuid(0) == 0);
    assert_null(settings);
    assert_string_equal(err.text,
                        "consent-milter.conf: Permission denied; let the user that runs this program read it");
    assert_int_equal(chmod(main_file, 0600), 0);
}

static void a_file_has_a_largest(void **state)
{
    (void)state;
    const size_t largest = 4 * 1048576;
    char *text = malloc(largest + 1);
    assert_non_null(text);
    memset(text, '\n', largest + 1);
    memcpy(text, STORE, strlen(STORE));
    put_bytes(main_file, text, largest);
    struct cm_settings *settings = cm_settings_load(main_file, NULL);
    assert_non_null(settings);
    cm_settings_free(settings);
    put_bytes(main_file, text, largest + 1);
    expect_error("one byte more",
                 "consent-milter.conf: is larger than 4 MiB; split it (streams go into conf.d/*.conf)");
    free(text);
}

static void groups_may_be_deep_but_not_endless(void **state)
{
    (void)state;
    static char text[400000];
    memset(text, 0, sizeof(text));
    for (size_t i = 0; i + 8 < sizeof(text); i += 4) {
        memcpy(text + i, "a:{ ", 4);
    }
    put(main_file, text);
    struct cm_err err = {.text = ""};
    assert_null(cm_settings_load(main_file, &err));
    assert_string_not_equal(err.text, "");
}

static void nothing_is_freed_for_null(void **state)
{
    (void)state;
    cm_settings_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fragments_are_read_in_the_order_of_their_names),
        cmocka_unit_test(other_files_in_conf_d_are_passed_over),
        cmocka_unit_test(bad_fragments_are_refused),
        cmocka_unit_test(conf_d_may_be_absent_but_no_file),
        cmocka_unit_test(fragments_count_towards_the_limit),
        cmocka_unit_test(includes_are_relative_to_the_main_file),
        cmocka_unit_test(errors_name_the_included_file),
        cmocka_unit_test(includes_have_a_number),
        cmocka_unit_test(includes_have_a_depth),
        cmocka_unit_test(what_is_no_readable_file_is_refused),
        cmocka_unit_test(a_file_of_others_is_refused),
        cmocka_unit_test(a_file_has_a_largest),
        cmocka_unit_test(groups_may_be_deep_but_not_endless),
        cmocka_unit_test(nothing_is_freed_for_null),
    };
    return cmocka_run_group_tests(tests, enter_sandbox, leave_sandbox);
}
