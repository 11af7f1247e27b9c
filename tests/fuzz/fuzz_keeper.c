/*
 * What reaches a keeper from outside: lines of its socket, and the contents of its journal. What must hold: no crash;
 * what is refused says why; what is read and written again is the same; a rank is never read from a line.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "require.h"
#include "service/keeper_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_request(struct cm_span line)
{
    static struct cm_keeper_request request;
    static struct cm_keeper_request again;
    struct cm_err err = {.text = ""};
    if (!cm_keeper_request_read(line, &request, &err)) {
        REQUIRE(err.text[0] != '\0');
        return;
    }
    if (request.wish != CM_KEEPER_WRITE) {
        return;
    }
    REQUIRE(request.write.rank == CM_RANK_UNSET);
    REQUIRE(request.write.related_count <= CM_KEEPER_RELATED_MAX);
    REQUIRE(request.write.document.len <= CM_LIMIT_EVIDENCE_BYTES);
    char *first = cm_keeper_request_write(&request.write, request.wait_ms);
    REQUIRE(first != NULL);
    REQUIRE(cm_keeper_request_read(cm_span_of(first), &again, &err));
    char *second = cm_keeper_request_write(&again.write, again.wait_ms);
    REQUIRE(second != NULL && strcmp(first, second) == 0);
    free(first);
    free(second);
}

static void check_answers(struct cm_span line)
{
    struct cm_err err = {.text = ""};
    struct cm_keeper_answer answer;
    struct cm_keeper_report report;
    static char text[CM_KEEPER_LINE_MAX];
    if (cm_keeper_answer_read(line, &answer, &err)) {
        struct cm_text out = cm_text_over(text, sizeof(text));
        cm_keeper_answer_write(&answer, &out);
        REQUIRE(!out.truncated && cm_keeper_answer_read((struct cm_span){text, out.len - 1}, &answer, &err));
    }
    (void)cm_keeper_report_read(line, &report, &err); /* only that it does not crash */
}

static void check_entry(struct cm_span content)
{
    static struct cm_keeper_act act;
    uint8_t packed[CM_JOURNAL_RECORD_MAX];
    struct cm_keeper_outcome outcome;
    enum cm_keeper_note note = CM_KEEPER_NOTE_UNSET;
    size_t len = 0;
    if (cm_keeper_unpack_act(content, &act)) {
        len = cm_keeper_pack_act(&act, packed);
    } else if (cm_keeper_unpack_outcome(content, &outcome)) {
        len = cm_keeper_pack_outcome(&outcome, packed);
    } else if (cm_keeper_unpack_note(content, &note)) {
        len = cm_keeper_pack_note(note, packed);
    } else {
        return;
    }
    REQUIRE(len == content.len && memcmp(packed, content.p, len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cm_span input = {(const char *)data, size};
    check_request(input);
    check_answers(input);
    check_entry(input);
    return 0;
}
