/* doctor. */
#include <stdlib.h>

#include "doctor.h"

int cm_ctl_code_of_health(enum cm_health health)
{
    switch (health) {
    case CM_HEALTH_GOOD:
    case CM_HEALTH_WARN: return EX_OK;
    case CM_HEALTH_BAD: return EXIT_NOT_PERMITTED;
    case CM_HEALTH_UNSET:
    case CM_HEALTH_UNKNOWN: break;
    }
    return EX_TEMPFAIL;
}

static void show_finding(const struct context *context, const struct cm_finding *finding)
{
    cm_ctl_say(context, "%-8s%-26s %s", cm_health_name(finding->health), finding->name, finding->found);
    if (finding->advice[0] != '\0') {
        cm_ctl_say(context, "        -> %s", finding->advice);
    }
    cm_ctl_emit(context,
                json_pack("{s:s, s:s, s:o, s:s}", "finding", finding->name, "health", cm_health_name(finding->health),
                          "found", cm_ctl_json_text(finding->found), "advice", finding->advice));
}

int cm_ctl_doctor(struct context *context)
{
    struct cm_err err;
    if (context->options->postfix || context->options->sendmail) {
        return cm_ctl_doctor_mta(context);
    }
    if (context->options->postfix_config != NULL || context->options->sendmail_config != NULL) {
        return cm_ctl_fail(EX_USAGE, "a configuration was named without --postfix or --sendmail");
    }
    struct cm_findings *findings = malloc(sizeof(*findings));
    if (findings == NULL) {
        return cm_ctl_fail(EX_OSERR, "out of memory");
    }
    enum cm_trouble trouble = cm_doctor_run(context->store, context->settings, findings, &err);
    for (size_t i = 0; i < findings->count; i++) {
        show_finding(context, &findings->rows[i]);
    }
    int code = cm_ctl_code_of_health(cm_findings_worst(findings));
    free(findings);
    if (trouble != CM_TROUBLE_NONE) {
        (void)cm_ctl_fail_trouble(trouble, &err);
        code = EX_TEMPFAIL; /* don't know, whatever kept us from asking */
    }
    return code;
}
