/* Kept by what they say, as one text. */
#include "proxy/mesh_edits.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/map.h"
#include "codec/pb_msg.h"
#include "proxy/peer.h"

enum { SEPARATOR = 0x1f };

static struct map all; /* text -> struct mesh_edits; the main thread's */

static const char *const names[MESH_EDITS_METRICS] = {
    "requests_total", "request_duration_milliseconds", "request_bytes", "response_bytes"};

/* Bits; 0: none of requests. */
static uint8_t metrics_of(const char *name)
{
    uint8_t bits = 0;
    for (unsigned i = 0; i < MESH_EDITS_METRICS; i++)
        if (!*name || streq(name, names[i]))
            bits |= (uint8_t)(1u << i);
    return bits;
}

static bool says_the_same(const struct mesh_edit *e, const char *label, const struct tag_value *v)
{
    return streq(e->label, label) && e->removed == !v &&
           (!v || (e->value.attribute == v->attribute && streq(e->value.text, v->text)));
}

/* v: taken; NULL: it is left out. Of what is said twice of a metric the last word counts. */
static void add(struct mesh_edits *e, const char *label, uint8_t metrics, struct tag_value *v)
{
    struct mesh_edit *one = NULL;
    for (size_t i = 0; i < e->n_labels; i++) {
        if (streq(e->labels[i].label, label))
            e->labels[i].metrics &= (uint8_t)~metrics;
        if (says_the_same(&e->labels[i], label, v))
            one = &e->labels[i];
    }
    if (one) {
        one->metrics |= metrics;
    } else if (e->n_labels == MESH_EDITS_LABELS || !tag_name_is_valid(label)) {
        log_warn("a label of metrics stays as it is: it is no name, or there are too many",
                 kv_s("label", label));
    } else {
        one = &e->labels[e->n_labels++];
        *one = (struct mesh_edit){.label = xstrdup(label), .metrics = metrics, .removed = !v};
        if (!v)
            return;
        one->value = *v;
        if (v->attribute != TAG_TEXT)
            one->at = (uint8_t)e->n_values++;
        return;
    }
    if (v)
        tag_value_done(v);
}

static void set(struct mesh_edits *e, const char *label, const char *text, uint8_t metrics)
{
    struct tag_value v;
    struct err err = {0};
    if (tag_value_parse(text, &v, &err) == 0)
        add(e, label, metrics, &v);
    else
        log_warn("a label of metrics stays as it is", kv_s("label", label), kv_s("value", text),
                 kv_s("error", err_text(&err)));
}

static void read_metric(struct mesh_edits *e, const Stats__MetricConfig *m)
{
    uint8_t metrics = metrics_of(m->name);
    if (!metrics)
        return;
    if (m->drop)
        e->dropped |= metrics;
    for (size_t i = 0; i < m->n_tags_to_remove; i++)
        add(e, m->tags_to_remove[i], metrics, NULL);
    for (size_t i = 0; i < m->n_dimensions; i++)
        set(e, m->dimensions[i]->key, m->dimensions[i]->value, metrics);
}

static void edits_free(struct mesh_edits *e)
{
    for (size_t i = 0; i < e->n_labels; i++) {
        free(e->labels[i].label);
        tag_value_done(&e->labels[i].value);
    }
    free(e);
}

const struct mesh_edits *mesh_edits_get(const Stats__PluginConfig *m)
{
    AUTO_DONE(buf) struct buf text = {0};
    struct mesh_edits *e;
    if (!m->n_metrics)
        return NULL;
    for (size_t i = 0; i < m->n_metrics; i++) {
        AUTO_DONE(buf) struct buf one = {0};
        if (pb_pack(&m->metrics[i]->base, &one) < 0)
            return NULL;
        buf_addf(&text, "%zu:", one.n);
        buf_add_str(&text, buf_str(&one));
    }
    if ((e = map_find(&all, buf_str(&text))))
        return e;
    if (all.used == MESH_EDITS_MAX) {
        log_warn("metrics are told as they are: too many configurations of them have been seen");
        return NULL;
    }
    e = NEW(struct mesh_edits);
    for (size_t i = 0; i < m->n_metrics; i++)
        read_metric(e, m->metrics[i]);
    map_put(&all, buf_str(&text), e);
    return e;
}

static struct str attribute_of(const struct tag_value *v, const struct http_head *h)
{
    switch (v->attribute) {
    case TAG_METHOD:
        return h->method;
    case TAG_HOST:
        return h->authority.p ? h->authority : http_field_value(http_head_find(h, HTTP_NAME_HOST));
    case TAG_SCHEME:
        return h->scheme;
    case TAG_FIELD:
        return http_field_value(http_head_find_text(h, str_from(v->text)));
    case TAG_TEXT:
        break;
    }
    return STR("");
}

const char *mesh_edits_values(const struct mesh_edits *e, const struct http_head *head)
{
    char room[LABEL_TEXT_BYTES];
    size_t n = 0;
    for (size_t i = 0; i < e->n_labels; i++) {
        const struct mesh_edit *one = &e->labels[i];
        if (one->removed || one->value.attribute == TAG_TEXT)
            continue;
        struct str value = attribute_of(&one->value, head);
        if (n + value.n + 1 > sizeof(room))
            return NULL;
        for (size_t k = 0; k < value.n; k++)
            room[n++] = value.p[k] == SEPARATOR ? '?' : value.p[k];
        room[n++] = SEPARATOR;
    }
    return n ? label_text_of_some(str_of(room, n), MESH_EDITS_VALUES_MAX) : NULL;
}

struct str mesh_edits_value(const struct mesh_edit *e, const char *values)
{
    struct str rest = str_from(values ? values : ""), value = STR("");
    if (e->value.attribute == TAG_TEXT)
        return str_from(e->value.text);
    for (unsigned i = 0; i <= e->at && rest.p; i++)
        value = str_cut(rest, SEPARATOR, &rest);
    return value;
}

const struct mesh_edit *mesh_edits_find(const struct mesh_edits *e, unsigned metric,
                                        struct str label)
{
    for (size_t i = 0; e && metric < MESH_EDITS_METRICS && i < e->n_labels; i++)
        if (e->labels[i].metrics >> metric & 1 && str_is(label, e->labels[i].label))
            return &e->labels[i];
    return NULL;
}

void mesh_edits_done(void)
{
    void *e;
    for (size_t at = 0; map_next(&all, &at, NULL, &e);)
        edits_free(e);
    map_done(&all);
}
