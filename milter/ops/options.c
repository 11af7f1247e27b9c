#include "ops/options.h"

#include <getopt.h>
#include <stdio.h>
#include <sysexits.h>

static void print_usage(FILE *out, const struct cm_daemon_words *words)
{
    (void)fprintf(out,
                  "usage: %s [-fnVh] [-c FILE] [-p SOCKET] [-P PIDFILE] [-u USER[:GROUP]]\n"
                  "  -c FILE       configuration (default $CONSENT_CONF or %s)\n"
                  "  -f            stay in the foreground and log to standard error\n"
                  "  -n            check the configuration and exit: 0 good, 78 not\n"
                  "  -p SOCKET     listen here instead of %s\n"
                  "  -P PIDFILE    write the process id there\n"
                  "  -u USER       become this user after %s\n"
                  "  -V, -h        version, this text\n",
                  words->name, words->default_file, words->socket_setting, words->become_user_after);
}

bool cm_daemon_options_parse(int argc, char **argv, const struct cm_daemon_words *words, struct cm_daemon_options *out,
                             int *out_exit)
{
    int option;
    *out = (struct cm_daemon_options){.file = words->default_file};
    while ((option = getopt(argc, argv, "c:fnp:P:u:Vh")) != -1) {
        switch (option) {
        case 'c': out->file = optarg; break;
        case 'f': out->foreground = true; break;
        case 'n': out->check_only = true; break;
        case 'p': out->socket = optarg; break;
        case 'P': out->pid_file = optarg; break;
        case 'u': out->user = optarg; break;
        case 'V':
            (void)printf("%s %s\n", words->name, CM_VERSION);
            *out_exit = EX_OK;
            return false;
        case 'h':
            print_usage(stdout, words);
            *out_exit = EX_OK;
            return false;
        default:
            print_usage(stderr, words);
            *out_exit = EX_USAGE;
            return false;
        }
    }
    if (optind != argc) {
        (void)fprintf(stderr, "%s: unexpected argument %s\n", words->name, argv[optind]);
        print_usage(stderr, words);
        *out_exit = EX_USAGE;
        return false;
    }
    return true;
}
