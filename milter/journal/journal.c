#include "journal/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "directory.h"
#include "file.h"

#define PENDING_FIRST_BYTES 4096

struct cm_journal {
    int directory; /* holds the lock */
    int active;    /* the last file, appending */
    size_t file_bytes;
    bool in_doubt;
    struct cm_journal_file *files; /* at least one; the last is active */
    size_t file_count;
    size_t file_room;
    uint8_t *pending; /* records that wait for the commit, one after the other, not yet sealed */
    size_t pending_bytes;
    size_t pending_room;
    uint64_t pending_count;
    struct cm_journal_window window;
};

static struct cm_journal_file *active_file(const struct cm_journal *journal)
{
    return &journal->files[journal->file_count - 1];
}

static bool reserve_file(struct cm_journal *journal, struct cm_err *err)
{
    if (journal->file_count < journal->file_room) {
        return true;
    }
    if (journal->file_count >= CM_JOURNAL_FILES_MAX) {
        cm_err_set(err, "%d journal files are the most; let older ones expire", CM_JOURNAL_FILES_MAX);
        return false;
    }
    size_t room = journal->file_room > 0 ? journal->file_room * 2 : 16;
    struct cm_journal_file *files = realloc(journal->files, room * sizeof(*files));
    if (files == NULL) {
        cm_err_set(err, "no memory for the journal's files");
        return false;
    }
    journal->files = files;
    journal->file_room = room;
    return true;
}

/* Takes a checked file into the list, if it goes on where the one before ends. */
static enum cm_journal_status append_file(struct cm_journal *journal, const struct cm_journal_file *file,
                                          struct cm_err *err)
{
    if (journal->file_count > 0 && file->first != active_file(journal)->last + 1) {
        char name[CM_JOURNAL_NAME_BYTES];
        cm_journal_name(file->first, name);
        cm_err_set(err, "%s: damaged at byte 0: the file before it ends with record %llu: %s", name,
                   (unsigned long long)active_file(journal)->last,
                   file->first > active_file(journal)->last ? "records are missing" : "records are there twice");
        return CM_JOURNAL_DAMAGED;
    }
    if (!reserve_file(journal, err)) {
        return CM_JOURNAL_FAILED;
    }
    journal->files[journal->file_count++] = *file;
    return CM_JOURNAL_OK;
}

static int open_file(const struct cm_journal *journal, uint64_t first, int mode, struct cm_err *err)
{
    char name[CM_JOURNAL_NAME_BYTES];
    cm_journal_name(first, name);
    /* Without O_NONBLOCK a named pipe in this place would be waited for. */
    int fd = openat(journal->directory, name, mode | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        cm_err_set(err, "%s: %s", name, strerror(errno));
    }
    return fd;
}

static enum cm_journal_status load_file(struct cm_journal *journal, uint64_t first, bool is_last, uint64_t *out_cut,
                                        struct cm_err *err)
{
    struct cm_journal_file file;
    int fd = open_file(journal, first, is_last ? O_RDWR : O_RDONLY, err);
    if (fd < 0) {
        return CM_JOURNAL_FAILED;
    }
    cm_journal_window_over(&journal->window, fd);
    enum cm_journal_status status = cm_journal_file_check(&journal->window, first, is_last, &file, out_cut, err);
    if (status == CM_JOURNAL_OK) {
        status = append_file(journal, &file, err);
    }
    /* Only now, that the whole journal is known to be sound, is anything changed. */
    if (status == CM_JOURNAL_OK && is_last) {
        if (cm_journal_file_repair(&journal->window, journal->directory, active_file(journal), err)) {
            journal->active = fd;
            return CM_JOURNAL_OK;
        }
        status = CM_JOURNAL_FAILED;
    }
    (void)close(fd); /* read only, or failed already */
    return status;
}

static enum cm_journal_status begin(struct cm_journal *journal, struct cm_err *err)
{
    struct cm_journal_file file;
    if (!cm_journal_directory_sync_parent(journal->directory, err) ||
        !cm_journal_file_create(journal->directory, 1, &file, &journal->active, err)) {
        return CM_JOURNAL_FAILED;
    }
    return append_file(journal, &file, err);
}

static enum cm_journal_status load(struct cm_journal *journal, uint64_t *out_cut, struct cm_err *err)
{
    uint64_t *numbers = NULL;
    size_t count = 0;
    enum cm_journal_status status = cm_journal_directory_list(journal->directory, &numbers, &count, err);
    if (status == CM_JOURNAL_OK && count == 0) {
        status = begin(journal, err);
    }
    for (size_t i = 0; status == CM_JOURNAL_OK && i < count; i++) {
        status = load_file(journal, numbers[i], i + 1 == count, out_cut, err);
    }
    free(numbers);
    return status;
}

enum cm_journal_status cm_journal_open(const struct cm_journal_options *options, struct cm_journal **out,
                                       size_t *out_cut, struct cm_err *err)
{
    uint64_t cut = 0;
    struct cm_journal *journal = calloc(1, sizeof(*journal));
    if (journal == NULL) {
        cm_err_set(err, "no memory for the journal");
        return CM_JOURNAL_FAILED;
    }
    journal->directory = -1;
    journal->active = -1;
    journal->file_bytes = options->file_bytes;
    enum cm_journal_status status = cm_journal_directory_open(options->directory, &journal->directory, err);
    if (status == CM_JOURNAL_OK) {
        status = load(journal, &cut, err);
    }
    if (status != CM_JOURNAL_OK) {
        cm_journal_close(journal);
        return status;
    }
    *out = journal;
    *out_cut = (size_t)cut;
    return CM_JOURNAL_OK;
}

void cm_journal_close(struct cm_journal *journal)
{
    if (journal == NULL) {
        return;
    }
    if (journal->active >= 0) {
        (void)close(journal->active); /* what counts was synced */
    }
    if (journal->directory >= 0) {
        (void)close(journal->directory); /* gives the lock back; nothing was written through it */
    }
    free(journal->files);
    free(journal->pending);
    free(journal);
}

static bool refuse_doubt(const struct cm_journal *journal, struct cm_err *err)
{
    if (journal->in_doubt) {
        cm_err_set(err, "the journal is in doubt since a commit failed; it must be opened anew");
    }
    return journal->in_doubt;
}

static bool reserve_pending(struct cm_journal *journal, size_t bytes, struct cm_err *err)
{
    size_t need = journal->pending_bytes + bytes;
    size_t room = journal->pending_room > 0 ? journal->pending_room : PENDING_FIRST_BYTES;
    if (need > CM_JOURNAL_PENDING_MAX) {
        cm_err_set(err, "%zu bytes wait to be committed; more than %d may not", journal->pending_bytes,
                   CM_JOURNAL_PENDING_MAX);
        return false;
    }
    while (room < need) {
        room *= 2;
    }
    if (room > journal->pending_room) {
        uint8_t *pending = realloc(journal->pending, room);
        if (pending == NULL) {
            cm_err_set(err, "no memory for a record of the journal");
            return false;
        }
        journal->pending = pending;
        journal->pending_room = room;
    }
    return true;
}

bool cm_journal_add(struct cm_journal *journal, struct cm_span content, uint64_t *out_number, struct cm_err *err)
{
    struct cm_journal_head head = {.commit = active_file(journal)->last + 1};
    head.number = head.commit + journal->pending_count;
    if (refuse_doubt(journal, err)) {
        return false;
    }
    if (content.len > CM_JOURNAL_RECORD_MAX) {
        cm_err_set(err, "a record of %zu bytes; more than %d may not be journaled", content.len, CM_JOURNAL_RECORD_MAX);
        return false;
    }
    if (head.number > CM_JOURNAL_NUMBER_MAX) {
        cm_err_set(err, "the journal's numbers are used up");
        return false;
    }
    head.bytes = CM_JOURNAL_AROUND_BYTES + content.len;
    if (!reserve_pending(journal, head.bytes, err)) {
        return false;
    }
    cm_journal_record_put(journal->pending + journal->pending_bytes, &head, content);
    journal->pending_bytes += head.bytes;
    journal->pending_count++;
    *out_number = head.number;
    return true;
}

/* Begins the next file if the active one is full. An empty one never is: the next would bear the same name. */
static bool rotate(struct cm_journal *journal, struct cm_err *err)
{
    const struct cm_journal_file *full = active_file(journal);
    struct cm_journal_file next;
    int fd = -1;
    if (full->bytes < journal->file_bytes || full->last < full->first) {
        return true;
    }
    if (!reserve_file(journal, err) ||
        !cm_journal_file_create(journal->directory, active_file(journal)->last + 1, &next, &fd, err)) {
        return false;
    }
    (void)close(journal->active); /* what counts was synced */
    journal->active = fd;
    journal->files[journal->file_count++] = next;
    return true;
}

/* Whether the synced file is still the one in the directory, and nobody else wrote to it or cut it. */
static bool is_ours(const struct cm_journal *journal, uint64_t bytes)
{
    struct stat about;
    return fstat(journal->active, &about) == 0 && about.st_nlink > 0 && (uint64_t)about.st_size == bytes;
}

/* A failed sync is never tried again: the kernel drops what it could not write, and the second would succeed. LAW-11 */
static bool write_pending(struct cm_journal *journal, int64_t now_s, struct cm_err *err)
{
    struct cm_journal_file *file = active_file(journal);
    char name[CM_JOURNAL_NAME_BYTES];
    cm_journal_name(file->first, name);
    for (size_t at = 0; at < journal->pending_bytes;) {
        at += cm_journal_record_seal(journal->pending + at, now_s, file->key);
    }
    if (!cm_journal_file_write(journal->active, journal->pending, journal->pending_bytes)) {
        cm_err_set(err, "%s: cannot be written: %s", name, strerror(errno));
        return false;
    }
    if (fdatasync(journal->active) != 0) {
        cm_err_set(err, "%s: cannot be synced: %s", name, strerror(errno));
        return false;
    }
    if (!is_ours(journal, file->bytes + journal->pending_bytes)) {
        cm_err_set(err, "%s: was removed or changed by somebody else", name);
        return false;
    }
    file->commit_at = file->bytes;
    file->bytes += journal->pending_bytes;
    file->last += journal->pending_count;
    file->newest_s = now_s > file->newest_s ? now_s : file->newest_s;
    return true;
}

bool cm_journal_commit(struct cm_journal *journal, int64_t now_s, struct cm_err *err)
{
    if (refuse_doubt(journal, err)) {
        return false;
    }
    if (journal->pending_count == 0) {
        return true;
    }
    if (!rotate(journal, err) || !write_pending(journal, now_s, err)) {
        journal->in_doubt = true;
        return false;
    }
    journal->pending_bytes = 0;
    journal->pending_count = 0;
    return true;
}

struct reading {
    uint64_t from;
    bool (*each)(void *context, uint64_t number, int64_t at_s, struct cm_span content);
    void *context;
    bool is_over; /* `each` has seen enough */
};

static bool read_file(struct cm_journal *journal, const struct cm_journal_file *file, struct reading *reading,
                      struct cm_err *err)
{
    uint64_t at = CM_JOURNAL_HEADER_BYTES;
    uint64_t end = file->bytes; /* what is appended meanwhile is for the next time */
    for (uint64_t number = file->first; at < end && !reading->is_over; number++) {
        struct cm_journal_head head;
        struct cm_span content;
        enum cm_journal_step step = cm_journal_file_step(&journal->window, file->key, at, &head, &content);
        if (step != CM_JOURNAL_STEP_RECORD || head.number != number) {
            int why = errno;
            char name[CM_JOURNAL_NAME_BYTES];
            cm_journal_name(file->first, name);
            cm_err_set(err, "%s: byte %llu: %s", name, (unsigned long long)at,
                       step == CM_JOURNAL_STEP_FAILED ? strerror(why) : "damaged since the journal was opened");
            return false;
        }
        at += head.bytes;
        if (number >= reading->from) {
            reading->is_over = !reading->each(reading->context, number, head.at_s, content);
        }
    }
    return true;
}

bool cm_journal_read(struct cm_journal *journal, uint64_t from,
                     bool (*each)(void *context, uint64_t number, int64_t at_s, struct cm_span content), void *context,
                     struct cm_err *err)
{
    struct reading reading = {.from = from, .each = each, .context = context};
    if (refuse_doubt(journal, err)) {
        return false;
    }
    for (size_t i = 0; i < journal->file_count && !reading.is_over; i++) {
        const struct cm_journal_file *file = &journal->files[i];
        if (file->last < from || file->last < file->first) {
            continue;
        }
        int fd = open_file(journal, file->first, O_RDONLY, err);
        if (fd < 0) {
            return false;
        }
        cm_journal_window_over(&journal->window, fd);
        bool ok = read_file(journal, file, &reading, err);
        (void)close(fd); /* read only */
        if (!ok) {
            return false;
        }
    }
    return true;
}

void cm_journal_range(const struct cm_journal *journal, uint64_t *out_first, uint64_t *out_last)
{
    uint64_t first = journal->files[0].first;
    uint64_t last = active_file(journal)->last;
    *out_first = last >= first ? first : 0;
    *out_last = last >= first ? last : 0;
}

bool cm_journal_expire(struct cm_journal *journal, int64_t before_s, uint64_t below, struct cm_err *err)
{
    if (refuse_doubt(journal, err)) {
        return false;
    }
    bool ok = true;
    size_t removed = 0;
    while (ok && removed + 1 < journal->file_count) {
        const struct cm_journal_file *file = &journal->files[removed];
        if (file->newest_s >= before_s || file->last >= below || file->last == active_file(journal)->last) {
            break;
        }
        char name[CM_JOURNAL_NAME_BYTES];
        cm_journal_name(file->first, name);
        ok = unlinkat(journal->directory, name, 0) == 0;
        removed += ok ? 1 : 0;
        /* Synced one by one: were a later file to go and an earlier one to come back, there would be a gap. */
        ok = ok && fsync(journal->directory) == 0;
        if (!ok) {
            cm_err_set(err, "%s: cannot be removed: %s", name, strerror(errno));
        }
    }
    journal->file_count -= removed;
    memmove(journal->files, journal->files + removed, journal->file_count * sizeof(*journal->files));
    return ok;
}
