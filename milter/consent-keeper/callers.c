#include "callers.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define GROUPS_MAX 1024 /* of one user; more are not looked at */

/* The peer, and all groups that it or its user is in. */
struct peer {
    uid_t uid;
    gid_t groups[GROUPS_MAX + 1];
    int group_count;
};

/* A name of the database, or digits. */
static bool is_uid(const char *text, uid_t uid)
{
    uint64_t number = 0;
    const struct passwd *user = getpwnam(text);
    if (user != NULL) {
        return user->pw_uid == uid;
    }
    return cm_parse_u64(cm_span_of(text), UINT32_MAX, &number) && number == uid;
}

static bool is_in_group(const char *text, const struct peer *peer)
{
    uint64_t number = UINT64_MAX;
    const struct group *group = getgrnam(text);
    if (group != NULL) {
        number = group->gr_gid;
    } else if (!cm_parse_u64(cm_span_of(text), UINT32_MAX, &number)) {
        return false;
    }
    for (int i = 0; i < peer->group_count; i++) {
        if (peer->groups[i] == number) {
            return true;
        }
    }
    return false;
}

static enum cm_rank rank_of(const struct cm_keeper_settings *settings, const struct peer *peer)
{
    if (settings->caller_count == 0) {
        return peer->uid == 0 ? CM_RANK_ADMIN : CM_RANK_UNSET;
    }
    for (size_t i = 0; i < settings->caller_count; i++) {
        const struct cm_caller_settings *row = &settings->callers[i];
        if (row->user != NULL ? is_uid(row->user, peer->uid) : is_in_group(row->group, peer)) {
            return row->rank;
        }
    }
    return CM_RANK_UNSET;
}

bool cm_caller_of(int fd, const struct cm_keeper_settings *settings, struct cm_caller *out)
{
    struct ucred credentials;
    socklen_t len = sizeof(credentials);
    struct peer peer = {.group_count = 0};
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &len) != 0 || len != sizeof(credentials)) {
        return false;
    }
    peer.uid = credentials.uid;
    (void)snprintf(out->name, sizeof(out->name), "%u", (unsigned)peer.uid); /* ten digits fit */
    const struct passwd *user = getpwuid(peer.uid);
    if (user != NULL) {
        (void)cm_copy(out->name, sizeof(out->name), cm_span_of(user->pw_name)); /* only shown: a long one is cut */
        peer.group_count = GROUPS_MAX;
        if (getgrouplist(user->pw_name, user->pw_gid, peer.groups, &peer.group_count) < 0) {
            peer.group_count = GROUPS_MAX; /* filled as far as it goes */
        }
    }
    peer.groups[peer.group_count++] = credentials.gid;
    out->rank = rank_of(settings, &peer);
    return true;
}
