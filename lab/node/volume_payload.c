/* Atomic volumes, in the layout kubelet has and programs watch for:
 *
 *     DIR/..2026_01_02_03_04_05.HASH/   the files of one state, never changed
 *     DIR/..data -> ..2026_…            renamed over: the one step that changes everything
 *     DIR/key    -> ..data/key          what users open, one link per first path component
 *
 * The hash of names, modes and contents is in the directory's name, so "nothing changed" is told
 * from the link alone, without memory of our own. */
#include "lab/node/volume_payload.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/files.h"
#include "base/hash.h"
#include "base/time.h"
#include "lab/file_tree.h"

#define DATA_LINK "..data"

void volume_payload_done(struct volume_payload *p)
{
    VEC_FOREACH (f, &p->files) {
        free(f->path);
        free(f->bytes);
    }
    vec_done(&p->files);
}

bool path_is_inside(const char *path)
{
    if (str_empty(path) || path[0] == '/')
        return false;
    for (struct str rest = str_from(path), part; rest.p;) {
        part = str_cut(rest, '/', &rest);
        if (str_is(part, ".."))
            return false;
    }
    return true;
}

int volume_payload_put(struct volume_payload *p, const char *path, struct str bytes, int64_t mode,
                       struct err *reterr)
{
    struct payload_file *f = NULL;
    if (!path_is_inside(path) || strncmp(path, "..", 2) == 0)
        return err_set(reterr, -EINVAL, NULL, "path \"%s\" leaves its volume", path);
    char *copy = try_malloc(bytes.n + 1);
    if (!copy)
        return err_set(reterr, -ENOMEM, NULL, "%zu bytes for %s", bytes.n, path);
    memcpy(copy, bytes.p ? bytes.p : "", bytes.n);
    VEC_FOREACH (have, &p->files)
        if (streq(have->path, path))
            f = have;
    if (!f) {
        f = vec_add(&p->files);
        f->path = xstrdup(path);
    }
    free(f->bytes);
    f->bytes = copy;
    f->n = bytes.n;
    f->mode = (mode_t)(mode & 0777);
    return 0;
}

/* The order of the sources may change; the same files give the same hash. */
static uint64_t payload_hash(const struct volume_payload *p)
{
    uint64_t sum = (uint64_t)p->gid;
    VEC_FOREACH (f, &p->files) {
        uint64_t h = hash_bytes_seed(f->path, strlen(f->path), 1 + f->mode);
        sum += hash_bytes_seed(f->bytes, f->n, h);
    }
    return sum;
}

static int write_state(const struct volume_payload *p, const char *state_dir, struct err *reterr)
{
    int r = directory_make(state_dir, 0755, reterr);
    for (size_t i = 0; i < p->files.n && r == 0; i++) {
        const struct payload_file *f = &p->files.v[i];
        AUTO_CHARS char *full = xasprintf("%s/%s", state_dir, f->path);
        char *slash = strrchr(full, '/');
        mode_t mode = p->gid ? f->mode | ((f->mode & 0700) >> 3 & 0050) : f->mode;
        *slash = 0;
        r = directory_make(full, 0755, reterr);
        *slash = '/';
        if (r == 0)
            r = file_replace(full, str_of(f->bytes, f->n), mode, reterr);
        if (r == 0 && p->gid && chown(full, (uid_t)-1, (gid_t)p->gid) < 0)
            r = err_set(reterr, -errno, NULL, "chown %s: %s", full, strerror(errno));
    }
    return r;
}

static int link_replace(const char *dir, const char *name, const char *target, struct err *reterr)
{
    AUTO_CHARS char *path = xasprintf("%s/%s", dir, name);
    AUTO_CHARS char *fresh = xasprintf("%s/..new_link", dir);
    (void)unlink(fresh);
    if (symlink(target, fresh) < 0 || rename(fresh, path) < 0)
        return err_set(reterr, -errno, NULL, "link %s: %s", path, strerror(errno));
    return 0;
}

static struct str first_component(const char *path)
{
    struct str rest;
    return str_cut(str_from(path), '/', &rest);
}

static bool payload_shows(const struct volume_payload *p, const char *name)
{
    VEC_FOREACH (f, &p->files)
        if (str_is(first_component(f->path), name))
            return true;
    return false;
}

/* One link per first component; those of files that have gone, go. */
static int update_links(const struct volume_payload *p, const char *dir, struct err *reterr)
{
    int r = 0;
    VEC_FOREACH (f, &p->files) {
        AUTO_CHARS char *name = str_dup(first_component(f->path));
        AUTO_CHARS char *target = xasprintf(DATA_LINK "/%s", name);
        AUTO_CHARS char *path = xasprintf("%s/%s", dir, name);
        if (access(path, F_OK) < 0 && (r = link_replace(dir, name, target, reterr)) < 0)
            return r;
    }
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        AUTO_CHARS char *path = xasprintf("%s/%s", dir, e->d_name);
        if (e->d_name[0] == '.' && (e->d_name[1] == '.' || !e->d_name[1]))
            continue;
        if (!payload_shows(p, e->d_name))
            (void)unlink(path);
    }
    if (d)
        closedir(d);
    return 0;
}

int volume_payload_write(const struct volume_payload *p, const char *dir, struct err *reterr)
{
    char old[300] = "", name[80], hash[20];
    time_t now = (time_t)time_real_s();
    struct tm tm;
    AUTO_CHARS char *link = xasprintf("%s/" DATA_LINK, dir);
    ssize_t n = readlink(link, old, sizeof(old) - 1);
    snprintf(hash, sizeof(hash), ".%016llx", (unsigned long long)payload_hash(p));
    if (n > 0 && str_ends(str_from(old), str_from(hash)))
        return 0;
    (void)gmtime_r(&now, &tm);
    (void)strftime(name, sizeof(name) - sizeof(hash), "..%Y_%m_%d_%H_%M_%S", &tm);
    strcat(name, hash);
    AUTO_CHARS char *state_dir = xasprintf("%s/%s", dir, name);
    int r = write_state(p, state_dir, reterr);
    if (r == 0)
        r = link_replace(dir, DATA_LINK, name, reterr);
    if (r == 0)
        r = update_links(p, dir, reterr);
    if (r == 0 && n > 0) {
        AUTO_CHARS char *gone = xasprintf("%s/%s", dir, old);
        IGNORE_RESULT(tree_remove(gone, NULL)); /* in the way of nobody; goes with the pod */
    }
    return r;
}
