/* Reading manifests. Everything is read and looked at before anything is done with it, so that a
 * mistake in the last document leaves nothing half-applied. */
#include "kube/manifest.h"

#include <dirent.h>
#include <errno.h>
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

static int read_one(const char *path, json_t *into, struct err *reterr)
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
    return manifest_parse(buf_str(&b), in ? "standard input" : path, into, reterr);
}

static int is_manifest(const struct dirent *e)
{
    struct str name = str_from(e->d_name);
    return str_ends(name, STR(".yaml")) || str_ends(name, STR(".yml")) ||
           str_ends(name, STR(".json"));
}

int manifest_read(const char *path, json_t *into, struct err *reterr)
{
    struct stat st;
    struct dirent **entries;
    if (streq(path, "-") || stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
        return read_one(path, into, reterr);
    int n = scandir(path, &entries, is_manifest, alphasort),
        r = n < 0 ? err_set(reterr, -errno, NULL, "%s: %s", path, strerror(errno)) : 0;
    if (n == 0)
        r = err_set(reterr, -ENOENT, NULL, "%s: no .yaml, .yml or .json file in this directory",
                    path);
    for (int i = 0; i < n; i++) {
        AUTO_CHARS char *file = xasprintf("%s/%s", path, entries[i]->d_name);
        r = r < 0 ? r : read_one(file, into, reterr);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
    return r;
}
