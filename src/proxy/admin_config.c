/* /config_dump. */
#include <malloc.h>

#include "codec/url.h"
#include "proxy/admin_priv.h"
#include "proxy/config_dump.h"

static bool next_piece(void *dump, size_t bytes, struct buf *to)
{
    return config_dump_next(dump, bytes, to);
}

static void dump_free(void *dump)
{
    config_dump_free(dump);
    malloc_trim(0); /* the messages of a whole bootstrap are large, and seldom wanted */
}

/* What is asked for; false: it is refused, and *ret holds nothing. */
static bool read_options(struct admin_page *p, struct config_dump_options *ret)
{
    char *mask = url_param(p->query, "mask"), *names = url_param(p->query, "name_regex");
    char *eds = url_param(p->query, "include_eds");
    struct err err = {0};
    *ret = (struct config_dump_options){.resource = url_param(p->query, "resource"),
                                        .with_endpoints = eds != NULL};
    bool good = false;
    if (mask)
        admin_refuse(p, 400, "mask is not implemented: ask for one list by resource");
    else if (ret->resource && !config_dump_has(ret->resource))
        admin_refuse(p, 404, "%s not found in config dump", ret->resource);
    else if (names && regex_new(str_from(names), &ret->names, &err) < 0)
        admin_refuse(p, 400, "Error while parsing name_regex: %s", err_text(&err));
    else
        good = true;
    free(mask);
    free(names);
    free(eds);
    if (!good)
        free(TAKE(ret->resource));
    return good;
}

void admin_config_dump(struct admin *a, struct admin_page *p)
{
    static const struct admin_source source = {next_piece, dump_free};
    struct config_dump_options o;
    if (!read_options(p, &o))
        return;
    struct config_dump *d = a->ops->dump(&o, a->user);
    if (d)
        admin_stream(a, p, &source, d);
    else
        admin_refuse(p, 500, "no memory for the bootstrap");
}
