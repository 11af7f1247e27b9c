#include <stdlib.h>

#include "internal.h"

bool cm_canaries_read(const struct cm_reader *reader, const config_setting_t *root, struct cm_settings *settings)
{
    const char *path = settings->canaries_file;
    const char *problem = NULL;
    struct cm_err err;
    size_t len = 0;
    unsigned line = 0;
    if (path == NULL) {
        return true;
    }
    char *text = cm_source_read_list(path, &len, &err);
    if (text == NULL) {
        return cm_reader_fail(reader, cm_reader_member(root, "canaries"), "canaries", "%s", err.text);
    }
    bool ok = cm_canaries_parse((struct cm_span){text, len}, reader->arena, &settings->canaries, &line, &problem);
    free(text);
    return ok ||
           cm_reader_fail(reader, cm_reader_member(root, "canaries"), "canaries", "%s:%u: %s", path, line, problem);
}
