/* What is taken, and probably not meant. */
#include "sandbox.h"

#define KEEPERS "keepers = [\"mx1\"];\n"
#define OFFICER KEEPERS "contact: { officer = \"o@x.example\"; };\n"
#define QUIET OFFICER STREAM(NAMES, MATCH, "")
#define PAIR(first, second) \
    OFFICER STORE "streams: ( { sender = \"s\"; " first " }, { sender = \"s\"; " second " } );\n"

struct heard {
    size_t count;
    char last[CM_ERR_BYTES];
};

static void hear(void *context, const char *text)
{
    struct heard *heard = context;
    heard->count++;
    (void)cm_copy(heard->last, sizeof(heard->last), cm_span_of(text)); /* fits: it is as large */
}

/* want: of the one warning, behind the file's name; NULL: none. */
static const struct bad_file rows[] = {
    {"nothing to say", QUIET, NULL},
    {"no officer", KEEPERS STREAM(NAMES, MATCH, ""),
     "contact.officer: is not set; subjects must be able to reach the one who answers for their data"},
    {"no keepers", "contact: { officer = \"o@x.example\"; }; keeper: { name = \"mx1\"; };\n" STREAM(NAMES, MATCH, ""),
     "keepers: names none, so a Redis that was restored or replaced is trusted without a keeper's word; name the "
     "keeper "
     "of every host that takes withdrawals"},
    {"a keeper that is listed", QUIET "keeper: { name = \"mx1\"; };\n", NULL},
    {"a keeper that is not listed", QUIET "keeper: { name = \"mx2\"; };\n",
     "keeper.name: is not among keepers, so this keeper may say received, and never in effect; add it"},
    {"no stream", OFFICER STORE, "streams: there is none, so all mail passes untouched; describe your mail in streams"},
    {"no stream, but bulk is refused",
     OFFICER STORE "outgoing: { local = true; }; unmatched: { bulk = \"refuse\"; };\n", NULL},
    {"a socket on one address", QUIET "milter: { socket = \"inet:8891@127.0.0.1\"; };\n", NULL},
    {"a socket everywhere", QUIET "milter: { socket = \"inet:8891@0.0.0.0\"; };\n",
     "milter.socket: listens on every interface, and whoever connects can ask who consented; name the one address that "
     "the "
     "MTA uses"},
    {"a socket everywhere, IPv6", QUIET "milter: { socket = \"inet6:8891@::\"; };\n",
     "milter.socket: listens on every interface, and whoever connects can ask who consented; name the one address that "
     "the "
     "MTA uses"},
    {"a group of no unix socket", QUIET "milter: { socket = \"inet:8891@127.0.0.1\"; group = \"postfix\"; };\n",
     "milter.group: is not used: it is for a unix socket"},
    {"a store on this host",
     OFFICER "store: { url = \"redis://[::1]\"; password_file = \"/p\"; }; streams: ( { " NAMES MATCH " } );\n", NULL},
    {"a store on this host, IPv4",
     OFFICER "store: { url = \"redis://127.0.0.2:1\"; password_file = \"/p\"; }; streams: ( { " NAMES MATCH " } );\n",
     NULL},
    {"a store elsewhere",
     OFFICER "store: { url = \"redis://192.0.2.1\"; password_file = \"/p\"; }; streams: ( { " NAMES MATCH " } );\n",
     "store.url: goes over the network without TLS; keep that network private"},
    {"a store elsewhere with TLS",
     OFFICER "store: { url = \"rediss://192.0.2.1\"; password_file = \"/p\"; }; streams: ( { " NAMES MATCH " } );\n",
     NULL},
    {"a store with TLS, and nothing that proves who we are",
     OFFICER "store: { url = \"rediss://192.0.2.1\"; }; streams: ( { " NAMES MATCH " } );\n",
     "store.password_file: is not set, so everybody who reaches the store can change consents"},
    {"a store with TLS that knows our certificate",
     OFFICER "store: { url = \"rediss://192.0.2.1\"; tls: { cert_file = \"/c\"; key_file = \"/k\"; }; }; "
             "streams: ( { " NAMES MATCH " } );\n",
     NULL},
    {"a store without password", OFFICER "store: { url = \"redis://localhost\"; }; streams: ( { " NAMES MATCH " } );\n",
     "store.password_file: is not set, so everybody who reaches the store can change consents"},
    /* pairs of streams */
    {"two logins",
     PAIR("name = \"a\"; purpose = \"p\"; match: { auth = [\"x\"]; };",
          "name = \"b\"; purpose = \"p\"; match: { auth = [\"y\"]; };"),
     NULL},
    {"the same login twice",
     PAIR("name = \"a\"; purpose = \"p\"; match: { auth = [\"x\"]; };",
          "name = \"b\"; class = \"service\"; match: { auth = [\"x\"]; mail_from = [\"*@y\"]; };"),
     "streams: \"b\" is never reached: all its mail belongs to \"a\" before it; change their order"},
    {"the narrow one first",
     PAIR("name = \"a\"; purpose = \"p\"; match: { auth = [\"x\"]; mail_from = [\"*@y\"]; };",
          "name = \"b\"; class = \"service\"; match: { auth = [\"x\"]; };"),
     NULL},
    {"every login before one",
     PAIR("name = \"a\"; purpose = \"p\"; match: { auth = [\"*\"]; };",
          "name = \"b\"; purpose = \"p\"; match: { auth = [\"x\", \"y\"]; };"),
     "streams: \"b\" is never reached: all its mail belongs to \"a\" before it; change their order"},
    {"a network before a part of it",
     PAIR("name = \"a\"; purpose = \"p\"; match: { client = [\"10.0.0.0/8\"]; };",
          "name = \"b\"; purpose = \"p\"; match: { client = [\"10.1.0.0/16\"]; };"),
     "streams: \"b\" is never reached: all its mail belongs to \"a\" before it; change their order"},
    {"a network behind a part of it",
     PAIR("name = \"a\"; purpose = \"p\"; match: { client = [\"10.0.0.0/16\"]; };",
          "name = \"b\"; purpose = \"p\"; match: { client = [\"10.0.0.0/8\"]; };"),
     NULL},
    {"pickup of one listener before pickup",
     PAIR("name = \"a\"; purpose = \"p\"; match: { local = true; daemon = [\"d\"]; };",
          "name = \"b\"; purpose = \"p\"; match: { local = true; };"),
     NULL},
    {"pickup of one login before the login",
     PAIR("name = \"a\"; purpose = \"p\"; match: { auth = [\"x\"]; local = true; };",
          "name = \"b\"; purpose = \"p\"; match: { auth = [\"x\"]; };"),
     NULL},
    {"told apart by headers alone",
     PAIR("name = \"a\"; purpose = \"p\"; match: { auth = [\"x\"]; headers = ( { name = \"X\"; value = \"1\"; } ); };",
          "name = \"b\"; purpose = \"q\"; match: { auth = [\"x\"]; };"),
     NULL},
    {"a service stream for what leaves a header out",
     PAIR("name = \"a\"; purpose = \"p\"; match: { auth = [\"x\"]; headers = ( { name = \"X\"; value = \"1\"; } ); };",
          "name = \"b\"; class = \"service\"; match: { auth = [\"x\"]; };"),
     "streams: \"b\" takes the mail of \"a\" when a header is left out, unasked; tell them apart by mail_from or "
     "login"},
    {"a service stream of another MAIL FROM",
     PAIR("name = \"a\"; purpose = \"p\"; match: { auth = [\"x\"]; headers = ( { name = \"X\"; value = \"1\"; } ); };",
          "name = \"b\"; class = \"service\"; match: { auth = [\"x\"]; mail_from = [\"*@shop\"]; };"),
     NULL},
};

static void warnings_are_as_the_table_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct heard heard = {.count = 0};
        char want[CM_ERR_BYTES] = "";
        struct cm_settings *settings = load_good(rows[i].text);
        cm_settings_warn(settings, hear, &heard);
        cm_settings_free(settings);
        if (rows[i].want != NULL) {
            (void)snprintf(want, sizeof(want), "consent-milter.conf: %s", rows[i].want); /* fits */
        }
        if (heard.count != (rows[i].want != NULL ? 1 : 0) || strcmp(heard.last, want) != 0) {
            fail_msg("%s: %zu warnings, the last: %s", rows[i].what, heard.count, heard.last);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(warnings_are_as_the_table_says),
    };
    return cmocka_run_group_tests(tests, enter_sandbox, leave_sandbox);
}
