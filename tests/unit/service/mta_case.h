/* What the tests of the doctor of the mail server share: a small Postfix, and rows of one misconfiguration each. */
#ifndef UNIT_SERVICE_MTA_CASE_H
#define UNIT_SERVICE_MTA_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "service/mta_doctor.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define QUEUE "/var/spool/postfix"
#define SOCKET "unix:" QUEUE "/consent-milter/consent-milter.sock"
#define OURS "unix:consent-milter/consent-milter.sock"
#define BOTH "smtpd_milters = " OURS "\nnon_smtpd_milters = " OURS "\n"
#define MAIN "compatibility_level = 3.6\nqueue_directory = " QUEUE "\n"
#define SMTP "smtp inet n - y - - smtpd\n"
#define REST "pickup unix n - y 60 1 pickup\ncleanup unix n - y - 0 cleanup\n"
#define SIGNED "SignHeaders *,+List-Unsubscribe,+List-Unsubscribe-Post\n"

struct mta_case {
    const char *what;
    const char *main;     /* after MAIN */
    const char *services; /* NULL: SMTP REST */
    const char *overrides;
    const char *finding; /* NULL: nothing is found */
    enum cm_health health;
    const char *where;
    const char *line; /* a part of it; "" if there is none */
    const char *socket;
};

static inline void check(const struct mta_case *row, const struct cm_mta_findings *findings)
{
    const struct cm_mta_finding *found = &findings->rows[0];
    if (findings->count != (row->finding != NULL ? 1 : 0) ||
        (row->finding != NULL &&
         (strcmp(found->name, row->finding) != 0 || found->health != row->health ||
          strcmp(found->where, row->where) != 0 || strstr(found->line, row->line) == NULL ||
          (row->line[0] == '\0') != (found->line[0] == '\0') || found->found[0] == '\0' || found->advice[0] == '\0'))) {
        for (size_t i = 0; i < findings->count; i++) {
            print_error("%s %s | %s | %s\n", findings->rows[i].name, findings->rows[i].where, findings->rows[i].found,
                        findings->rows[i].line);
        }
        fail_msg("%s: %zu findings", row->what, findings->count);
    }
}

static inline struct cm_mta_findings *new_findings(void)
{
    struct cm_mta_findings *findings = calloc(1, sizeof(*findings));
    assert_non_null(findings);
    return findings;
}

#endif
