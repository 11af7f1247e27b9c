/* How long the MTA waited for us, by stage. Headers are no stage of these: nobody waits for us there. Thread-safe. */
#ifndef CONSENT_MILTER_STAGES_H
#define CONSENT_MILTER_STAGES_H

#include <stddef.h>

#include "base/histogram.h"

enum cm_stage { CM_STAGE_CONNECT, CM_STAGE_MAIL, CM_STAGE_RCPT, CM_STAGE_END, CM_STAGE_COUNT };

/* Counts a stage that began then and ends now. */
void cm_stage_took(enum cm_stage stage, uint64_t began_ns);

const char *cm_stage_name(enum cm_stage stage);
const struct cm_histogram *cm_stage_times(enum cm_stage stage);

#endif
