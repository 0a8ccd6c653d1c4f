/* What the store has, listed. */
#include "proxy/store_kept.h"

#include "base/assert.h"
#include "codec/pb.h"
#include "proxy/store_priv.h"
#include "xds/redact.h"
#include "xds/xds_types.h"

void store_keep_texts(struct store *s)
{
    s->keeps_texts = true;
}

static void add_row(struct kept_rows *to, enum xds_resource type, enum kept_state state,
                    const char *name, struct kept_text *text)
{
    if (text)
        vec_push(to, (struct kept_row){type, state, xstrdup(name), kept_text_ref(text), NULL});
}

static void add_both(struct kept_rows *to, enum xds_resource type, const char *name,
                     const struct kept_texts *k)
{
    add_row(to, type, KEPT_ACTIVE, name, k->active);
    add_row(to, type, KEPT_WARMING, name, k->next);
}

static void add_secret(struct kept_rows *to, const struct store_secret *s)
{
    AUTO_JSON json_t *j = NULL;
    AUTO_DONE(buf) struct buf text = {0};
    if (s->is_static)
        return;
    if (s->message && pb_json_print(&s->message->base, &xds_json_types, &j, NULL) == 0) {
        json_redact(j);
        json_write(&text, j);
    }
    vec_push(to, (struct kept_row){.type = XDS_SECRET,
                                   .state = s->message ? KEPT_ACTIVE : KEPT_WARMING,
                                   .name = xstrdup(s->name),
                                   .text = kept_text_ref(s->text.active),
                                   .secret = text.n ? buf_take_cstr(&text) : NULL});
}

static int by_host_name(const void *a, const void *b)
{
    return strcmp((*(const struct slot_host *const *)a)->name.p,
                  (*(const struct slot_host *const *)b)->name.p);
}

/* With the hosts that came by themselves: what is packed behind a message is in it. */
static void add_table(struct kept_rows *to, const struct route_slot *slot)
{
    enum { VIRTUAL_HOSTS = 2 };
    VEC(const struct slot_host *) hosts = {0};
    AUTO_DONE(buf) struct buf bytes = {0};
    void *h;
    if (!slot->text.active || !slot->hosts.used) {
        add_both(to, XDS_ROUTE, slot->name, &slot->text);
        return;
    }
    for (size_t at = 0; map_next(&slot->hosts, &at, NULL, &h);)
        if (((const struct slot_host *)h)->text)
            vec_push(&hosts, h);
    qsort(hosts.v, hosts.n, sizeof(*hosts.v), by_host_name);
    buf_add_str(&bytes, kept_bytes(slot->text.active));
    VEC_FOREACH (host, &hosts)
        pb_add_bytes(&bytes, VIRTUAL_HOSTS, kept_bytes((*host)->text));
    struct kept_text *whole = kept_text_new(kept_version(slot->text.active), buf_str(&bytes));
    whole->since_us = slot->text.active->since_us;
    add_row(to, XDS_ROUTE, KEPT_ACTIVE, slot->name, whole);
    add_row(to, XDS_ROUTE, KEPT_WARMING, slot->name, slot->text.next);
    kept_text_unref(whole);
    vec_done(&hosts);
}

static int by_name(const void *a, const void *b)
{
    const struct kept_row *x = a, *y = b;
    int d = (int)x->state - (int)y->state;
    return d ? d : strcmp(x->name, y->name);
}

void store_list_kept(const struct store *s, enum xds_resource type, struct kept_rows *ret)
{
    struct str name;
    void *p;
    *ret = (struct kept_rows){NULL, 0, 0};
    switch (type) {
    case XDS_CLUSTER:
        for (size_t at = 0; map_next(&s->clusters, &at, NULL, &p);)
            add_both(ret, type, ((struct store_cluster *)p)->name,
                     &((struct store_cluster *)p)->text);
        break;
    case XDS_LISTENER:
        for (size_t at = 0; map_next(&s->listeners, &at, NULL, &p);)
            add_both(ret, type, ((struct store_listener *)p)->name,
                     &((struct store_listener *)p)->text);
        break;
    case XDS_ENDPOINT:
        for (size_t at = 0; map_next(&s->assignments, &at, &name, &p);) {
            AUTO_CHARS char *text = str_dup(name);
            add_both(ret, type, text, &((struct store_assignment *)p)->text);
        }
        break;
    case XDS_ROUTE:
        VEC_FOREACH (slot, &s->slots.slots)
            if (*slot)
                add_table(ret, *slot);
        break;
    case XDS_SECRET:
        for (size_t at = 0; map_next(&s->secrets, &at, NULL, &p);)
            add_secret(ret, p);
        break;
    case XDS_HOST: /* in their tables, as in Envoy */
    case XDS_WORKLOAD:
    case XDS_NAMES:
    case XDS_RESOURCES:
        break;
    }
    if (ret->n)
        qsort(ret->v, ret->n, sizeof(ret->v[0]), by_name);
}

void kept_rows_done(struct kept_rows *r)
{
    VEC_FOREACH (row, r) {
        free(row->name);
        free(row->secret);
        kept_text_unref(row->text);
    }
    vec_done(r);
}
