/* Volumes: ConfigMap, Secret, downward API, projected, emptyDir, hostPath.
 *
 * Each is a directory DIR/NAME; containers get bind mounts of it (or of a subPath), made in their
 * own mount namespace, so the host's mount table never changes and removing the directory is the
 * whole clean-up. Those whose files come from the API are written by volume_payload.c, at the start
 * and again whenever their sources change. Containers write into emptyDir and hostPath volumes, so
 * a path below one of them is only ever resolved so that it cannot leave it. */
#include "lab/node/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "lab/file_tree.h"
#include "lab/node/pod_env.h"
#include "lab/node/volume_payload.h"

static int put_key(const json_t *object, const char *kind, const char *key,
                   struct volume_payload *to, const char *path, int64_t mode, bool *ret_found,
                   struct err *reterr)
{
    size_t n = 0;
    AUTO_CHARS char *value = config_value(object, kind, key, &n);
    *ret_found = value != NULL;
    return value ? volume_payload_put(to, path, str_of(value, n), mode, reterr) : 0;
}

/* All keys, or those that items names. */
static int put_config(const json_t *source, const char *kind, const char *name,
                      struct volume_payload *to, int64_t mode, const struct volume_inputs *in,
                      struct err *reterr)
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
            r = put_key(object, kind, key, to, path, json_at_int(item, "mode", mode), &found,
                        reterr);
        if (r == 0 && key && path && !found && !optional)
            r = err_set(reterr, -ENOENT, NULL, "%s \"%s\" references non-existent key: %s", kind,
                        name, key);
        if (r < 0)
            return r;
    }
    static const char *const parts[] = {"data", "binaryData"};
    for (size_t p = 0; p < ARRAY_LEN(parts) && !items; p++)
        json_object_foreach(
            json_at(object, parts[p]), key,
            item) if ((r = put_key(object, kind, key, to, key, mode, &found, reterr)) < 0) return r;
    return 0;
}

/* Of the container that the reference names. */
static char *resource_value(const json_t *ref, const json_t *pod)
{
    static const char *const lists[] = {"spec.containers", "spec.initContainers"};
    const char *wanted = json_key_str(ref, "containerName"),
               *resource = json_key_str(ref, "resource");
    json_t *c;
    size_t i;
    for (size_t l = 0; l < ARRAY_LEN(lists) && resource; l++)
        json_array_foreach(json_at(pod, lists[l]), i, c)
        {
            if (streq(json_key_str(c, "name"), wanted))
                return container_resource(c, resource, json_key_str(ref, "divisor"));
        }
    return NULL;
}

static int put_downward(const json_t *source, const json_t *pod, struct volume_payload *to,
                        int64_t mode, struct err *reterr)
{
    json_t *item;
    size_t i;
    json_array_foreach(json_at(source, "items"), i, item)
    {
        const char *field = json_at_str(item, "fieldRef.fieldPath"),
                   *path = json_key_str(item, "path");
        const json_t *resource = json_at(item, "resourceFieldRef");
        AUTO_CHARS char *value = field      ? pod_field(pod, field)
                                 : resource ? resource_value(resource, pod)
                                            : NULL;
        if (!path || !value)
            return err_set(reterr, -EINVAL, NULL, "unsupported field \"%s\"",
                           field      ? field
                           : resource ? json_key_str(resource, "resource")
                                      : "");
        int r =
            volume_payload_put(to, path, str_from(value), json_at_int(item, "mode", mode), reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

static int put_token(const json_t *token, struct volume_payload *to, int64_t mode,
                     const struct volume_inputs *in, struct err *reterr)
{
    const char *path = json_key_str(token, "path"),
               *text = in->token(json_key_str(token, "audience"), in->user);
    if (!text)
        return err_set(reterr, -ENOENT, NULL, "no service account token yet");
    return volume_payload_put(to, path ? path : "token", str_from(text), mode, reterr);
}

static int put_projected(const json_t *sources, const json_t *pod, struct volume_payload *to,
                         int64_t mode, const struct volume_inputs *in, struct err *reterr)
{
    json_t *source;
    size_t i;
    int r = 0;
    json_array_foreach(sources, i, source)
    {
        const json_t *part;
        if ((part = json_at(source, "configMap")))
            r = put_config(part, "ConfigMap", json_key_str(part, "name"), to, mode, in, reterr);
        else if ((part = json_at(source, "secret")))
            r = put_config(part, "Secret", json_key_str(part, "name"), to, mode, in, reterr);
        else if ((part = json_at(source, "downwardAPI")))
            r = put_downward(part, pod, to, mode, reterr);
        else if ((part = json_at(source, "serviceAccountToken")))
            r = put_token(part, to, mode, in, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

/* In kubelet's words. */
static int host_path_fits(const char *path, const char *type, mode_t mode, struct err *reterr)
{
    static const struct {
        const char *type, *what;
        mode_t mode;
    } types[] = {{"Directory", "directory", S_IFDIR},
                 {"DirectoryOrCreate", "directory", S_IFDIR},
                 {"File", "file", S_IFREG},
                 {"FileOrCreate", "file", S_IFREG},
                 {"Socket", "socket", S_IFSOCK},
                 {"CharDevice", "character device", S_IFCHR},
                 {"BlockDevice", "block device", S_IFBLK}};
    for (size_t i = 0; type && i < ARRAY_LEN(types); i++)
        if (streq(type, types[i].type) && (mode & S_IFMT) != types[i].mode)
            return err_set(reterr, -EINVAL, NULL, "hostPath type check failed: %s is not a %s",
                           path, types[i].what);
    return 0;
}

static int make_host_path(const json_t *host_path, struct err *reterr)
{
    struct stat st;
    const char *path = json_key_str(host_path, "path"), *type = json_key_str(host_path, "type");
    if (str_empty(path))
        return err_set(reterr, -EINVAL, NULL, "hostPath has no path");
    if (stat(path, &st) == 0)
        return host_path_fits(path, type, st.st_mode, reterr);
    if (!(type && strstr(type, "OrCreate")))
        return err_set(reterr, -ENOENT, NULL,
                       "hostPath %s does not exist (the lab makes nothing on the host by itself)",
                       path);
    return streq(type, "FileOrCreate") ? file_replace(path, STR(""), 0644, reterr)
                                       : directory_make(path, 0755, reterr);
}

static int make_empty_dir(const char *path, int64_t gid, struct err *reterr)
{
    if ((gid && chown(path, (uid_t)-1, (gid_t)gid) < 0) || chmod(path, gid ? 02777 : 0777) < 0)
        return err_set(reterr, -errno, NULL, "%s: %s", path, strerror(errno));
    return 0;
}

bool volume_is_written(const json_t *volume)
{
    static const char *const kinds[] = {"configMap", "secret", "downwardAPI", "projected"};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (json_at(volume, kinds[i]))
            return true;
    return false;
}

static int gather(const json_t *volume, const json_t *pod, const struct volume_inputs *in,
                  struct volume_payload *to, struct err *reterr)
{
    const json_t *v;
    if ((v = json_at(volume, "configMap")))
        return put_config(v, "ConfigMap", json_key_str(v, "name"), to,
                          json_at_int(v, "defaultMode", 0644), in, reterr);
    if ((v = json_at(volume, "secret")))
        return put_config(v, "Secret", json_key_str(v, "secretName"), to,
                          json_at_int(v, "defaultMode", 0644), in, reterr);
    if ((v = json_at(volume, "downwardAPI")))
        return put_downward(v, pod, to, json_at_int(v, "defaultMode", 0644), reterr);
    v = json_at(volume, "projected");
    return put_projected(json_at(v, "sources"), pod, to, json_at_int(v, "defaultMode", 0644), in,
                         reterr);
}

int volume_make(const json_t *volume, const json_t *pod, const char *dir,
                const struct volume_inputs *in, struct err *reterr)
{
    const char *name = json_key_str(volume, "name");
    const json_t *v;
    int64_t gid = json_at_int(pod, "spec.securityContext.fsGroup", 0);
    if (!name || !str_is_dns1123_label(str_from(name)))
        return err_set(reterr, -EINVAL, NULL, "volume without a proper name");
    if ((v = json_at(volume, "hostPath")))
        return make_host_path(v, reterr);
    AUTO_CHARS char *path = xasprintf("%s/%s", dir, name);
    int r = directory_make(path, 0755, reterr);
    if (r < 0)
        return r;
    if (json_at(volume, "emptyDir"))
        return make_empty_dir(path, gid, reterr);
    if (!volume_is_written(volume))
        return err_set(reterr, -EOPNOTSUPP, NULL,
                       "volume \"%s\" is of a kind that the lab does not have", name);
    struct volume_payload files = {.gid = gid};
    r = gather(volume, pod, in, &files, reterr);
    if (r == 0)
        r = volume_payload_write(&files, path, reterr);
    volume_payload_done(&files);
    return r;
}

/* ---- mounts ---- */

/* Makes a subPath that is not there: a directory, as kubelet does. */
static int make_below(const char *dir, const char *sub, struct err *reterr)
{
    AUTO_FD int at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    AUTO_CHARS char *copy = xstrdup(sub);
    for (char *part = strtok(copy, "/"); part && at >= 0; part = strtok(NULL, "/")) {
        int next = file_open_below(at, part);
        if (next == -ENOENT && mkdirat(at, part, 0755) == 0)
            next = file_open_below(at, part);
        if (next < 0)
            return err_set(reterr, next, NULL, "subPath \"%s\": %s", sub, strerror(-next));
        close(at);
        at = next;
    }
    return at < 0 ? err_set(reterr, -errno, NULL, "%s: %s", dir, strerror(errno)) : 0;
}

static const json_t *volume_find(const json_t *pod, const char *name)
{
    json_t *v;
    size_t i;
    json_array_foreach(json_at(pod, "spec.volumes"), i,
                       v) if (streq(json_key_str(v, "name"), name)) return v;
    return NULL;
}

/* subPath, or subPathExpr with the container's variables; owned, NULL = the whole volume. */
static char *sub_path(const json_t *mount, const struct env *e)
{
    const char *sub = json_key_str(mount, "subPath"), *expr = json_key_str(mount, "subPathExpr");
    if (!str_empty(expr))
        return env_expand(e, expr);
    return str_empty(sub) ? NULL : xstrdup(sub);
}

int volume_mounts(const json_t *container, const json_t *pod, const char *dir, const struct env *e,
                  container_mounts *ret, struct err *reterr)
{
    json_t *m;
    size_t i;
    json_array_foreach(json_at(container, "volumeMounts"), i, m)
    {
        const char *name = json_key_str(m, "name"), *target = json_key_str(m, "mountPath");
        const json_t *volume = name ? volume_find(pod, name) : NULL;
        if (!volume || str_empty(target))
            return err_set(reterr, -EINVAL, NULL, "volumeMounts[%zu] names no volume of the pod",
                           i);
        const char *host_path = json_at_str(volume, "hostPath.path");
        AUTO_CHARS char *source = host_path ? xstrdup(host_path) : xasprintf("%s/%s", dir, name);
        AUTO_CHARS char *sub = sub_path(m, e);
        if (sub && !path_is_inside(sub))
            return err_set(reterr, -EINVAL, NULL, "subPath \"%s\" leaves its volume", sub);
        int r = sub ? make_below(source, sub, reterr) : 0;
        if (r < 0)
            return r;
        struct container_mount mount = {
            .source = TAKE(source),
            .below = TAKE(sub),
            .target = target[0] == '/' ? xstrdup(target) : xasprintf("/%s", target),
            .read_only = json_at_bool(m, "readOnly", false) || volume_is_written(volume)};
        vec_push(ret, mount);
    }
    return 0;
}
