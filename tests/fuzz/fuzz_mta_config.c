/*
 * Configurations of mail servers as anybody may have written them. The first byte chooses the reader, the rest is cut
 * at NULs into its texts. What must hold: no crash; each finding is whole, has weight, place, text and advice, and ends
 * in its storage.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "require.h"
#include "service/mta_doctor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Each table of the configuration is the last text. */
static bool read_table(void *context, struct cm_span path, struct cm_span *out_text)
{
    *out_text = *(const struct cm_span *)context;
    return path.len > 0;
}

static void require_findings(const struct cm_mta_findings *findings)
{
    REQUIRE(findings->count <= CM_MTA_FINDINGS_MAX);
    for (size_t i = 0; i < findings->count; i++) {
        const struct cm_mta_finding *row = &findings->rows[i];
        REQUIRE(row->health > CM_HEALTH_GOOD && row->name != NULL && row->advice != NULL && row->advice[0] != '\0');
        REQUIRE(memchr(row->where, '\0', sizeof(row->where)) != NULL);
        REQUIRE(memchr(row->found, '\0', sizeof(row->found)) != NULL && row->found[0] != '\0');
        REQUIRE(memchr(row->line, '\0', sizeof(row->line)) != NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct cm_mta_findings findings;
    static const char *const sockets[] = {"unix:/q/c.sock", "inet:9000@127.0.0.1"};
    struct cm_span rest = {(const char *)data, size};
    struct cm_span texts[4] = {{NULL, 0}};
    if (size == 0) {
        return 0;
    }
    char choice = rest.p[0];
    rest = (struct cm_span){rest.p + 1, rest.len - 1};
    for (size_t i = 0; i < 4 && cm_span_next(&rest, '\0', &texts[i]); i++) {
    }
    const char *socket = sockets[(choice & 4) != 0];
    findings.count = 0;
    if (choice % 4 == 0) {
        cm_mta_judge_postfix(
            &(struct cm_mta_postfix){socket, texts[0], texts[1], texts[2], texts[3], read_table, &texts[3]}, &findings);
    } else if (choice % 4 == 1) {
        cm_mta_judge_sendmail(&(struct cm_mta_sendmail){socket, texts[0], texts[1], texts[2]}, &findings);
    } else {
        cm_mta_judge_status(texts[0], &(struct cm_stream_table){.count = 0}, &findings);
    }
    require_findings(&findings);
    return 0;
}
