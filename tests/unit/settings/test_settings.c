/* Files that are refused, and what the administrator reads then; test_streams.c has those about streams. */
#include "sandbox.h"

static const struct bad_file bad_files[] = {
    {"an empty file", "",
     ": store.url: is missing; write text such as \"unix:/run/redis/redis.sock\" or \"rediss://HOST:PORT\""},
    {"only a comment", "# nothing\n",
     ": store.url: is missing; write text such as \"unix:/run/redis/redis.sock\" or \"rediss://HOST:PORT\""},
    {"syntax: a missing semicolon and bracket", STORE "keys = \"/k\"\nmode = ;\n",
     ":3: syntax error; on this line or the one before, a ';', '=', quote or bracket is missing or too many"},
    {"syntax: a closing bracket too many", STORE "};\n",
     ":2: syntax error; on this line or the one before, a ';', '=', quote or bracket is missing or too many"},
    {"a text that is not closed on its line", STORE "keys = \"/k;\nmode = \"observe\";\n",
     ":2: a text runs over the end of the line; close it with a '\"'"},
    {"a text that is not closed in the file", STORE "keys = \"/k",
     ":2: a text runs over the end of the file; close it with a '\"'"},
    {"a comment that is not closed", STORE "/* keys\n\n", ":2: a comment begins here and never ends; close it with */"},
    {"a NUL written as an escape", STORE "keys = \"/k\\x00/evil\";\n",
     ":2: a text holds \\x00; no text may hold a NUL"},
    {"a number that libconfig would wrap", STORE "x = 4294967297;\n", ":2: a number is too large; at most 9 digits"},
    {"a hexadecimal number that libconfig would wrap", STORE "x = 0x100000001;\n",
     ":2: a number is too large; at most 9 digits"},
    {"an array of two types", STORE "outgoing: { auth = [\"a\", 1]; };\n",
     ":2: a list [ ] holds values of different types; make them all the same"},
    {"a word with @", STORE "@exclude \"x\"\n",
     ":2: @ is not known here; the one such word is a line of the form @include \"FILE\""},
    {"an absolute include", STORE "@include \"/etc/passwd\"\n",
     ":2: @include takes a path relative to the directory of the main file, as in \"more.conf\""},
    {"an include that is not there", STORE "@include \"nowhere.conf\"\n",
     ":2: @include: ./nowhere.conf: No such file or directory; name a file below the directory of the main file"},
    {"an include of a directory", STORE "@include \".\"\n", ":2: @include: ./.: is a directory; name the file in it"},
    {"a key given twice", STORE "keys = \"/a\";\nkeys = \"/b\";\n",
     ":3: a key is given twice in its group; keep one of them"},
    {"a key given twice in a group", "store: { url = \"unix:/r\";\nurl = \"unix:/s\"; };\n",
     ":2: a key is given twice in its group; keep one of them"},
    {"an unknown key, near another", STORE "log_adresses = true;\n",
     ":2: log_adresses: is not known; did you mean \"log_addresses\"?"},
    {"an unknown key of a group, near another", "store: { url = \"unix:/r\";\ntimout = \"1s\"; };\n",
     ":2: store.timout: is not known; did you mean \"timeout\"?"},
    {"an unknown group", STORE "\nstor: { pool = 1; };\n", ":3: stor: is not known; did you mean \"store\"?"},
    {"a key of another case", STORE "Keys = \"/k\";\n", ":2: Keys: is not known; did you mean \"keys\"?"},
    {"a key in the wrong group", STORE "timeout = \"1s\";\n", ":2: timeout: is not known; did you mean store.timeout?"},
    {"an unknown key far from all", STORE "quarantine_directory = \"/q\";\n",
     ":2: quarantine_directory: is not known; known here: "
     "store, keys, state, keepers, keeper, milter, contact, outgoing, unmatched, mode, log_addresses, streams, "
     "service_stops, service_honesty, control, explain_days, limits"},
    {"a stop that is not known", STORE "service_stops = [\"lapsed\"];\n",
     ":2: service_stops: \"lapsed\" is not known; write \"withdrawn\" or \"objected\" or \"complained\" or "
     "\"refused\" or \"bounced\" or \"restricted\" or \"suspended\" or \"erased\""},
    {"a stop twice", STORE "service_stops = [\"bounced\", \"bounced\"];\n",
     ":2: service_stops: \"bounced\" stands there twice; name it once"},
    {"an honesty that is not known", STORE "service_honesty = \"maybe\";\n",
     ":2: service_honesty: \"maybe\" is not known; write \"refuse\" or \"log\" or \"off\""},
    {"a group of a later version", STORE "metrics: { listen = \"127.0.0.1:9180\"; };\n",
     ":2: metrics: belongs to a later version of consent-milter; this one cannot do it, so take it out"},
    {"a key of a later version", STORE "canaries = \"/a\";\n",
     ":2: canaries: belongs to a later version of consent-milter; this one cannot do it, so take it out"},
    {"a control socket that is no path", STORE "control: { socket = \"unix:/x\"; };\n",
     ":2: control.socket: \"unix:/x\" is no absolute path; begin it with '/'"},
    {"explain_days below", STORE "explain_days = \"0d\";\n",
     ":2: explain_days: \"0d\" is out of bounds; 1d to 400d are right"},
    {"explain_days above", STORE "explain_days = \"401d\";\n",
     ":2: explain_days: \"401d\" is out of bounds; 1d to 400d are right"},
    {"no sessions", STORE "limits: { sessions = 0; };\n", ":2: limits.sessions: is 0; write a number from 1 to 100000"},
    {"too many recipients", STORE "limits: { recipients = 10001; };\n",
     ":2: limits.recipients: is 10001; write a number from 1 to 10000"},
    {"too few bytes of headers", STORE "limits: { header_bytes = 1023; };\n",
     ":2: limits.header_bytes: is 1023; write a number from 1024 to 1048576"},
    {"a timeout beyond the budget", "store: { url = \"unix:/r\"; timeout = \"1001ms\"; };\n",
     ":1: store.timeout: leaves no time: a recipient is to be answered within 1000 ms; write at most \"1000ms\""},
    {"state relative", STORE "state = \"journal\";\n", ":2: state: \"journal\" is no absolute path; begin it with '/'"},
    {"keepers as text", STORE "keepers = \"mx1\";\n",
     ":2: keepers: is text; write a list of keepers' names, as in [\"mx1\", \"mx2\"]"},
    {"keepers of numbers", STORE "keepers = [1];\n", ":2: keepers: holds a number; write texts, as in [\"a\", \"b\"]"},
    {"a keeper without a name", STORE "keepers = [\"mx1\",\n\"\"];\n",
     ":3: keepers: \"\" is no keeper's name; use 1 to 32 of a-z, 0-9 and . _ -"},
    {"a keeper with capitals", STORE "keepers = [\"Mx1\"];\n",
     ":2: keepers: \"Mx1\" is no keeper's name; use 1 to 32 of a-z, 0-9 and . _ -"},
    {"a keeper with a blank", STORE "keepers = [\"mx 1\"];\n",
     ":2: keepers: \"mx 1\" is no keeper's name; use 1 to 32 of a-z, 0-9 and . _ -"},
    {"a keeper with a colon", STORE "keepers = [\"mx:1\"];\n",
     ":2: keepers: \"mx:1\" is no keeper's name; use 1 to 32 of a-z, 0-9 and . _ -"},
    {"a keeper twice", STORE "keepers = [\"a\",\n\"b\",\n\"a\"];\n",
     ":4: keepers: \"a\" stands there twice; name it once"},
    {"keeper as text", STORE "keeper = \"mx1\";\n", ":2: keeper: is text; write a group, as in keeper: { ... };"},
    {"an unknown key of the keeper", STORE "keeper: { names = \"mx1\"; };\n",
     ":2: keeper.names: is not known; did you mean \"name\"?"},
    {"a keeper's name with a slash", STORE "keeper: { name = \"a/b\"; };\n",
     ":2: keeper.name: \"a/b\" is no keeper's name; use 1 to 32 of a-z, 0-9 and . _ -"},
    {"a keeper's name that is empty", STORE "keeper: { name = \"\"; };\n",
     ":2: keeper.name: is empty; write a name of its own, such as \"mx1\", or leave the key out"},
    {"a keeper's socket with a scheme", STORE "keeper: { socket = \"unix:/run/x\"; };\n",
     ":2: keeper.socket: \"unix:/run/x\" is no absolute path; begin it with '/'"},
    {"a keeper's socket for everybody", STORE "keeper: { mode = \"0666\"; };\n",
     ":2: keeper.mode: \"0666\" lets everybody connect; write \"0660\" and set the group"},
    {"a keeper's group with a blank", STORE "keeper: { group = \"a b\"; };\n",
     ":2: keeper.group: \"a b\" is no group name; write one such as \"postfix\""},
    {"retain without a unit", STORE "keeper: { retain = \"35\"; };\n",
     ":2: keeper.retain: \"35\" is no duration; write a number of days with its unit, such as \"35d\""},
    {"retain in seconds", STORE "keeper: { retain = \"35s\"; };\n",
     ":2: keeper.retain: \"35s\" is no duration; write a number of days with its unit, such as \"35d\""},
    {"retain as a number", STORE "keeper: { retain = 35; };\n",
     ":2: keeper.retain: is a number; write a number of days with its unit, such as \"35d\""},
    {"retain below", STORE "keeper: { retain = \"0d\"; };\n",
     ":2: keeper.retain: \"0d\" is out of bounds; 1d to 3650d are right"},
    {"retain above", STORE "keeper: { retain = \"3651d\"; };\n",
     ":2: keeper.retain: \"3651d\" is out of bounds; 1d to 3650d are right"},
    {"retain far above", STORE "keeper: { retain = \"4294967297d\"; };\n",
     ":2: keeper.retain: \"4294967297d\" is no duration; write a number of days with its unit, such as \"35d\""},
    {"callers as one group", STORE "keeper: { callers: { user = \"a\"; rank = \"admin\"; }; };\n",
     ":2: keeper.callers: is a group { }; write a list of groups, as in callers = ( { user = \"consent-web\"; rank = "
     "\"subject\"; } );"},
    {"callers as texts", STORE "keeper: { callers = ( \"root\" ); };\n",
     ":2: keeper.callers: holds no group; write ( { user = \"consent-web\"; rank = \"subject\"; }, ... )"},
    {"a caller without a rank", STORE "keeper: { callers = (\n{ user = \"a\"; } ); };\n",
     ":3: keeper.callers.rank: is missing; write \"subject\", \"officer\", \"admin\", \"sender\" or \"system\""},
    {"a caller of an unknown rank", STORE "keeper: { callers = ( { user = \"a\"; rank = \"root\"; } ); };\n",
     ":2: keeper.callers.rank: \"root\" is not known; write \"subject\" or \"officer\" or \"admin\" or \"sender\" or "
     "\"system\""},
    {"a caller who is nobody", STORE "keeper: { callers = (\n{ rank = \"admin\"; } ); };\n",
     ":3: keeper.callers: must name a user or a group, and not both"},
    {"a caller who is both", STORE "keeper: { callers = ( { user = \"a\"; group = \"a\"; rank = \"admin\"; } ); };\n",
     ":2: keeper.callers: must name a user or a group, and not both"},
    {"a caller with a blank", STORE "keeper: { callers = ( { user = \"a b\"; rank = \"admin\"; } ); };\n",
     ":2: keeper.callers.user: \"a b\" is no name of a user or group"},
    {"a caller like an option", STORE "keeper: { callers = ( { group = \"-a\"; rank = \"admin\"; } ); };\n",
     ":2: keeper.callers.group: \"-a\" is no name of a user or group"},
    {"a caller with an impossible uid",
     STORE "keeper: { callers = ( { user = \"4294967295\"; rank = \"admin\"; } ); };\n",
     ":2: keeper.callers.user: \"4294967295\" is no uid or gid; they end at 4294967294"},
    {"no store", "keys = \"/k\";\n",
     ": store.url: is missing; write text such as \"unix:/run/redis/redis.sock\" or \"rediss://HOST:PORT\""},
    {"a store without url", "\nstore: { pool = 5; };\n",
     ":2: store.url: is missing; write text such as \"unix:/run/redis/redis.sock\" or \"rediss://HOST:PORT\""},
    {"a group that is text", "store = \"unix:/r\";\n", ":1: store: is text; write a group, as in store: { ... };"},
    {"url is a number", "store: { url = 6379; };\n",
     ":1: store.url: is a number; write text such as \"unix:/run/redis/redis.sock\" or \"rediss://HOST:PORT\""},
    {"url is empty", "store: { url = \"\"; };\n",
     ":1: store.url: is empty; write text such as \"unix:/run/redis/redis.sock\" or \"rediss://HOST:PORT\""},
    {"url of another kind", "store: { url = \"http://x\"; };\n",
     ":1: store.url: \"http://x\" is no store; write unix:PATH, rediss://HOST:PORT or redis://HOST:PORT"},
    {"url without scheme", "store: { url = \"localhost:6379\"; };\n",
     ":1: store.url: \"localhost:6379\" is no store; write unix:PATH, rediss://HOST:PORT or redis://HOST:PORT"},
    {"url with TLS and a password", "store: { url = \"rediss://:secret@h:6379\"; };\n",
     ":1: store.url: holds a user or password; write them as store.user and store.password_file"},
    {"url with TLS and no host", "store: { url = \"rediss://:6379\"; };\n",
     ":1: store.url: \"rediss://:6379\" names no host and port; write rediss://HOST:PORT, an IPv6 address in brackets"},
    {"TLS keys for a socket", "store: { url = \"unix:/r\";\n tls: { ca_file = \"/c\"; }; };\n",
     ":2: store.tls: is not used: store.url does not begin with rediss://; change that, or take this out"},
    {"TLS keys for TCP", "store: { url = \"redis://h\";\n tls: { server_name = \"h\"; }; };\n",
     ":2: store.tls: is not used: store.url does not begin with rediss://; change that, or take this out"},
    {"an empty TLS group for TCP", "store: { url = \"redis://h\";\n tls: { }; };\n",
     ":2: store.tls: is not used: store.url does not begin with rediss://; change that, or take this out"},
    {"a certificate without key", "store: { url = \"rediss://h\";\n tls: { cert_file = \"/c\"; }; };\n",
     ":2: store.tls.cert_file: has no key; write store.tls.key_file too"},
    {"a key without certificate", "store: { url = \"rediss://h\";\n tls: { key_file = \"/k\"; }; };\n",
     ":2: store.tls.key_file: has no certificate; write store.tls.cert_file too"},
    {"a relative CA file", "store: { url = \"rediss://h\";\n tls: { ca_file = \"ca.pem\"; }; };\n",
     ":2: store.tls.ca_file: \"ca.pem\" is no absolute path; begin it with '/'"},
    {"a server name with a port", "store: { url = \"rediss://h\";\n tls: { server_name = \"h:6379\"; }; };\n",
     ":2: store.tls.server_name: \"h:6379\" is no host name and no address; write it as the certificate does"},
    {"an unknown TLS key", "store: { url = \"rediss://h\";\n tls: { ca_fil = \"/c\"; }; };\n",
     ":2: store.tls.ca_fil: is not known; did you mean \"ca_file\"?"},
    {"verification cannot be switched off", "store: { url = \"rediss://h\";\n tls: { verify = false; }; };\n",
     ":2: store.tls.verify: is not known; known here: ca_file, cert_file, key_file, server_name"},
    {"TLS is no flag", "store: { url = \"rediss://h\";\n tls = true; };\n",
     ":2: store.tls: is true or false; write a group, as in tls: { ... };"},
    {"url with a relative path", "store: { url = \"unix:redis.sock\"; };\n",
     ":1: store.url: \"unix:redis.sock\" names no absolute path; write it as in \"unix:/run/NAME/NAME.sock\""},
    {"url with a password", "store: { url = \"redis://:secret@h:6379\"; };\n",
     ":1: store.url: holds a user or password; write them as store.user and store.password_file"},
    {"url with a database", "store: { url = \"redis://h:6379/1\"; };\n",
     ":1: store.url: \"redis://h:6379/1\" names a database; database 0 is always used, so end it after the port"},
    {"url with an impossible port", "store: { url = \"redis://h:65536\"; };\n",
     ":1: store.url: \"redis://h:65536\" names no host and port; write rediss://HOST:PORT, an IPv6 address in "
     "brackets"},
    {"url with port 0", "store: { url = \"redis://h:0\"; };\n",
     ":1: store.url: \"redis://h:0\" names no host and port; write rediss://HOST:PORT, an IPv6 address in brackets"},
    {"url with an empty port", "store: { url = \"redis://h:\"; };\n",
     ":1: store.url: \"redis://h:\" names no host and port; write rediss://HOST:PORT, an IPv6 address in brackets"},
    {"url with an empty host", "store: { url = \"redis://:6379\"; };\n",
     ":1: store.url: \"redis://:6379\" names no host and port; write rediss://HOST:PORT, an IPv6 address in brackets"},
    {"url with a bare IPv6 address", "store: { url = \"redis://::1:6379\"; };\n",
     ":1: store.url: \"redis://::1:6379\" names no host and port; write rediss://HOST:PORT, an IPv6 address in "
     "brackets"},
    {"url with something in brackets", "store: { url = \"redis://[localhost]:6379\"; };\n",
     ":1: store.url: \"redis://[localhost]:6379\" names no host and port; write rediss://HOST:PORT, an IPv6 address in "
     "brackets"},
    {"url with a blank", "store: { url = \"redis://a b\"; };\n",
     ":1: store.url: \"redis://a b\" names no host and port; write rediss://HOST:PORT, an IPv6 address in brackets"},
    {"user without password", "store: { url = \"unix:/r\";\nuser = \"milter\"; };\n",
     ":2: store.user: has no password; write store.password_file too"},
    {"user with a blank", "store: { url = \"unix:/r\"; user = \"a b\"; password_file = \"/p\"; };\n",
     ":1: store.user: \"a b\" is no Redis user; use visible ASCII characters without blanks"},
    {"a relative password file", "store: { url = \"unix:/r\"; password_file = \"redis.key\"; };\n",
     ":1: store.password_file: \"redis.key\" is no absolute path; begin it with '/'"},
    {"timeout without a unit", "store: { url = \"unix:/r\"; timeout = 800; };\n",
     ":1: store.timeout: is a number; write text with a unit, such as \"800ms\" or \"1s\""},
    {"timeout as text without a unit", "store: { url = \"unix:/r\"; timeout = \"800\"; };\n",
     ":1: store.timeout: \"800\" is no duration; write text with a unit, such as \"800ms\" or \"1s\""},
    {"timeout in minutes", "store: { url = \"unix:/r\"; timeout = \"1m\"; };\n",
     ":1: store.timeout: \"1m\" is no duration; write text with a unit, such as \"800ms\" or \"1s\""},
    {"timeout with a blank", "store: { url = \"unix:/r\"; timeout = \"1 s\"; };\n",
     ":1: store.timeout: \"1 s\" is no duration; write text with a unit, such as \"800ms\" or \"1s\""},
    {"timeout below", "store: { url = \"unix:/r\"; timeout = \"9ms\"; };\n",
     ":1: store.timeout: \"9ms\" is out of bounds; 10ms to 10000ms are right"},
    {"timeout above", "store: { url = \"unix:/r\"; timeout = \"10001ms\"; };\n",
     ":1: store.timeout: \"10001ms\" is out of bounds; 10ms to 10000ms are right"},
    {"timeout far above", "store: { url = \"unix:/r\"; timeout = \"99999999999999999999s\"; };\n",
     ":1: store.timeout: \"99999999999999999999s\" is no duration; write text with a unit, such as \"800ms\" or "
     "\"1s\""},
    {"pool of none", "store: { url = \"unix:/r\"; pool = 0; };\n",
     ":1: store.pool: is 0; write a number from 1 to 1024"},
    {"pool below zero", "store: { url = \"unix:/r\"; pool = -1; };\n",
     ":1: store.pool: is -1; write a number from 1 to 1024"},
    {"pool above", "store: { url = \"unix:/r\"; pool = 1025; };\n",
     ":1: store.pool: is 1025; write a number from 1 to 1024"},
    {"pool as text", "store: { url = \"unix:/r\"; pool = \"64\"; };\n",
     ":1: store.pool: is text; write a whole number, without quotes"},
    {"pool with a fraction", "store: { url = \"unix:/r\"; pool = 1.5; };\n",
     ":1: store.pool: is a decimal number; write a whole number, without quotes"},
    {"pool as a flag", "store: { url = \"unix:/r\"; pool = true; };\n",
     ":1: store.pool: is true or false; write a whole number, without quotes"},
    {"keys relative", STORE "keys = \"keys\";\n", ":2: keys: \"keys\" is no absolute path; begin it with '/'"},
    {"keys empty", STORE "keys = \"\";\n", ":2: keys: is empty; write the path of a directory, or leave the key out"},
    {"keys is a group", STORE "keys: { pepper = \"/p\"; };\n",
     ":2: keys: is a group { }; write the path of a directory"},
    {"a flag as text", STORE "log_addresses = \"yes\";\n",
     ":2: log_addresses: is text; write true or false, without quotes"},
    {"a flag as a number", STORE "log_addresses = 1;\n",
     ":2: log_addresses: is a number; write true or false, without quotes"},
    {"an unknown mode", STORE "mode = \"obsrve\";\n",
     ":2: mode: \"obsrve\" is not known; write \"enforce\" or \"observe\""},
    {"mode is a flag", STORE "mode = true;\n", ":2: mode: is true or false; write one word in quotes"},
    {"contact.officer without @", STORE "contact: { officer = \"Jane Doe\"; };\n",
     ":2: contact.officer: \"Jane Doe\" is no mail address; write one such as \"privacy@acme.example\""},
    {"contact.url of another kind", STORE "contact: { url = \"mailto:x@y\"; };\n",
     ":2: contact.url: \"mailto:x@y\" is no web address; begin it with https:// or http://"},
    {"contact.url without host", STORE "contact: { url = \"https:///privacy\"; };\n",
     ":2: contact.url: \"https:///privacy\" names no host; write it as in \"https://mail.acme.example/privacy\""},
    {"contact.url not ASCII", STORE "contact: { url = \"https://m\xc3\xa4il.example/\"; };\n",
     ":2: contact.url: \"https://m\xc3\xa4il.example/\" holds a character that a web address cannot; write it as %XX"},
    {"socket of another kind", STORE "milter: { socket = \"/run/x.sock\"; };\n",
     ":2: milter.socket: \"/run/x.sock\" is no socket; write unix:PATH, inet:PORT@HOST or inet6:PORT@HOST"},
    {"socket with a relative path", STORE "milter: { socket = \"unix:x.sock\"; };\n",
     ":2: milter.socket: \"unix:x.sock\" names no absolute path; write it as in \"unix:/run/NAME/NAME.sock\""},
    {"socket with a port only", STORE "milter: { socket = \"inet:8891\"; };\n",
     ":2: milter.socket: \"inet:8891\" names no address to listen on; write inet:PORT@HOST, as in "
     "\"inet:8891@127.0.0.1\""},
    {"socket without a port", STORE "milter: { socket = \"inet:127.0.0.1\"; };\n",
     ":2: milter.socket: \"inet:127.0.0.1\" has no port from 1 to 65535; write inet:PORT@HOST, as in "
     "\"inet:8891@127.0.0.1\""},
    {"socket with an impossible port", STORE "milter: { socket = \"inet:70000@127.0.0.1\"; };\n",
     ":2: milter.socket: \"inet:70000@127.0.0.1\" has no port from 1 to 65535; write inet:PORT@HOST, as in "
     "\"inet:8891@127.0.0.1\""},
    {"socket without a host", STORE "milter: { socket = \"inet:8891@\"; };\n",
     ":2: milter.socket: \"inet:8891@\" names no address to listen on; write inet:PORT@HOST, as in "
     "\"inet:8891@127.0.0.1\""},
    {"socket of mixed families", STORE "milter: { socket = \"inet:8891@::1\"; };\n",
     ":2: milter.socket: \"inet:8891@::1\" mixes the families; write inet: before an IPv4 address and inet6: before an "
     "IPv6 address"},
    {"socket of mixed families, the other way", STORE "milter: { socket = \"inet6:8891@127.0.0.1\"; };\n",
     ":2: milter.socket: \"inet6:8891@127.0.0.1\" mixes the families; write inet: before an IPv4 address and inet6: "
     "before an IPv6 address"},
    {"mode as a number", STORE "milter: { mode = 0660; };\n",
     ":2: milter.mode: is a number; write octal digits in quotes, such as \"0660\""},
    {"mode that is not octal", STORE "milter: { mode = \"0689\"; };\n",
     ":2: milter.mode: \"0689\" is no file mode; write octal digits such as \"0660\""},
    {"mode in letters", STORE "milter: { mode = \"rw-rw----\"; };\n",
     ":2: milter.mode: \"rw-rw----\" is no file mode; write octal digits such as \"0660\""},
    {"mode for everybody", STORE "milter: { mode = \"0666\"; };\n",
     ":2: milter.mode: \"0666\" lets everybody connect; write \"0660\" and set the group"},
    {"mode that keeps the owner out", STORE "milter: { mode = \"0060\"; };\n",
     ":2: milter.mode: \"0060\" keeps the owner out; write \"0600\" or \"0660\""},
    {"mode with a set-id bit", STORE "milter: { mode = \"4660\"; };\n",
     ":2: milter.mode: \"4660\" is no file mode; write octal digits such as \"0660\""},
    {"group with a blank", STORE "milter: { group = \"post fix\"; };\n",
     ":2: milter.group: \"post fix\" is no group name; write one such as \"postfix\""},
    {"a list that is text", STORE "outgoing: { auth = \"*\"; };\n",
     ":2: outgoing.auth: is text; write a list, as in [\"a\", \"b\"]"},
    {"a list of numbers", STORE "outgoing: { auth = [1, 2]; };\n",
     ":2: outgoing.auth: holds a number; write texts, as in [\"a\", \"b\"]"},
    {"an empty pattern", STORE "outgoing: { auth = [\"a\",\n\"\"]; };\n",
     ":3: outgoing.auth: \"\" is empty and can match nothing; write a name or a pattern such as \"*\""},
    {"a pattern with an unknown name", STORE "outgoing: { daemon = [\"{daemon_name}\"]; };\n",
     ":2: outgoing.daemon: \"{daemon_name}\" holds a '{' that does not begin {purpose}, the only name a pattern knows; "
     "write '*' for any text"},
    {"a network with host bits", STORE "outgoing: { client = [\"10.0.0.0/8\",\n\"10.0.0.1/8\"]; };\n",
     ":3: outgoing.client: \"10.0.0.1/8\" is no network; write an address or ADDRESS/BITS without bits behind the "
     "prefix, as in \"10.0.0.0/8\" or \"2001:db8::/32\""},
    {"a network that is a name", STORE "outgoing: { client = [\"localhost\"]; };\n",
     ":2: outgoing.client: \"localhost\" is no network; write an address or ADDRESS/BITS without bits behind the "
     "prefix, as in \"10.0.0.0/8\" or \"2001:db8::/32\""},
    {"bulk of another kind", STORE "unmatched: { bulk = \"reject\"; };\n",
     ":2: unmatched.bulk: \"reject\" is not known; write \"refuse\" or \"pass\""},
    {"bulk refused with no outgoing", STORE "unmatched: { bulk = \"refuse\"; };\n",
     ":2: unmatched.bulk: is \"refuse\", but outgoing names no session of your own users; write outgoing: { auth = "
     "[\"*\"]; } or similar"},
    {"bulk refused with empty outgoing",
     STORE "outgoing: { auth = []; local = false; };\nunmatched: { bulk = \"refuse\"; };\n",
     ":3: unmatched.bulk: is \"refuse\", but outgoing names no session of your own users; write outgoing: { auth = "
     "[\"*\"]; } or similar"},
};

static void bad_files_are_refused_with_the_line_and_the_remedy(void **state)
{
    (void)state;
    expect_errors(bad_files, COUNT(bad_files));
}

static void a_password_in_the_url_is_not_repeated(void **state)
{
    (void)state;
    struct cm_err err = {.text = ""};
    put("consent-milter.conf", "store: { url = \"redis://:secret@h:6379\"; };\n");
    assert_null(cm_settings_load("consent-milter.conf", &err));
    assert_null(strstr(err.text, "secret"));
}

static void a_nul_is_no_text(void **state)
{
    (void)state;
    static const char text[] = STORE "keys = \"/k\";\0mode = \"observe\";\n";
    put_bytes("consent-milter.conf", text, sizeof(text) - 1);
    expect_error("a NUL", "consent-milter.conf:2: holds a NUL byte; the configuration is text");
}

static const struct bad_file control_rows[] = {
    {"in a word", STORE "mode = \"a\\nb\\x1b[2J\";\n", ":2: mode: \"a?b?[2J\" holds a control character; leave it out"},
    {"in a path", STORE "keys = \"/a\\x7f\";\n", ":2: keys: \"/a?\" holds a control character; leave it out"},
    {"in a socket", STORE "milter: { socket = \"unix:/a\x1b\"; };\n",
     ":2: milter.socket: \"unix:/a?\" holds a control character; leave it out"},
    {"in a pattern", STORE "outgoing: { auth = [\"a\tb\"]; };\n",
     ":2: outgoing.auth: \"a?b\" holds a control character; leave it out"},
    {"in a header pattern",
     STREAM(NAMES, "match: { auth = [\"a\"]; headers = ( { name = \"X\"; value = \"a\\rb\"; } ); };", ""),
     ":4: streams.match.headers.value: \"a?b\" holds a control character; leave it out"},
    {"in a duration", "store: { url = \"unix:/r\"; timeout = \"1\\n\"; };\n",
     ":1: store.timeout: \"1?\" is no duration; write text with a unit, such as \"800ms\" or \"1s\""},
};

static void control_characters_are_refused_and_do_not_reach_the_message(void **state)
{
    (void)state;
    expect_errors(control_rows, COUNT(control_rows));
}

static void a_caller_need_not_take_the_error(void **state)
{
    (void)state;
    put("consent-milter.conf", STORE "@include \"nowhere\"\n");
    assert_null(cm_settings_load("consent-milter.conf", NULL));
    put("consent-milter.conf", "x");
    assert_null(cm_settings_load("consent-milter.conf", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_files_are_refused_with_the_line_and_the_remedy),
        cmocka_unit_test(a_password_in_the_url_is_not_repeated),
        cmocka_unit_test(a_nul_is_no_text),
        cmocka_unit_test(control_characters_are_refused_and_do_not_reach_the_message),
        cmocka_unit_test(a_caller_need_not_take_the_error),
    };
    return cmocka_run_group_tests(tests, enter_sandbox, leave_sandbox);
}
