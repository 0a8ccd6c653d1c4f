/* What is said of resources: to the log, and to who sent them. */
#include "base/log.h"
#include "proxy/store_priv.h"

enum { TOLD_MAX = 1024 }; /* findings; the rest is silent */

/* A field by its name, whatever the index: routes[].tracing of routes[3].tracing. */
static void add_field(struct buf *b, const char *path)
{
    for (bool index = false; *path; path++) {
        index = index && *path != ']';
        if (!index)
            buf_add_char(b, *path);
        index = index || (*path == '[' && path[1] >= '0' && path[1] <= '9');
    }
}

/* What has no effect here is told once, not with each update: of a field, whichever resource has
 * it. */
void store_tell(struct store *s, enum xds_resource type, struct str name,
                const struct xds_report *r)
{
    VEC_FOREACH (f, &r->findings) {
        AUTO_DONE(buf) struct buf key = {0};
        if (f->state != XDS_WARN || s->told.used >= TOLD_MAX)
            continue;
        buf_addf(&key, "%s ", xds_resource_type(type)->word);
        add_field(&key, f->path);
        buf_addf(&key, " %s", f->text);
        if (map_put(&s->told, buf_str(&key), s))
            continue;
        log_warn("of a resource not everything is in force",
                 kv_s("type", xds_resource_type(type)->word), kv_str("name", name),
                 kv_s("field", f->path), kv_s("finding", f->text));
    }
}

/* Envoy's words. */
void store_refuse(enum xds_resource type, const struct xds_item *item, const struct err *e,
                  struct buf *refused)
{
    const char *intro = type == XDS_CLUSTER    ? "Error adding/updating cluster(s) "
                        : type == XDS_LISTENER ? "Error adding/updating listener(s) "
                                               : "";
    buf_addf(refused, "%s" STR_FMT ": %s", refused->n ? ", " : intro, STR_ARG(item->name),
             err_text(e));
}
