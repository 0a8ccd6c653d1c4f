/* Guards as values: made, freed, and as text. */
#include "model/route_guard.h"

#include "base/mem.h"

struct route_guard *route_guard_new(void)
{
    struct route_guard *g = NEW(struct route_guard);
    g->refs = 1;
    return g;
}

struct route_guard *route_guard_ref(struct route_guard *g)
{
    g->refs++;
    return g;
}

void route_guard_unref(struct route_guard *g)
{
    if (!g || --g->refs)
        return;
    free(g->addresses.allow.v);
    free(g->addresses.deny.v);
    free(g);
}

bool route_guard_is_empty(const struct route_guard *g)
{
    return !g || (!g->body_max_bytes && !g->addresses.allow.n && !g->addresses.deny.n);
}

/* ---- as text ---- */

static void add_prefixes(const struct route_prefixes *p, const char *between, struct buf *out)
{
    char text[PREFIX_TEXT_BYTES];
    for (uint32_t i = 0; i < p->n; i++)
        buf_addf(out, "%s%s", i ? between : "", prefix_format(&p->v[i], text));
}

void route_guard_format(const struct route_guard *g, struct buf *out)
{
    if (!g)
        return;
    if (g->body_max_bytes)
        buf_addf(out, " body<=%llu", (unsigned long long)g->body_max_bytes);
    if (g->addresses.deny.n)
        buf_addf(out, " deny ");
    add_prefixes(&g->addresses.deny, ",", out);
    if (g->addresses.allow.n)
        buf_addf(out, " allow ");
    add_prefixes(&g->addresses.allow, ",", out);
}

static void add_addresses(const struct route_addresses *a, struct buf *out)
{
    if (a->deny.n)
        buf_addf(out, "%snot from ", out->n ? ", " : "");
    add_prefixes(&a->deny, " ", out);
    if (a->allow.n)
        buf_addf(out, "%sfrom ", out->n ? ", " : "");
    add_prefixes(&a->allow, " ", out);
    if (a->allow.n)
        buf_addf(out, " alone");
    if (a->allow.n || a->deny.n)
        buf_addf(out, " (else 403)");
}

void route_guard_explain(const struct route_guard *g, struct buf *out)
{
    if (!g)
        return;
    add_addresses(&g->addresses, out);
    if (g->body_max_bytes)
        buf_addf(out, "%sbodies up to %llu bytes (else 413)", out->n ? ", " : "",
                 (unsigned long long)g->body_max_bytes);
}
