/* Volumes: ConfigMap, Secret, downward API, projected, emptyDir, hostPath.
 *
 * Each becomes a directory DIR/NAME of plain files; containers get bind mounts of it (or of a
 * subPath), made in their own mount namespace, so the host's mount table never changes and removing
 * the directory is the whole clean-up. Files are written under another name and renamed, so a
 * reader never sees half a file. Unlike kubelet there is no ..data link: a volume is written when
 * the pod starts. */
#include "lab/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lab/pod_env.h"

int make_directories(const char *path, struct err *reterr)
{
    AUTO_CHARS char *copy = xstrdup(path);
    for (char *p = copy + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        if (mkdir(copy, 0755) < 0 && errno != EEXIST)
            return err_set(reterr, -errno, NULL, "%s: %s", copy, strerror(errno));
        *p = '/';
    }
    if (mkdir(copy, 0755) < 0 && errno != EEXIST)
        return err_set(reterr, -errno, NULL, "%s: %s", copy, strerror(errno));
    return 0;
}

int write_file(const char *path, struct str text, unsigned mode, struct err *reterr)
{
    AUTO_CHARS char *temporary = xasprintf("%s.new", path);
    AUTO_FD int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    size_t done = 0;
    while (fd >= 0 && done < text.n) {
        ssize_t n = write(fd, text.p + done, text.n - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        done += (size_t)n;
    }
    if (fd < 0 || done < text.n || fchmod(fd, mode & 0777) < 0 || rename(temporary, path) < 0)
        return err_set(reterr, -errno, NULL, "write %s: %s", path, strerror(errno));
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    (void)remove(path);
    return 0;
}

void remove_tree(const char *path)
{
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* A path inside a volume: relative, no way up. */
static bool path_is_inside(const char *path)
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

static int put_file(const char *dir, const char *path, struct str text, int64_t mode,
                    struct err *reterr)
{
    if (!path_is_inside(path))
        return err_set(reterr, -EINVAL, NULL, "path \"%s\" leaves its volume", path);
    AUTO_CHARS char *full = xasprintf("%s/%s", dir, path);
    char *slash = strrchr(full, '/');
    *slash = 0;
    int r = make_directories(full, reterr);
    *slash = '/';
    return r < 0 ? r : write_file(full, text, (unsigned)mode, reterr);
}

static int put_key(const json_t *object, const char *kind, const char *key, const char *dir,
                   const char *path, int64_t mode, bool *ret_found, struct err *reterr)
{
    size_t n = 0;
    AUTO_CHARS char *value = config_value(object, kind, key, &n);
    *ret_found = value != NULL;
    return value ? put_file(dir, path, str_of(value, n), mode, reterr) : 0;
}

/* All keys, or those that items names. */
static int put_config(const json_t *source, const char *kind, const char *name, const char *dir,
                      int64_t mode, const struct volume_inputs *in, struct err *reterr)
{
    const json_t *object = name ? in->config(kind, name, in->user) : NULL;
    bool optional = json_at_bool(source, "optional", false), found;
    json_t *items = json_at(source, "items"), *item;
    const char *key;
    size_t i;
    int r = 0;
    if (!object)
        return optional ? 0
                        : err_set(reterr, -ENOENT, NULL, "%s \"%s\" not found",
                                  kind[0] == 'C' ? "configmap" : "secret", name ? name : "");
    json_array_foreach(items, i, item)
    {
        key = json_key_str(item, "key");
        const char *path = json_key_str(item, "path");
        if (key && path)
            r = put_key(object, kind, key, dir, path, json_at_int(item, "mode", mode), &found,
                        reterr);
        if (r == 0 && key && path && !found && !optional)
            r = err_set(reterr, -ENOENT, NULL, "%s \"%s\" references non-existent key: %s", kind,
                        name, key);
        if (r < 0)
            return r;
    }
    static const char *const parts[] = {"data", "binaryData"};
    for (size_t p = 0; p < ARRAY_LEN(parts) && !items; p++)
        json_object_foreach(json_at(object, parts[p]), key,
                            item) if ((r = put_key(object, kind, key, dir, key, mode, &found,
                                                   reterr)) < 0) return r;
    return 0;
}

static int put_downward(const json_t *source, const json_t *pod, const char *dir, int64_t mode,
                        struct err *reterr)
{
    json_t *item;
    size_t i;
    int r = 0;
    json_array_foreach(json_at(source, "items"), i, item)
    {
        const char *field = json_at_str(item, "fieldRef.fieldPath"),
                   *path = json_key_str(item, "path");
        AUTO_CHARS char *value = field ? pod_field(pod, field) : NULL;
        if (path && value)
            r = put_file(dir, path, str_from(value), json_at_int(item, "mode", mode), reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

static int put_projected(const json_t *sources, const json_t *pod, const char *dir, int64_t mode,
                         const struct volume_inputs *in, struct err *reterr)
{
    json_t *source;
    size_t i;
    int r = 0;
    json_array_foreach(sources, i, source)
    {
        const json_t *token = json_at(source, "serviceAccountToken"), *part;
        if ((part = json_at(source, "configMap")))
            r = put_config(part, "ConfigMap", json_key_str(part, "name"), dir, mode, in, reterr);
        else if ((part = json_at(source, "secret")))
            r = put_config(part, "Secret", json_key_str(part, "name"), dir, mode, in, reterr);
        else if ((part = json_at(source, "downwardAPI")))
            r = put_downward(part, pod, dir, mode, reterr);
        else if (token) {
            const char *text = in->token(json_key_str(token, "audience"), in->user),
                       *path = json_key_str(token, "path");
            if (text)
                r = put_file(dir, path ? path : "token", str_from(text), mode, reterr);
            else
                r = err_set(reterr, -ENOENT, NULL, "no service account token yet");
        }
        if (r < 0)
            return r;
    }
    return 0;
}

static int make_host_path(const json_t *host_path, char **ret, struct err *reterr)
{
    const char *path = json_key_str(host_path, "path"), *type = json_key_str(host_path, "type");
    if (str_empty(path))
        return err_set(reterr, -EINVAL, NULL, "hostPath has no path");
    if (access(path, F_OK) < 0 && !(type && strstr(type, "OrCreate")))
        return err_set(reterr, -ENOENT, NULL,
                       "hostPath %s does not exist (the lab makes nothing on the host by itself)",
                       path);
    if (access(path, F_OK) < 0) {
        int r = streq(type, "FileOrCreate") ? write_file(path, STR(""), 0644, reterr)
                                            : make_directories(path, reterr);
        if (r < 0)
            return r;
    }
    *ret = xstrdup(path);
    return 0;
}

int volume_make(const json_t *volume, const json_t *pod, const char *dir,
                const struct volume_inputs *in, char **ret_path, struct err *reterr)
{
    const char *name = json_key_str(volume, "name");
    const json_t *v;
    if (!name || !str_is_dns1123_label(str_from(name)))
        return err_set(reterr, -EINVAL, NULL, "volume without a proper name");
    if ((v = json_at(volume, "hostPath")))
        return make_host_path(v, ret_path, reterr);
    AUTO_CHARS char *path = xasprintf("%s/%s", dir, name);
    int r = make_directories(path, reterr);
    if (r < 0)
        return r;
    if (json_at(volume, "emptyDir"))
        r = chmod(path, 0777) < 0 ? -errno : 0;
    else if ((v = json_at(volume, "configMap")))
        r = put_config(v, "ConfigMap", json_key_str(v, "name"), path,
                       json_at_int(v, "defaultMode", 0644), in, reterr);
    else if ((v = json_at(volume, "secret")))
        r = put_config(v, "Secret", json_key_str(v, "secretName"), path,
                       json_at_int(v, "defaultMode", 0644), in, reterr);
    else if ((v = json_at(volume, "downwardAPI")))
        r = put_downward(v, pod, path, json_at_int(v, "defaultMode", 0644), reterr);
    else if ((v = json_at(volume, "projected")))
        r = put_projected(json_at(v, "sources"), pod, path, json_at_int(v, "defaultMode", 0644), in,
                          reterr);
    else
        r = err_set(reterr, -EOPNOTSUPP, NULL,
                    "volume \"%s\" is of a kind that the lab does not have", name);
    if (r < 0)
        return r;
    *ret_path = TAKE(path);
    return 0;
}

static const json_t *volume_find(const json_t *pod, const char *name)
{
    json_t *v;
    size_t i;
    json_array_foreach(json_at(pod, "spec.volumes"), i,
                       v) if (streq(json_key_str(v, "name"), name)) return v;
    return NULL;
}

int volume_mounts(const json_t *container, const json_t *pod, const char *dir,
                  container_mounts *ret, struct err *reterr)
{
    json_t *m;
    size_t i;
    json_array_foreach(json_at(container, "volumeMounts"), i, m)
    {
        const char *name = json_key_str(m, "name"), *target = json_key_str(m, "mountPath"),
                   *sub = json_key_str(m, "subPath");
        const json_t *volume = name ? volume_find(pod, name) : NULL;
        if (!volume || str_empty(target))
            return err_set(reterr, -EINVAL, NULL, "volumeMounts[%zu] names no volume of the pod",
                           i);
        const char *host_path = json_at_str(volume, "hostPath.path");
        AUTO_CHARS char *source = host_path ? xstrdup(host_path) : xasprintf("%s/%s", dir, name);
        if (!str_empty(sub)) {
            if (!path_is_inside(sub))
                return err_set(reterr, -EINVAL, NULL, "subPath \"%s\" leaves its volume", sub);
            char *with_sub = xasprintf("%s/%s", source, sub);
            free(source);
            source = with_sub;
            int r = access(source, F_OK) < 0 ? make_directories(source, reterr) : 0;
            if (r < 0)
                return r;
        }
        bool read_only = json_at_bool(m, "readOnly", false) || json_at(volume, "configMap") ||
                         json_at(volume, "secret") || json_at(volume, "projected") ||
                         json_at(volume, "downwardAPI");
        struct container_mount mount = {
            TAKE(source), target[0] == '/' ? xstrdup(target) : xasprintf("/%s", target), read_only};
        vec_push(ret, mount);
    }
    return 0;
}
