/* Reading manifests. Everything is read and looked at before anything is done with it, so that a
 * mistake in the last document leaves nothing half-applied. */
#include "kube/manifest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "codec/yaml.h"

static int check_object(const json_t *o, size_t index, struct err *reterr)
{
    static const char *const needed[] = {"apiVersion", "kind"};
    const char *kind = json_is_object(o) ? json_key_str(o, "kind") : NULL;
    if (!json_is_object(o))
        return err_set(reterr, -EINVAL, NULL, "document %zu is not an object", index);
    for (size_t i = 0; i < ARRAY_LEN(needed); i++)
        if (str_empty(json_key_str(o, needed[i])))
            return err_set(reterr, -EINVAL, NULL, "document %zu%s%s%s: %s is missing or not text",
                           index, kind ? " (" : "", kind ? kind : "", kind ? ")" : "", needed[i]);
    if (str_empty(json_at_str(o, "metadata.name")) &&
        str_empty(json_at_str(o, "metadata.generateName")))
        return err_set(reterr, -EINVAL, NULL,
                       "document %zu (%s): metadata.name is missing or not text", index, kind);
    return 0;
}

static int add_object(json_t *o, size_t index, json_t *into, struct err *reterr)
{
    const char *kind = json_is_object(o) ? json_key_str(o, "kind") : NULL;
    json_t *items = json_is_object(o) ? json_object_get(o, "items") : NULL, *item;
    size_t i;
    int r = 0;
    if (!kind || !str_ends(str_from(kind), STR("List")) || !json_is_array(items)) {
        r = check_object(o, index, reterr);
        if (r == 0)
            json_array_append(into, o);
        return r;
    }
    json_array_foreach(items, i, item) r = r < 0 ? r : add_object(item, index, into, reterr);
    return r;
}

int manifest_parse(struct str text, const char *origin, json_t *into, struct err *reterr)
{
    AUTO_JSON json_t *documents = NULL;
    json_t *o;
    size_t i;
    int r = yaml_parse_all(text, &documents, reterr);
    json_array_foreach(documents, i, o) r = r < 0 ? r : add_object(o, i + 1, into, reterr);
    if (r < 0 && origin)
        err_prefix(reterr, NULL, origin);
    return r;
}

static int read_one(const char *path, manifest_file_fn *fn, void *user, struct err *reterr)
{
    AUTO_DONE(buf) struct buf b = {.cap = MANIFEST_BYTES_MAX};
    bool in = streq(path, "-");
    char piece[8192];
    size_t n;
    FILE *f = in ? stdin : fopen(path, "re");
    if (!f)
        return err_set(reterr, -errno, NULL, "%s: %s", path, strerror(errno));
    while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
        buf_add(&b, piece, n);
    int failed = ferror(f) ? errno : 0;
    if (!in)
        fclose(f);
    if (failed)
        return err_set(reterr, -failed, NULL, "%s: %s", path, strerror(failed));
    if (b.failed)
        return err_set(reterr, -E2BIG, NULL, "%s: larger than %d MiB", path,
                       MANIFEST_BYTES_MAX >> 20);
    return fn(in ? "standard input" : path, buf_str(&b), user, reterr);
}

static int is_manifest(const struct dirent *e)
{
    struct str name = str_from(e->d_name);
    return str_ends(name, STR(".yaml")) || str_ends(name, STR(".yml")) ||
           str_ends(name, STR(".json"));
}

static int is_not_hidden(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

static bool is_directory(const char *path, int flags)
{
    struct stat st;
    return fstatat(AT_FDCWD, path, &st, flags) == 0 && S_ISDIR(st.st_mode);
}

/* How many files were read, or negative. */
static int read_directory(const char *path, bool recursive, manifest_file_fn *fn, void *user,
                          struct err *reterr)
{
    struct dirent **entries;
    int n = scandir(path, &entries, recursive ? is_not_hidden : is_manifest, alphasort),
        r = n < 0 ? err_set(reterr, -errno, NULL, "%s: %s", path, strerror(errno)) : 0, files = 0;
    for (int i = 0; i < n; i++) {
        AUTO_CHARS char *file = xasprintf("%s/%s", path, entries[i]->d_name);
        bool below = recursive && is_directory(file, AT_SYMLINK_NOFOLLOW); /* no circles */
        if (r >= 0 && below)
            files += r = read_directory(file, true, fn, user, reterr);
        else if (r >= 0 && is_manifest(entries[i]))
            files += (r = read_one(file, fn, user, reterr)) == 0;
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
    return r < 0 ? r : files;
}

int manifest_for_files(const char *path, bool recursive, manifest_file_fn *fn, void *user,
                       struct err *reterr)
{
    if (streq(path, "-") || !is_directory(path, 0))
        return read_one(path, fn, user, reterr);
    int n = read_directory(path, recursive, fn, user, reterr);
    return n ? MIN(n, 0)
             : err_set(reterr, -ENOENT, NULL, "%s: no .yaml, .yml or .json file in this directory",
                       path);
}

static int parse_one(const char *file, struct str text, void *into, struct err *reterr)
{
    return manifest_parse(text, file, into, reterr);
}

int manifest_read(const char *path, json_t *into, struct err *reterr)
{
    return manifest_for_files(path, false, parse_one, into, reterr);
}
