/* What the two halves of the judgement of Postfix share: mta_postfix.c the filter lists, mta_postfix_ways.c what goes
 * past them. */
#ifndef SERVICE_MTA_POSTFIX_H
#define SERVICE_MTA_POSTFIX_H

#include "mta_common.h"

/* A line of master.cf. */
struct cm_mta_service {
    struct cm_span name;
    struct cm_span type;
    struct cm_span command;
    bool is_chrooted;
};

struct cm_mta_look {
    const struct cm_mta_postfix *postfix;
    struct cm_mta_findings *findings;
    struct cm_mta_endpoint ours;
    struct cm_span queue; /* queue_directory */
    struct cm_mta_service services[CM_MTA_SERVICES_MAX];
    size_t service_count;
    bool has_content_filter; /* of some service: then a listener on loopback may be where mail comes back */
};

/* A parameter as one service has it, and where that is written: "main.cf: NAME" or "master.cf: smtp/inet: -o NAME". */
struct cm_mta_value {
    struct cm_span text;
    bool is_override;
    char where[160];
};

/* `service` NULL: main.cf alone. A parameter that stands nowhere is empty. */
void cm_mta_value_of(const struct cm_mta_look *look, const struct cm_mta_service *service, const char *name,
                     struct cm_mta_value *out);
bool cm_mta_service_runs(const struct cm_mta_service *service, const char *program);
/* True if the service reaches our socket by some filter of the list. */
bool cm_mta_names_us(const struct cm_mta_look *look, const struct cm_mta_service *service, struct cm_span list);
/* Mail comes back here from a content filter, which was asked about before it went there. */
bool cm_mta_is_reinjection(const struct cm_mta_look *look, const struct cm_mta_service *service);
/* Writes "NAME = VALUE" in the form of the file that the value stands in. */
void cm_mta_write_line(struct cm_mta_finding *finding, const struct cm_mta_value *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Everything beside the lists of filters. */
void cm_mta_judge_ways(struct cm_mta_look *look);

#endif
