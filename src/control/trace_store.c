/* Traces by their ids, in the order in which they came; spans are kept as text. */
#include "control/trace_store.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/map.h"
#include "base/vec.h"

enum { TAGS_MAX = 40, TAG_BYTES = 512, ID_HEX = 32 };

struct trace {
    struct list_node node;
    VEC(char *) spans;
    char id[ID_HEX + 1];
    bool error;
    json_int_t begin_us, end_us;
    /* of the span that has no parent, else of the first that came */
    char *service, *name;
    bool has_root;
};

struct trace_store {
    struct map by_id;
    struct list_node traces; /* the oldest first */
    struct trace_store_stats stats;
};

/* Hex, lower case; of 64 bits as of 128. False: it is none. */
static bool read_id(struct str text, char ret[ID_HEX + 1])
{
    if (text.n != 16 && text.n != ID_HEX)
        return false;
    memset(ret, '0', ID_HEX);
    ret[ID_HEX] = '\0';
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c >= 'A' && c <= 'F')
            c = (char)(c + 32);
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
        ret[ID_HEX - text.n + i] = c;
    }
    return true;
}

static void drop_trace(struct trace_store *s, struct trace *t)
{
    VEC_FOREACH (span, &t->spans) {
        s->stats.bytes -= strlen(*span);
        free(*span);
    }
    vec_done(&t->spans);
    map_remove_cstr(&s->by_id, t->id);
    list_remove(&t->node);
    s->stats.traces--;
    free(t->service);
    free(t->name);
    free(t);
}

static struct trace *trace_get(struct trace_store *s, const char *id)
{
    struct trace *t = map_find_cstr(&s->by_id, id);
    if (t)
        return t;
    t = NEW(struct trace);
    memcpy(t->id, id, sizeof(t->id));
    map_put_cstr(&s->by_id, t->id, t);
    list_add_tail(&s->traces, &t->node);
    s->stats.traces++;
    return t;
}

/* What is known of a span, and nothing else. */
static json_t *clean(const json_t *span, const char *id, const char *service)
{
    static const char *const texts[] = {"id", "parentId", "name", "kind"};
    const char *key;
    json_t *value,
        *tags = json_object(),
        *j = json_pack("{s:s,s:{s:s}}", "traceId", id, "localEndpoint", "serviceName", service);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct str text = str_from(json_key_str(span, texts[i]));
        if (text.p)
            json_object_set_new(j, texts[i], json_text(str_first(text, TAG_BYTES)));
    }
    json_object_set_new(j, "timestamp",
                        json_integer(json_integer_value(json_object_get(span, "timestamp"))));
    json_object_set_new(j, "duration",
                        json_integer(json_integer_value(json_object_get(span, "duration"))));
    json_object_foreach(json_object_get(span, "tags"), key, value)
    {
        struct str text = str_from(json_is_string(value) ? json_string_value(value) : ""), query;
        if (streq(key, "http.url")) /* a query may be a token */
            text = str_cut(text, '?', &query);
        if (json_is_string(value) && json_object_size(tags) < TAGS_MAX)
            json_object_set_new(tags, key, json_text(str_first(text, TAG_BYTES)));
    }
    json_object_set_new(j, "tags", tags);
    return j;
}

/* Where the request went to, in the words of the span. */
static char *name_of(const json_t *span)
{
    const json_t *tags = json_object_get(span, "tags");
    const char *method = json_key_str(tags, "http.method"), *url = json_key_str(tags, "http.url");
    const char *name = json_key_str(span, "name");
    return method && url ? xasprintf("%s %s", method, url) : xstrdup(name ? name : "");
}

static void note(struct trace *t, const json_t *span, const char *service)
{
    json_int_t begin = json_integer_value(json_object_get(span, "timestamp")),
               end = begin + json_integer_value(json_object_get(span, "duration"));
    bool root = !json_object_get(span, "parentId");
    if (!t->name || (root && !t->has_root)) {
        free(t->name);
        free(t->service);
        t->name = name_of(span);
        t->service = xstrdup(service);
        t->has_root = root;
    }
    t->begin_us = t->begin_us ? MIN(t->begin_us, begin) : begin;
    t->end_us = MAX(t->end_us, end);
    t->error = t->error || json_object_get(json_object_get(span, "tags"), "error");
}

static bool times_are_good(const json_t *span)
{
    json_int_t begin = json_integer_value(json_object_get(span, "timestamp")),
               took = json_integer_value(json_object_get(span, "duration"));
    return begin > 0 && begin < (json_int_t)1 << 52 && took >= 0 && took < (json_int_t)1 << 42;
}

/* False: it is dropped. */
static bool add(struct trace_store *s, const json_t *span, const char *service)
{
    AUTO_DONE(buf) struct buf text = {.cap = TRACE_SPAN_BYTES};
    struct str own, id_text = str_from(json_key_str(span, "traceId"));
    char id[ID_HEX + 1], span_id[ID_HEX + 1];
    own = str_from(json_key_str(span, "id"));
    if (!id_text.p || !read_id(id_text, id) || own.n != 16 || !read_id(own, span_id) ||
        !times_are_good(span))
        return false;
    AUTO_JSON json_t *j = clean(span, id, service);
    json_write(&text, j);
    if (text.failed)
        return false;
    struct trace *t = trace_get(s, id);
    if (t->spans.n >= TRACE_SPANS_MAX)
        return false;
    vec_push(&t->spans, buf_take_cstr(&text));
    s->stats.bytes += strlen(t->spans.v[t->spans.n - 1]);
    note(t, j, service);
    return true;
}

void trace_store_add(struct trace_store *s, struct str spans, const char *service)
{
    AUTO_JSON json_t *list = NULL;
    json_t *span;
    size_t i;
    if (json_parse(spans, TRACE_REPORT_BYTES, NULL, &list, NULL) < 0 || !json_is_array(list)) {
        s->stats.dropped++;
        return;
    }
    json_array_foreach(list, i, span)
    {
        if (add(s, span, service))
            s->stats.spans++;
        else
            s->stats.dropped++;
    }
    while (s->stats.traces > TRACES_MAX || s->stats.bytes > TRACE_STORE_BYTES)
        drop_trace(s, CONTAINER_OF(s->traces.next, struct trace, node));
}

static int by_begin(const void *a, const void *b)
{
    json_int_t x = json_integer_value(json_object_get(*(json_t *const *)a, "timestamp")),
               y = json_integer_value(json_object_get(*(json_t *const *)b, "timestamp"));
    return x < y ? -1 : x > y;
}

json_t *trace_store_find(const struct trace_store *s, struct str id_text)
{
    char id[ID_HEX + 1];
    VEC(json_t *) all = {0};
    const struct trace *t = read_id(id_text, id) ? map_find_cstr(&s->by_id, id) : NULL;
    if (!t)
        return NULL;
    json_t *list = json_array();
    VEC_FOREACH (span, &t->spans) {
        json_t *j = NULL;
        if (json_parse(str_from(*span), 0, NULL, &j, NULL) == 0)
            vec_push(&all, j);
    }
    if (all.n)
        qsort(all.v, all.n, sizeof(*all.v), by_begin);
    VEC_FOREACH (j, &all)
        json_array_append_new(list, *j);
    vec_done(&all);
    return list;
}

json_t *trace_store_list(const struct trace_store *s, size_t max)
{
    json_t *list = json_array();
    for (struct list_node *n = s->traces.prev; n != &s->traces && json_array_size(list) < max;
         n = n->prev) {
        const struct trace *t = CONTAINER_OF(n, struct trace, node);
        if (!t->spans.n)
            continue;
        json_array_append_new(list, json_pack("{s:s,s:o,s:o,s:I,s:I,s:I,s:b}", "traceId", t->id,
                                              "service", json_text(str_from(t->service)), "name",
                                              json_text(str_from(t->name)), "timestamp",
                                              t->begin_us, "duration", t->end_us - t->begin_us,
                                              "spans", (json_int_t)t->spans.n, "error", t->error));
    }
    return list;
}

struct trace_store *trace_store_new(void)
{
    struct trace_store *s = NEW(struct trace_store);
    list_init(&s->traces);
    return s;
}

void trace_store_free(struct trace_store *s)
{
    if (!s)
        return;
    LIST_FOREACH_SAFE (node, &s->traces)
        drop_trace(s, CONTAINER_OF(node, struct trace, node));
    map_done(&s->by_id);
    free(s);
}

struct trace_store_stats trace_store_get_stats(const struct trace_store *s)
{
    return s->stats;
}
