/* Helm's record of a release: JSON, gzip, base64; and base64 again, since it is in a Secret. */
#include "chart/release.h"

#include <errno.h>
#include <limits.h>
#include <zlib.h>

#include "base/time.h"
#include "chart/chart.h"
#include "codec/base64.h"

enum { GZIP_WINDOW = 15 + 16 }; /* zlib's way to say gzip */

int release_unzip(struct str in, struct buf *out, struct err *reterr)
{
    z_stream z = {0};
    int r = Z_OK;
    if (in.n > UINT_MAX || inflateInit2(&z, GZIP_WINDOW) != Z_OK)
        return err_set(reterr, -ENOMEM, NULL, "no memory to unpack it");
    out->cap = RELEASE_BYTES_MAX;
    z.next_in = (Bytef *)(uintptr_t)in.p;
    z.avail_in = (uInt)in.n;
    while (r == Z_OK) {
        enum { PIECE = 64 * 1024 };
        unsigned char *room = buf_reserve(out, PIECE);
        if (!room)
            break;
        z.next_out = room;
        z.avail_out = PIECE;
        r = inflate(&z, Z_NO_FLUSH);
        out->n += PIECE - z.avail_out;
    }
    inflateEnd(&z);
    if (out->failed)
        return err_set(reterr, -E2BIG, NULL, "more than %d MiB", RELEASE_BYTES_MAX >> 20);
    return r == Z_STREAM_END ? 0 : err_set(reterr, -EINVAL, NULL, "not gzip, or cut off");
}

int release_zip(struct str in, struct buf *out)
{
    z_stream z = {0};
    if (in.n > RELEASE_BYTES_MAX || deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, 9,
                                                 Z_DEFAULT_STRATEGY) != Z_OK)
        return -ENOMEM;
    uLong bound = deflateBound(&z, in.n);
    unsigned char *room = buf_reserve(out, bound);
    z.next_in = (Bytef *)(uintptr_t)in.p;
    z.avail_in = (uInt)in.n;
    z.next_out = room;
    z.avail_out = (uInt)bound;
    int r = room ? deflate(&z, Z_FINISH) : Z_MEM_ERROR;
    if (r == Z_STREAM_END)
        out->n += z.total_out;
    deflateEnd(&z);
    return r == Z_STREAM_END ? 0 : -ENOMEM;
}

void release_done(struct release *r)
{
    free(r->status);
    free(r->manifest);
    json_decref(r->config);
    json_decref(r->record);
    *r = (struct release){0};
}

char *release_secret_name(int64_t version)
{
    return xasprintf("sh.helm.release.v1." CHART_RELEASE ".v%lld", (long long)version);
}

static int unpack(const char *data, json_t **ret, struct err *reterr)
{
    AUTO_DONE(buf) struct buf outer = {0};
    AUTO_DONE(buf) struct buf inner = {0};
    AUTO_DONE(buf) struct buf text = {0};
    if (base64_decode(str_from(data), &outer) < 0 || base64_decode(buf_str(&outer), &inner) < 0)
        return err_set(reterr, -EINVAL, NULL, "not base64");
    int r = release_unzip(buf_str(&inner), &text, reterr);
    return r < 0 ? r : json_parse(buf_str(&text), RELEASE_BYTES_MAX, NULL, ret, reterr);
}

int release_read(const json_t *secret, struct release *ret, struct err *reterr)
{
    AUTO_JSON json_t *record = NULL;
    const char *data = json_at_str(secret, "data.release");
    struct err err = {0};
    int r = data ? unpack(data, &record, &err) : -EINVAL;
    const char *name = json_at_str(secret, "metadata.name"),
               *manifest = json_key_str(record, "manifest");
    int64_t version = json_at_int(record, "version", 0);
    if (r == 0 && (version < 1 || !manifest || !json_at_str(record, "info.status")))
        r = err_set(&err, -EINVAL, NULL, "no version, status or manifest");
    if (r < 0)
        return err_set(reterr, r, NULL, "Secret %s is no record of a release: %s",
                       name ? name : "(no name)", data ? err_text(&err) : "no data.release");
    *ret = (struct release){version, xstrdup(json_at_str(record, "info.status")), xstrdup(manifest),
                            json_incref(json_object_get(record, "config")), NULL};
    if (!json_is_object(ret->config)) {
        json_decref(ret->config);
        ret->config = json_object();
    }
    ret->record = json_incref(record);
    return 0;
}

/* ---- writing ---- */

static json_t *base64_of(struct str s)
{
    AUTO_DONE(buf) struct buf b = {0};
    base64_encode(s, &b);
    return json_text(buf_str(&b));
}

/* The chart as Helm keeps it: its files, so that `helm rollback` and --reuse-values have them. */
static json_t *chart_record(void)
{
    size_t n;
    const struct chart_file *f = chart_files(&n);
    json_t *c = json_object(), *templates = json_array(), *others = json_array();
    for (size_t i = 0; i < n; i++) {
        struct str name = str_from(f[i].name);
        if (str_starts(name, STR("templates/")))
            json_array_append_new(
                templates, json_pack("{s:s,s:o}", "name", f[i].name, "data", base64_of(f[i].text)));
        else if (str_starts(name, STR("files/")))
            json_array_append_new(
                others, json_pack("{s:s,s:o}", "name", f[i].name, "data", base64_of(f[i].text)));
    }
    json_object_set_new(c, "metadata", chart_metadata());
    json_object_set_new(c, "lock", json_null());
    json_object_set_new(c, "templates", templates);
    json_object_set_new(c, "values", chart_values());
    json_object_set_new(c, "schema", base64_of(chart_file_text("values.schema.json")));
    json_object_set_new(c, "files", others);
    return c;
}

json_t *release_record(int64_t version, const char *first_deployed, json_t *config,
                       struct str manifest, struct str notes)
{
    char now[21];
    time_format_rfc3339(time_real_s(), now);
    return json_pack("{s:s,s:{s:s,s:s,s:s,s:s,s:s,s:o},s:o,s:o,s:o,s:I,s:s}", "name", CHART_RELEASE,
                     "info", "first_deployed", first_deployed ? first_deployed : now,
                     "last_deployed", now, "deleted", "", "description", "", "status", "unknown",
                     "notes", json_text(notes), "chart", chart_record(), "config", config,
                     "manifest", json_text(manifest), "version", (json_int_t)version, "namespace",
                     CHART_NAMESPACE);
}

void release_set_status(json_t *record, const char *status, const char *description)
{
    json_put_str(record, "info.status", status);
    json_put_str(record, "info.description", description);
}

json_t *release_secret(const json_t *record, struct err *reterr)
{
    AUTO_DONE(buf) struct buf text = {0};
    AUTO_DONE(buf) struct buf zipped = {0};
    AUTO_DONE(buf) struct buf inner = {0};
    AUTO_CHARS char *name = release_secret_name(json_at_int(record, "version", 1));
    AUTO_CHARS char *version = xasprintf("%lld", (long long)json_at_int(record, "version", 1));
    AUTO_CHARS char *now = xasprintf("%lld", (long long)time_real_s());
    json_write(&text, record);
    if (text.failed || release_zip(buf_str(&text), &zipped) < 0) {
        err_set(reterr, -ENOMEM, NULL, "the record of the release cannot be packed");
        return NULL;
    }
    base64_encode(buf_str(&zipped), &inner);
    return json_pack("{s:s,s:s,s:{s:s,s:s,s:{s:s,s:s,s:s,s:s,s:s}},s:s,s:{s:o}}", "apiVersion",
                     "v1", "kind", "Secret", "metadata", "name", name, "namespace", CHART_NAMESPACE,
                     "labels", "name", CHART_RELEASE, "owner", "helm", "status",
                     json_at_str(record, "info.status"), "version", version, "modifiedAt", now,
                     "type", "helm.sh/release.v1", "data", "release", base64_of(buf_str(&inner)));
}
