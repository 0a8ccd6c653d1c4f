/* What the targets of a conversion write with: objects, names, what gets lost. */
#include <ctype.h>

#include "base/hash.h"
#include "model/convert_priv.h"
#include "model/ingress_annotations.h"

void convert_lost(const struct conversion *c, const char *object, const char *field,
                  const char *fmt, ...)
{
    AUTO_DONE(buf) struct buf b = {0};
    va_list ap;
    va_start(ap, fmt);
    buf_addv(&b, fmt, ap);
    va_end(ap);
    finding_add(c->lost, FINDING_WARNING, "LostInConversion", object, field, NULL, "%s",
                buf_cstr(&b));
}

/* ---- names ---- */

char *convert_host_word(const char *host)
{
    AUTO_DONE(buf) struct buf b = {0};
    if (*host == '*')
        buf_add_cstr(&b, "wild");
    for (const char *p = host + (*host == '*'); *p; p++)
        buf_add_char(&b, *p == '.' ? '-' : (char)tolower((unsigned char)*p));
    return buf_take_cstr(&b);
}

char *convert_short_name(char *name, size_t max)
{
    size_t n = strlen(name);
    if (n <= max)
        return name;
    char *made =
        xasprintf("%.*s-%08x", (int)(max - 9), name, (unsigned)hash_bytes_seed(name, n, 0));
    free(name);
    return made;
}

char *convert_captures(const char *text)
{
    AUTO_DONE(buf) struct buf b = {0};
    for (const char *p = text; *p; p++)
        if (*p == '$' && p[1] >= '1' && p[1] <= '9')
            buf_add_char(&b, '\\');
        else if (*p == '\\')
            buf_add_cstr(&b, "\\\\");
        else
            buf_add_char(&b, *p);
    return buf_take_cstr(&b);
}

json_t *convert_words(const char *list)
{
    json_t *to = json_array();
    struct str rest = str_from(list);
    while (rest.p) {
        struct str one = str_trim(str_cut(rest, ',', &rest));
        if (one.n)
            json_array_append_new(to, json_text(one));
    }
    return to;
}

/* Whether Fairlead does it or not, it is not said in the output. */
static bool protects(const struct ingress_annotation *a)
{
    static const char *const off[] = {"", "0", "false", "off"};
    for (size_t i = 0; i < ARRAY_LEN(off); i++)
        if (streq(a->value, off[i]))
            return false;
    return ingress_annotation_protects(a->name);
}

bool convert_is_closed(const struct conversion *c, const struct route *r)
{
    const struct ingress_object *i =
        ingress_routes_find(c->snapshot->routes, str_from(r->origin.object));
    for (uint32_t a = 0; i && r->action == ROUTE_FORWARD && a < i->n_annotations; a++)
        if (protects(&i->annotations[a]))
            return true;
    return false;
}

bool convert_is_hidden(const struct route_host *h, uint32_t route)
{
    const struct route *r = &h->routes[route];
    for (uint32_t i = 0; i < route; i++)
        if (!h->routes[i].n_headers && h->routes[i].path.kind == r->path.kind &&
            streq(h->routes[i].path.text, r->path.text))
            return true;
    return false;
}

void convert_add(const struct conversion *c, const char *version, const char *kind,
                 const char *name, const char *namespace_, json_t *spec)
{
    json_array_append_new(c->out, json_pack("{s:s,s:s,s:{s:s,s:s},s:o}", "apiVersion", version,
                                            "kind", kind, "metadata", "name", name, "namespace",
                                            namespace_, "spec", spec));
}

/* Places among the Ingresses, the first to be heeded first. */
static int by_number(const void *a, const void *b)
{
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return x < y ? -1 : x > y;
}

size_t convert_ingresses_of(const struct conversion *c, const struct route_host *h,
                            const struct ingress_object ***ret)
{
    size_t *places = xcalloc(h->n_routes + 1, sizeof(*places)), n = 0, kept = 0;
    for (uint32_t i = 0; i < h->n_routes; i++) {
        void *place = map_find_cstr(&c->places, h->routes[i].origin.object);
        if (place)
            places[n++] = (uintptr_t)place - 1;
    }
    qsort(places, n, sizeof(*places), by_number);
    *ret = xcalloc(n + 1, sizeof(struct ingress_object *));
    for (size_t i = 0; i < n; i++)
        if (!i || places[i] != places[i - 1])
            (*ret)[kept++] = c->ingresses[places[i]];
    free(places);
    return kept;
}
