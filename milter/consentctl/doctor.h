/* The halves of `consentctl doctor`: the store, and the mail server. */
#ifndef CONSENTCTL_DOCTOR_H
#define CONSENTCTL_DOCTOR_H

#include "consentctl.h"
#include "service/doctor.h"

int cm_ctl_code_of_health(enum cm_health health);
/* --postfix and --sendmail. Needs no store. */
int cm_ctl_doctor_mta(struct context *context);

#endif
