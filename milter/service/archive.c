#include "service/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive_internal.h"

struct cm_archive {
    struct cm_archive_site where;
    int directory_fd; /* holds the lock */
    int fd;           /* of the open segment; -1: none */
    bool ready;       /* recovered */
    bool in_doubt;
    uint64_t file_bytes; /* of the open segment: where the batch goes */
    uint8_t *batch;
    size_t batch_len;
    size_t batch_size;
    struct cm_segment_walk walk; /* with the batch */
};

/* Walks one segment to its last head. What stands behind that is for cm_archive_recover. */
static enum cm_archive_status load(struct cm_archive *archive, uint64_t number, struct cm_err *err)
{
    bool ended = false;
    bool absent = false;
    struct cm_segment_file *file = cm_segment_open(archive->where.directory, number, &absent, err);
    if (file == NULL) {
        return absent ? CM_ARCHIVE_DAMAGED : CM_ARCHIVE_FAILED;
    }
    struct cm_segment_walk *walk = &archive->walk;
    cm_segment_walk_init(walk, archive->where.store_id);
    enum cm_archive_status status = cm_segment_run(file, walk, UINT64_MAX, NULL, NULL, &ended, err);
    if (status != CM_ARCHIVE_FAILED && walk->head_bytes > 0 && walk->bytes != walk->head_bytes) {
        uint64_t limit = walk->head_bytes; /* once more, so that the walk ends at its last head */
        cm_segment_walk_init(walk, archive->where.store_id);
        status = cm_segment_run(file, walk, limit, NULL, NULL, &ended, err);
    } else if (status == CM_ARCHIVE_DAMAGED && walk->head_bytes > 0) {
        status = CM_ARCHIVE_OK;
    }
    archive->file_bytes = walk->head_bytes;
    cm_segment_close(file);
    if (status == CM_ARCHIVE_OK && walk->head_bytes > 0 && !cm_segment_proven(walk, archive->where.key)) {
        cm_err_set(err, "segment %llu in %s is not signed by our key: is this another archive, or the key another's?",
                   (unsigned long long)number, archive->where.directory);
        status = CM_ARCHIVE_DAMAGED;
    }
    return status;
}

static enum cm_archive_status lock(struct cm_archive *archive, struct cm_err *err)
{
    const char *directory = archive->where.directory;
    if (mkdir(directory, 0700) != 0 && errno != EEXIST) {
        cm_err_set(err, "cannot make %s: %s", directory, strerror(errno));
        return CM_ARCHIVE_FAILED;
    }
    archive->directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (archive->directory_fd < 0) {
        cm_err_set(err, "cannot open %s: %s", directory, strerror(errno));
        return CM_ARCHIVE_FAILED;
    }
    if (flock(archive->directory_fd, LOCK_EX | LOCK_NB) != 0) {
        bool taken = errno == EWOULDBLOCK;
        cm_err_set(err, "%s: %s", directory, taken ? "another archiver is at work" : strerror(errno));
        return taken ? CM_ARCHIVE_LOCKED : CM_ARCHIVE_FAILED;
    }
    return CM_ARCHIVE_OK;
}

/* A crash may leave a newest file without any head: then the one before it is the last. */
static enum cm_archive_status load_last(struct cm_archive *archive, struct cm_err *err)
{
    uint64_t first = 0;
    uint64_t last = 0;
    enum cm_archive_status status = cm_segment_range(archive->where.directory, &first, &last, err);
    if (status != CM_ARCHIVE_OK) {
        return status == CM_ARCHIVE_NONE ? CM_ARCHIVE_OK : status;
    }
    status = load(archive, last, err);
    if (archive->walk.head_bytes > 0 || status != CM_ARCHIVE_OK) {
        return status;
    }
    if (last == 1) {
        cm_segment_walk_init(&archive->walk, archive->where.store_id);
        return CM_ARCHIVE_OK;
    }
    status = load(archive, last - 1, err);
    if (status == CM_ARCHIVE_OK && !archive->walk.head.sealed) {
        cm_err_set(err, "segment %llu was not sealed, and the next is there", (unsigned long long)last - 1);
        status = CM_ARCHIVE_DAMAGED;
    }
    return status;
}

enum cm_archive_status cm_archive_open(const struct cm_archive_site *where, struct cm_archive **out, struct cm_err *err)
{
    struct cm_archive *archive = calloc(1, sizeof(*archive));
    if (archive == NULL) {
        cm_err_set(err, "out of memory");
        return CM_ARCHIVE_FAILED;
    }
    archive->where = *where;
    archive->directory_fd = -1;
    archive->fd = -1;
    cm_segment_walk_init(&archive->walk, where->store_id);
    enum cm_archive_status status = lock(archive, err);
    if (status == CM_ARCHIVE_OK) {
        status = load_last(archive, err);
    }
    if (status != CM_ARCHIVE_OK) {
        cm_archive_close(archive);
        return status;
    }
    *out = archive;
    return CM_ARCHIVE_OK;
}

/* Opens the file of the walk's segment for appending, making it if `fresh`. What a crash left there is cut off. */
static bool open_segment(struct cm_archive *archive, uint64_t number, uint64_t *out_cut, struct cm_err *err)
{
    char path[CM_SEGMENT_PATH_BYTES];
    struct stat st;
    if (!cm_segment_path(archive->where.directory, number, path, err)) {
        return false;
    }
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    off_t keep = (off_t)archive->file_bytes;
    bool ok = fd >= 0 && fstat(fd, &st) == 0 && st.st_size >= keep;
    if (ok && st.st_size > keep) {
        *out_cut += (uint64_t)(st.st_size - keep);
        ok = ftruncate(fd, keep) == 0 && fsync(fd) == 0;
    }
    if (!ok) {
        cm_err_set(err, "cannot append to %s: %s", path, strerror(errno));
        if (fd >= 0) {
            (void)close(fd); /* nothing was written */
        }
        return false;
    }
    archive->fd = fd;
    return true;
}

enum cm_archive_status cm_archive_recover(struct cm_archive *archive, const struct cm_archive_place *known,
                                          uint64_t *out_cut, struct cm_err *err)
{
    uint64_t cut = 0;
    for (unsigned p = 0; p < CM_PARTITIONS; p++) {
        struct cm_archive_place holds = archive->walk.places[p];
        if (known[p].last > holds.last || known[p].count > holds.count) {
            cm_err_set(err,
                       "%s has lost entries: Redis says that %llu of partition %u were archived, and it holds %llu. "
                       "Restore its segments from the backup",
                       archive->where.directory, (unsigned long long)known[p].count, p,
                       (unsigned long long)holds.count);
            return CM_ARCHIVE_DAMAGED;
        }
    }
    if (archive->walk.segment != 0 && !archive->walk.head.sealed &&
        !open_segment(archive, archive->walk.segment, &cut, err)) {
        return CM_ARCHIVE_FAILED;
    }
    archive->ready = true;
    *out_cut = cut;
    return CM_ARCHIVE_OK;
}

void cm_archive_close(struct cm_archive *archive)
{
    if (archive == NULL) {
        return;
    }
    if (archive->fd >= 0) {
        (void)close(archive->fd); /* what was promised is synced */
    }
    if (archive->directory_fd >= 0) {
        (void)close(archive->directory_fd); /* and gives the lock back */
    }
    free(archive->batch);
    free(archive);
}

struct cm_archive_place cm_archive_holds(const struct cm_archive *archive, unsigned partition)
{
    return archive->walk.places[partition];
}

size_t cm_archive_waiting(const struct cm_archive *archive)
{
    return archive->batch_len;
}

/* Where the next frame of the batch is to be made; NULL without memory. */
static uint8_t *reserve(struct cm_archive *archive, struct cm_err *err)
{
    if (archive->batch_size - archive->batch_len < CM_FRAME_MAX) {
        size_t size = (archive->batch_size + CM_FRAME_MAX) * 2;
        uint8_t *batch = realloc(archive->batch, size);
        if (batch == NULL) {
            cm_err_set(err, "out of memory");
            return NULL;
        }
        archive->batch = batch;
        archive->batch_size = size;
    }
    return archive->batch + archive->batch_len;
}

/* Walks the frame that was made there, so that what a reader would refuse is not written. */
static bool push(struct cm_archive *archive, size_t len, struct cm_err *err)
{
    struct cm_ledger_raw unused;
    struct cm_span frame = {(const char *)archive->batch + archive->batch_len, len};
    archive->batch_len += len;
    return cm_segment_step(&archive->walk, frame, &unused, err) != CM_STEP_BAD;
}

static bool begin_segment(struct cm_archive *archive, cm_ms now, struct cm_err *err)
{
    uint8_t *frame = reserve(archive, err);
    if (frame == NULL) {
        return false;
    }
    size_t len = cm_segment_begin_frame(&archive->walk, archive->where.key->number, now, frame);
    if (archive->fd >= 0) {
        (void)close(archive->fd); /* sealed and synced */
        archive->fd = -1;
    }
    cm_segment_walk_init(&archive->walk, archive->where.store_id);
    archive->file_bytes = 0;
    return push(archive, len, err);
}

static bool is_usable(const struct cm_archive *archive, struct cm_err *err)
{
    if (!archive->ready || archive->in_doubt) {
        cm_err_set(err, "the archive is in doubt: open it anew");
    }
    return archive->ready && !archive->in_doubt;
}

bool cm_archive_add(struct cm_archive *archive, const struct cm_ledger_raw *entry, cm_ms now, struct cm_err *err)
{
    if (!is_usable(archive, err)) {
        return false;
    }
    bool ok = true;
    if (archive->walk.segment == 0 || archive->walk.head.sealed) {
        ok = begin_segment(archive, now, err);
    }
    uint8_t *frame = ok ? reserve(archive, err) : NULL;
    ok = frame != NULL && push(archive, cm_segment_entry_frame(entry, frame), err);
    archive->in_doubt = !ok;
    return ok;
}

static bool is_due(const struct cm_archive *archive, cm_ms now)
{
    char begun[9];
    char today[9];
    cm_time_day(archive->walk.begun_at, begun);
    cm_time_day(now, today);
    return archive->walk.bytes >= CM_ARCHIVE_SEGMENT_BYTES || strcmp(begun, today) != 0;
}

static bool write_batch(struct cm_archive *archive, struct cm_err *err)
{
    size_t done = 0;
    while (done < archive->batch_len) {
        ssize_t n = pwrite(archive->fd, archive->batch + done, archive->batch_len - done,
                           (off_t)(archive->file_bytes + done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            break;
        }
        done += (size_t)n;
    }
    if (done < archive->batch_len || fdatasync(archive->fd) != 0) {
        cm_err_set(err, "cannot write segment %llu in %s: %s", (unsigned long long)archive->walk.segment,
                   archive->where.directory, strerror(errno));
        return false;
    }
    return true;
}

bool cm_archive_commit(struct cm_archive *archive, cm_ms now, bool seal, struct cm_err *err)
{
    uint64_t unused = 0;
    if (!is_usable(archive, err)) {
        return false;
    }
    if (archive->walk.segment == 0 || archive->walk.head.sealed) {
        return true; /* no segment is open, so nothing was added */
    }
    seal = seal || is_due(archive, now);
    if (archive->batch_len == 0 && !seal) {
        return true;
    }
    archive->in_doubt = true;
    uint8_t *frame = reserve(archive, err);
    size_t len = frame != NULL ? cm_segment_head_frame(&archive->walk, archive->where.key, now, seal, frame) : 0;
    if (len == 0) {
        cm_err_set(err, "the head of segment %llu cannot be signed", (unsigned long long)archive->walk.segment);
        return false;
    }
    bool is_new = archive->fd < 0;
    if (!push(archive, len, err) || (is_new && !open_segment(archive, archive->walk.segment, &unused, err)) ||
        !write_batch(archive, err)) {
        return false;
    }
    if (is_new && fsync(archive->directory_fd) != 0) {
        cm_err_set(err, "cannot sync %s: %s", archive->where.directory, strerror(errno));
        return false;
    }
    archive->file_bytes += archive->batch_len;
    archive->batch_len = 0;
    archive->in_doubt = false;
    return true;
}
