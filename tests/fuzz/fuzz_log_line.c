/* Lines of a mail log. What must hold: no crash; a decision that is read has valid parts, and its key is the text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log_line.h"
#include "require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cm_log_line line;
    struct cm_decision_id id;
    char key[CM_SUBJECT_TEXT_BYTES];
    if (cm_log_line_parse((struct cm_span){(const char *)data, size}, &line) != CM_LOG_LINE_DECISION) {
        return 0;
    }
    REQUIRE(cm_decision_id_parse(cm_span_of(line.id), &id));
    REQUIRE(line.verdict >= CM_VERDICT_ACCEPT && line.verdict <= CM_VERDICT_DEFER);
    REQUIRE(line.reason > CM_REASON_UNSET && line.reason < CM_REASON_COUNT);
    REQUIRE(line.stream[0] != '\0');
    REQUIRE(line.purpose[0] == '\0' || cm_purpose_path_is_valid(cm_span_of(line.purpose)));
    REQUIRE(line.subject.partition < CM_PARTITIONS && line.subject.bucket < CM_BUCKETS);
    REQUIRE(line.subject.pepper <= CM_PEPPER_ID_MAX && line.subject.other_count == 0);
    cm_subject_format(&line.subject, key);
    REQUIRE(!line.has_subject || memmem(data, size, "subject=", 8) != NULL);
    return 0;
}
