#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "directory.h"

#define SECTOR_BYTES 512 /* the least that a disk writes at once */

void cm_journal_window_over(struct cm_journal_window *window, int fd)
{
    window->fd = fd;
    window->at = 0;
    window->len = 0;
}

/* Up to `want` bytes from `at` on; fewer only where the file ends. */
static bool look(struct cm_journal_window *window, uint64_t at, size_t want, struct cm_span *out)
{
    if (at < window->at || at + want > window->at + window->len) {
        window->at = at;
        window->len = 0;
        while (window->len < want) {
            ssize_t n = pread(window->fd, window->bytes + window->len, sizeof(window->bytes) - window->len,
                              (off_t)(at + window->len));
            if (n < 0 && errno == EINTR) {
                continue;
            }
            if (n < 0) {
                return false;
            }
            if (n == 0) {
                break;
            }
            window->len += (size_t)n;
        }
    }
    size_t from = (size_t)(at - window->at);
    size_t have = window->len - from;
    *out = (struct cm_span){(const char *)window->bytes + from, have < want ? have : want};
    return true;
}

enum cm_journal_step cm_journal_file_step(struct cm_journal_window *window, const uint8_t key[CM_SIPHASH_KEY_BYTES],
                                          uint64_t at, struct cm_journal_head *out_head, struct cm_span *out_content)
{
    struct cm_span s;
    struct cm_journal_head head;
    if (!look(window, at, CM_JOURNAL_HEAD_BYTES, &s)) {
        return CM_JOURNAL_STEP_FAILED;
    }
    if (s.len == 0) {
        return CM_JOURNAL_STEP_END;
    }
    if (s.len < CM_JOURNAL_HEAD_BYTES || !cm_journal_head_get((const uint8_t *)s.p, key, &head)) {
        return CM_JOURNAL_STEP_BAD;
    }
    if (!look(window, at, head.bytes, &s)) {
        return CM_JOURNAL_STEP_FAILED;
    }
    if (s.len < head.bytes || !cm_journal_record_is_sound((const uint8_t *)s.p, head.bytes, key)) {
        return CM_JOURNAL_STEP_BAD;
    }
    *out_head = head;
    *out_content = (struct cm_span){s.p + CM_JOURNAL_HEAD_BYTES, head.bytes - CM_JOURNAL_AROUND_BYTES};
    return CM_JOURNAL_STEP_RECORD;
}

/* Whether some sector, as far as it lies in these bytes, was never written. */
static bool has_hole(struct cm_span s, uint64_t at)
{
    for (size_t from = 0; from < s.len;) {
        size_t to = from + SECTOR_BYTES - (size_t)((at + from) % SECTOR_BYTES);
        bool is_zero = true;
        for (; from < to && from < s.len; from++) {
            is_zero = is_zero && s.p[from] == '\0';
        }
        if (is_zero) {
            return true;
        }
    }
    return false;
}

enum answer { ANSWER_UNKNOWN = 0, ANSWER_YES, ANSWER_NO };

/*
 * Whether the bytes at `at`, which are no sound record, are what a crash in the middle of an append leaves: the file
 * ends too early, or sectors never reached the disk. Anything else, a flipped bit above all, may have befallen a record
 * that somebody was answered for, and nothing of that kind is ever cut. LAW-11
 */
static enum answer is_torn(struct cm_journal_window *window, const struct cm_journal_file *file, uint64_t at)
{
    struct cm_journal_head head;
    struct cm_span s;
    size_t bytes = CM_JOURNAL_HEAD_BYTES;
    if (!look(window, at, bytes, &s)) {
        return ANSWER_UNKNOWN;
    }
    if (s.len == bytes && cm_journal_head_get((const uint8_t *)s.p, file->key, &head)) {
        bytes = head.bytes;
    }
    size_t to_sector = (SECTOR_BYTES - (size_t)((at + bytes) % SECTOR_BYTES)) % SECTOR_BYTES;
    if (!look(window, at, bytes + to_sector, &s)) {
        return ANSWER_UNKNOWN;
    }
    if (s.len < bytes) {
        return ANSWER_YES;
    }
    return has_hole(s, at) ? ANSWER_YES : ANSWER_NO;
}

/*
 * Whether a record behind `at` shows that the one missing there, `number`, was durable once. A record of the same
 * commit does not: sectors reach the disk in any order, and the sync that they were waiting for never ended. A record
 * of a later commit does, for that was begun only after the sync. LAW-11
 */
static enum answer was_committed(struct cm_journal_window *window, const struct cm_journal_file *file, uint64_t at,
                                 uint64_t number)
{
    for (at++;; at++) {
        struct cm_journal_head head;
        struct cm_span content;
        enum cm_journal_step step = cm_journal_file_step(window, file->key, at, &head, &content);
        if (step == CM_JOURNAL_STEP_FAILED) {
            return ANSWER_UNKNOWN;
        }
        if (step == CM_JOURNAL_STEP_END) {
            return ANSWER_NO;
        }
        if (step == CM_JOURNAL_STEP_RECORD && (head.number <= number || head.commit > number)) {
            return ANSWER_YES;
        }
    }
}

static enum cm_journal_status damaged(const struct cm_journal_file *file, uint64_t at, const char *what,
                                      struct cm_err *err)
{
    char name[CM_JOURNAL_NAME_BYTES];
    cm_journal_name(file->first, name);
    cm_err_set(err, "%s: damaged at byte %llu: %s", name, (unsigned long long)at, what);
    return CM_JOURNAL_DAMAGED;
}

static enum cm_journal_status failed(const struct cm_journal_file *file, const char *doing, struct cm_err *err)
{
    int why = errno;
    char name[CM_JOURNAL_NAME_BYTES];
    cm_journal_name(file->first, name);
    cm_err_set(err, "%s: cannot be %s: %s", name, doing, strerror(why));
    return CM_JOURNAL_FAILED;
}

/* A bad end of the last file: OK if it may be cut. */
static enum cm_journal_status check_end(struct cm_journal_window *window, const struct cm_journal_file *file,
                                        struct cm_err *err)
{
    enum answer torn = is_torn(window, file, file->bytes);
    if (torn == ANSWER_NO) {
        return damaged(file, file->bytes, "a record that was changed after it was written", err);
    }
    enum answer committed = torn == ANSWER_YES ? was_committed(window, file, file->bytes, file->last + 1) : torn;
    if (committed == ANSWER_YES) {
        return damaged(file, file->bytes, "a record is missing before later ones", err);
    }
    return committed == ANSWER_NO ? CM_JOURNAL_OK : failed(file, "read", err);
}

/* Takes a sound record into the sum of the file; false if it cannot stand in this place. */
static bool take(struct cm_journal_file *file, const struct cm_journal_head *head, uint64_t *commit)
{
    if (head->number != file->last + 1 || (head->commit != head->number && head->commit != *commit)) {
        return false;
    }
    if (head->commit == head->number) {
        *commit = head->commit;
        file->commit_at = file->bytes;
    }
    file->last = head->number;
    file->bytes += head->bytes;
    file->newest_s = head->at_s > file->newest_s ? head->at_s : file->newest_s;
    return true;
}

static enum cm_journal_status check_records(struct cm_journal_window *window, bool is_last,
                                            struct cm_journal_file *file, struct cm_err *err)
{
    uint64_t commit = 0;
    for (;;) {
        struct cm_journal_head head;
        struct cm_span content;
        switch (cm_journal_file_step(window, file->key, file->bytes, &head, &content)) {
        case CM_JOURNAL_STEP_RECORD:
            if (!take(file, &head, &commit)) {
                return damaged(file, file->bytes, "a record out of its place", err);
            }
            break;
        case CM_JOURNAL_STEP_END: return CM_JOURNAL_OK;
        case CM_JOURNAL_STEP_BAD:
            return is_last ? check_end(window, file, err) : damaged(file, file->bytes, "not a sound record", err);
        case CM_JOURNAL_STEP_UNSET:
        case CM_JOURNAL_STEP_FAILED: return failed(file, "read", err);
        }
    }
}

enum cm_journal_status cm_journal_file_check(struct cm_journal_window *window, uint64_t first, bool is_last,
                                             struct cm_journal_file *out, uint64_t *out_cut, struct cm_err *err)
{
    struct cm_journal_file file = {.first = first, .last = first - 1, .newest_s = INT64_MIN};
    struct stat about;
    struct cm_span s;
    uint64_t named = 0;
    if (fstat(window->fd, &about) != 0 || !look(window, 0, CM_JOURNAL_HEADER_BYTES, &s)) {
        return failed(&file, "read", err);
    }
    if (!S_ISREG(about.st_mode)) {
        return damaged(&file, 0, "not a regular file", err);
    }
    if (s.len < CM_JOURNAL_HEADER_BYTES || !cm_journal_header_get((const uint8_t *)s.p, &named, file.key)) {
        /* Records are written only after the header was synced: a file that holds no more than a torn one is new. */
        bool is_new = (uint64_t)about.st_size <= CM_JOURNAL_HEADER_BYTES &&
                      (s.len < CM_JOURNAL_HEADER_BYTES || has_hole(s, 0));
        if (!is_last || !is_new) {
            return damaged(&file, 0, "not a header of this version", err);
        }
    } else if (named != first) {
        return damaged(&file, 0, "the number in the header is not that of the name", err);
    } else {
        file.bytes = CM_JOURNAL_HEADER_BYTES;
        enum cm_journal_status status = check_records(window, is_last, &file, err);
        if (status != CM_JOURNAL_OK) {
            return status;
        }
    }
    *out = file;
    *out_cut = (uint64_t)about.st_size - file.bytes;
    return CM_JOURNAL_OK;
}

bool cm_journal_file_write(int fd, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            errno = n == 0 ? EIO : errno;
            return false;
        }
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

/* A new key and the header. */
static bool write_header(int fd, struct cm_journal_file *file)
{
    uint8_t header[CM_JOURNAL_HEADER_BYTES];
    if (getrandom(file->key, sizeof(file->key), 0) != (ssize_t)sizeof(file->key)) {
        return false;
    }
    cm_journal_header_put(header, file->first, file->key);
    file->bytes = sizeof(header);
    return cm_journal_file_write(fd, header, sizeof(header));
}

bool cm_journal_file_create(int directory, uint64_t first, struct cm_journal_file *out, int *out_fd, struct cm_err *err)
{
    struct cm_journal_file file = {.first = first, .last = first - 1, .newest_s = INT64_MIN};
    char name[CM_JOURNAL_NAME_BYTES];
    cm_journal_name(first, name);
    int fd = openat(directory, name, O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || !write_header(fd, &file) || fsync(fd) != 0 || fsync(directory) != 0) {
        (void)failed(&file, "begun", err); /* the answer is false */
        if (fd >= 0) {
            (void)close(fd); /* nothing is lost with it: it holds no record */
        }
        return false;
    }
    *out = file;
    *out_fd = fd;
    return true;
}

/*
 * Writes the last commit again, or the header if there is none. What was read may be in memory only, in pages that the
 * kernel calls clean since a sync of them failed, and then no later sync would write them. The commits before are
 * durable: each was synced before the next was begun. The same bytes in the same place can do no harm, however often
 * it is interrupted. LAW-11
 */
static bool rewrite(struct cm_journal_window *window, const struct cm_journal_file *file)
{
    struct cm_span s;
    if (lseek(window->fd, (off_t)file->commit_at, SEEK_SET) < 0) {
        return false;
    }
    for (uint64_t at = file->commit_at; at < file->bytes; at += s.len) {
        uint64_t left = file->bytes - at;
        size_t want = left < CM_JOURNAL_WINDOW_BYTES ? (size_t)left : CM_JOURNAL_WINDOW_BYTES;
        if (!look(window, at, want, &s)) {
            return false;
        }
        if (s.len == 0) {
            errno = EIO; /* it became shorter since it was checked */
            return false;
        }
        if (!cm_journal_file_write(window->fd, (const uint8_t *)s.p, s.len)) {
            return false;
        }
    }
    return true;
}

bool cm_journal_file_repair(struct cm_journal_window *window, int directory, struct cm_journal_file *file,
                            struct cm_err *err)
{
    int fd = window->fd;
    bool ok = ftruncate(fd, (off_t)file->bytes) == 0;
    if (ok && file->bytes == 0) {
        ok = write_header(fd, file);
    } else if (ok) {
        ok = rewrite(window, file);
    }
    if (!ok || fsync(fd) != 0 || fsync(directory) != 0 || fcntl(fd, F_SETFL, O_APPEND) != 0) {
        (void)failed(file, "repaired", err); /* the answer is false */
        return false;
    }
    return true;
}
