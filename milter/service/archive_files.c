#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "archive_internal.h"

#define SUFFIX ".segment"
#define DIGITS 10

bool cm_segment_path(const char *directory, uint64_t number, char out[CM_SEGMENT_PATH_BYTES], struct cm_err *err)
{
    struct cm_text path = cm_text_over(out, CM_SEGMENT_PATH_BYTES);
    cm_text_add_format(&path, "%s/%0*llu" SUFFIX, directory, DIGITS, (unsigned long long)number);
    if (path.truncated) {
        cm_err_set(err, "%s: the path is too long", directory);
    }
    return !path.truncated;
}

/* "0000000001.segment"; other names are not ours. */
static bool number_of(const char *name, uint64_t *out)
{
    return strlen(name) == DIGITS + sizeof(SUFFIX) - 1 && strcmp(name + DIGITS, SUFFIX) == 0 &&
           cm_parse_u64((struct cm_span){name, DIGITS}, 9999999999, out) && *out > 0;
}

enum cm_archive_status cm_segment_range(const char *directory, uint64_t *out_first, uint64_t *out_last,
                                        struct cm_err *err)
{
    DIR *dir = opendir(directory);
    uint64_t first = 0;
    uint64_t last = 0;
    if (dir == NULL) {
        cm_err_set(err, "cannot read %s: %s", directory, strerror(errno));
        return errno == ENOENT ? CM_ARCHIVE_NONE : CM_ARCHIVE_FAILED;
    }
    errno = 0;
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        uint64_t number = 0;
        if (number_of(entry->d_name, &number)) {
            first = first == 0 || number < first ? number : first;
            last = number > last ? number : last;
        }
    }
    int failure = errno;
    (void)closedir(dir); /* opened for reading only */
    if (failure != 0) {
        cm_err_set(err, "cannot read %s: %s", directory, strerror(failure));
        return CM_ARCHIVE_FAILED;
    }
    if (last == 0) {
        cm_err_set(err, "there is no segment in %s", directory);
        return CM_ARCHIVE_NONE;
    }
    *out_first = first;
    *out_last = last;
    return CM_ARCHIVE_OK;
}

struct cm_segment_file *cm_segment_open(const char *directory, uint64_t number, bool *out_absent, struct cm_err *err)
{
    struct stat st;
    struct cm_segment_file *file = calloc(1, sizeof(*file));
    *out_absent = false;
    if (file == NULL) {
        cm_err_set(err, "out of memory");
        return NULL;
    }
    if (!cm_segment_path(directory, number, file->path, err)) {
        free(file);
        return NULL;
    }
    file->number = number;
    file->file = fopen(file->path, "re");
    if (file->file == NULL || fstat(fileno(file->file), &st) != 0 || !S_ISREG(st.st_mode)) {
        *out_absent = file->file == NULL && errno == ENOENT;
        cm_err_set(err, "cannot read %s: %s", file->path,
                   file->file == NULL ? strerror(errno) : "it is not a regular file");
        cm_segment_close(file);
        return NULL;
    }
    (void)setvbuf(file->file, file->buffer, _IOFBF, sizeof(file->buffer)); /* slower without, as correct */
    file->size = (uint64_t)st.st_size;
    return file;
}

void cm_segment_close(struct cm_segment_file *file)
{
    if (file != NULL && file->file != NULL) {
        (void)fclose(file->file); /* opened for reading only */
    }
    free(file);
}

/* END: what is left, if anything, is no whole frame. */
enum file_status { FILE_FRAME, FILE_END, FILE_NO_FRAME, FILE_FAILED };

static enum file_status next_frame(struct cm_segment_file *file, struct cm_span *out, struct cm_err *err)
{
    size_t body = 0;
    size_t got = fread(file->frame, 1, CM_FRAME_HEAD_BYTES, file->file);
    if (got == CM_FRAME_HEAD_BYTES) {
        if (!cm_frame_length(file->frame, &body)) {
            cm_err_set(err, "no frame stands here");
            return FILE_NO_FRAME;
        }
        got = fread(file->frame + CM_FRAME_HEAD_BYTES, 1, body, file->file);
        if (got == body) {
            *out = (struct cm_span){(const char *)file->frame, CM_FRAME_HEAD_BYTES + body};
            return FILE_FRAME;
        }
    }
    if (ferror(file->file) != 0) {
        cm_err_set(err, "cannot read %s: %s", file->path, strerror(errno));
        return FILE_FAILED;
    }
    return FILE_END;
}

enum cm_archive_status cm_segment_run(struct cm_segment_file *file, struct cm_segment_walk *walk, uint64_t limit,
                                      bool (*each)(void *context, const struct cm_ledger_raw *entry), void *context,
                                      bool *out_ended, struct cm_err *err)
{
    enum file_status status = FILE_FRAME;
    struct cm_err cause = {{0}};
    *out_ended = false;
    rewind(file->file);
    while (walk->bytes < limit && !*out_ended) {
        struct cm_span frame;
        struct cm_ledger_raw entry;
        status = next_frame(file, &frame, &cause);
        if (status != FILE_FRAME) {
            break;
        }
        enum cm_step step = cm_segment_step(walk, frame, &entry, &cause);
        if (step == CM_STEP_BAD || (step == CM_STEP_SEGMENT && walk->segment != file->number)) {
            status = FILE_NO_FRAME;
            if (step == CM_STEP_SEGMENT) {
                cm_err_set(&cause, "it is segment %llu under another's name", (unsigned long long)walk->segment);
            }
            break;
        }
        *out_ended = step == CM_STEP_ENTRY && each != NULL && !each(context, &entry);
    }
    if (status == FILE_NO_FRAME) {
        cm_err_set(err, "%s, byte %llu: %s", file->path, (unsigned long long)walk->bytes, cause.text);
        return CM_ARCHIVE_DAMAGED;
    }
    if (status == FILE_FAILED) {
        cm_err_set(err, "%s", cause.text);
        return CM_ARCHIVE_FAILED;
    }
    return CM_ARCHIVE_OK;
}

enum cm_archive_status cm_segment_peek(const struct cm_archive_site *where, uint64_t number,
                                       struct cm_segment_walk *walk, struct cm_err *err)
{
    bool ended = false;
    bool absent = false;
    struct cm_segment_file *file = cm_segment_open(where->directory, number, &absent, err);
    cm_segment_walk_init(walk, where->store_id);
    if (file == NULL) {
        return absent ? CM_ARCHIVE_NONE : CM_ARCHIVE_FAILED;
    }
    enum cm_archive_status status = cm_segment_run(file, walk, 1, NULL, NULL, &ended, err);
    if (status == CM_ARCHIVE_OK && walk->segment == 0) {
        cm_err_set(err, "%s does not begin as a segment", file->path);
        status = CM_ARCHIVE_NONE;
    }
    cm_segment_close(file);
    return status;
}
