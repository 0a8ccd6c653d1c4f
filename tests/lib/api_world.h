#pragma once
/* A small API server on the test's own loop, over loopback: objects by path and key, lists and
 * watches with label and field selectors. A test changes objects by api_put and api_delete. */

#include "test.h"

#include "base/vec.h"
#include "kube/selector.h"
#include "net/http_server.h"

struct api_object {
    char *path, *key;
    json_t *json;
};

struct api_event {
    uint64_t version;
    char *path;
    json_t *before, *after; /* NULL: was not, is not there */
};

struct api_watch {
    struct http_exchange *exchange;
    char *path;
    struct selector labels, fields;
};

struct api_world {
    struct http_server *server;
    VEC(struct api_object) objects;
    VEC(struct api_event) events;
    VEC(struct api_watch *) watches;
    const char *withheld; /* a path whose lists are not answered */
    VEC(struct http_exchange *) waiting;
    uint64_t version;
    unsigned lists;
};

static void api_query_value(const struct http_exchange *x, const char *name, struct buf *ret)
{
    struct str query = http_exchange_query(x);
    while (query.n) {
        struct str value, one = str_cut(query, '&', &query);
        if (!str_is(str_cut(one, '=', &value), name))
            continue;
        for (size_t i = 0; i < value.n; i++) {
            unsigned byte;
            if (value.p[i] == '%' && i + 2 < value.n &&
                sscanf(value.p + i + 1, "%2x", &byte) == 1) {
                buf_add_char(ret, (char)byte);
                i += 2;
            } else {
                buf_add_char(ret, value.p[i]);
            }
        }
    }
}

static void api_selectors(const struct http_exchange *x, struct selector *labels,
                          struct selector *fields)
{
    AUTO_DONE(buf) struct buf l = {0}, f = {0};
    api_query_value(x, "labelSelector", &l);
    api_query_value(x, "fieldSelector", &f);
    assert_ok(selector_parse_labels(buf_str(&l), labels, NULL));
    assert_ok(selector_parse_fields(buf_str(&f), fields, NULL));
}

static bool api_selects(const struct selector *labels, const struct selector *fields,
                        const json_t *object)
{
    struct label name = {"metadata.name", json_at_str(object, "metadata.name")};
    return object && selector_matches_object(labels, json_at(object, "metadata.labels")) &&
           selector_matches(fields, &name, 1);
}

static void api_on_watch_over(struct http_exchange *x, void *user)
{
    struct api_world *w = user;
    for (size_t i = 0; i < w->watches.n; i++)
        if (w->watches.v[i]->exchange == x) {
            struct api_watch *watch = w->watches.v[i];
            selector_done(&watch->labels);
            selector_done(&watch->fields);
            free(watch->path);
            free(watch);
            vec_remove(&w->watches, i);
            return;
        }
}

static void api_list(struct api_world *w, struct http_exchange *x)
{
    AUTO_DONE(buf) struct buf b = {0};
    struct selector labels = {0}, fields = {0};
    const char *comma = "";
    api_selectors(x, &labels, &fields);
    w->lists++;
    buf_addf(&b, "{\"metadata\":{\"resourceVersion\":\"%llu\"},\"items\":[",
             (unsigned long long)w->version);
    VEC_FOREACH (o, &w->objects) {
        if (!str_is(http_exchange_path(x), o->path) || !api_selects(&labels, &fields, o->json))
            continue;
        AUTO_CHARS char *text = json_dumps(o->json, JSON_COMPACT);
        buf_addf(&b, "%s%s", comma, text);
        comma = ",";
    }
    buf_add_cstr(&b, "]}");
    selector_done(&labels);
    selector_done(&fields);
    http_exchange_reply(x, 200, NULL, 0, buf_str(&b));
}

static void api_tell(struct api_watch *watch, const struct api_event *e)
{
    AUTO_DONE(buf) struct buf b = {0};
    bool was = api_selects(&watch->labels, &watch->fields, e->before),
         is = api_selects(&watch->labels, &watch->fields, e->after);
    if (!streq(watch->path, e->path) || (!was && !is))
        return;
    AUTO_CHARS char *text = json_dumps(e->after ? e->after : e->before, JSON_COMPACT);
    buf_addf(&b, "{\"type\":\"%s\",\"object\":%s}\n",
             !is    ? "DELETED"
             : !was ? "ADDED"
                    : "MODIFIED",
             text);
    http_exchange_write(watch->exchange, buf_str(&b));
}

static void api_watch_begin(struct api_world *w, struct http_exchange *x)
{
    struct api_watch *watch = NEW(struct api_watch);
    AUTO_DONE(buf) struct buf from = {0};
    uint64_t version;
    api_query_value(x, "resourceVersion", &from);
    assert_ok(str_to_u64(buf_str(&from), &version));
    watch->exchange = x;
    watch->path = str_dup(http_exchange_path(x));
    api_selectors(x, &watch->labels, &watch->fields);
    vec_push(&w->watches, watch);
    http_exchange_set_done(x, api_on_watch_over, w);
    http_exchange_start(x, 200, NULL, 0);
    VEC_FOREACH (e, &w->events)
        if (e->version > version)
            api_tell(watch, e);
}

static void api_on_request(struct http_exchange *x, void *user)
{
    struct api_world *w = user;
    AUTO_DONE(buf) struct buf is_watch = {0};
    api_query_value(x, "watch", &is_watch);
    if (is_watch.n) {
        api_watch_begin(w, x);
    } else if (w->withheld && str_is(http_exchange_path(x), w->withheld)) {
        vec_push(&w->waiting, x);
    } else {
        api_list(w, x);
    }
}

/* Answers the lists that waited. */
static void api_release(struct api_world *w)
{
    w->withheld = NULL;
    VEC_FOREACH (x, &w->waiting)
        api_list(w, *x);
    vec_clear(&w->waiting);
}

static void api_up(struct api_world *w, struct loop *l)
{
    static const struct http_server_ops ops = {.on_request = api_on_request};
    static const struct http_server_config c = {.idle_timeout_ms = 86400000};
    struct ip ip;
    w->version = 1;
    assert_ok(ip_parse(STR("127.0.0.1"), &ip));
    assert_ok(http_server_new(l, &ip, 0, &c, &ops, w, &w->server, NULL));
}

static void api_down(struct api_world *w)
{
    http_server_free(w->server);
    VEC_FOREACH (o, &w->objects) {
        free(o->path);
        free(o->key);
        json_decref(o->json);
    }
    VEC_FOREACH (e, &w->events) {
        free(e->path);
        json_decref(e->before);
        json_decref(e->after);
    }
    vec_done(&w->events);
    vec_done(&w->objects);
    vec_done(&w->watches);
    vec_done(&w->waiting);
}

/* text: the object without a version. Replaces or (NULL) deletes the object of this name. */
static void api_change(struct api_world *w, const char *path, const char *key, const char *text)
{
    json_t *j = NULL;
    char version[24];
    size_t at = 0;
    while (at < w->objects.n &&
           !(streq(w->objects.v[at].path, path) && streq(w->objects.v[at].key, key)))
        at++;
    w->version++;
    if (text) {
        assert_ok(json_parse(str_from(text), 0, NULL, &j, NULL));
        snprintf(version, sizeof(version), "%llu", (unsigned long long)w->version);
        json_object_set_new(json_at(j, "metadata"), "resourceVersion", json_string(version));
    }
    json_t *before = at < w->objects.n ? w->objects.v[at].json : NULL;
    vec_push(&w->events, ((struct api_event){w->version, xstrdup(path), before, json_incref(j)}));
    VEC_FOREACH (watch, &w->watches)
        api_tell(*watch, &w->events.v[w->events.n - 1]);
    if (at < w->objects.n && j) {
        w->objects.v[at].json = j;
    } else if (at < w->objects.n) {
        free(w->objects.v[at].path);
        free(w->objects.v[at].key);
        vec_remove(&w->objects, at);
    } else if (j) {
        vec_push(&w->objects, ((struct api_object){xstrdup(path), xstrdup(key), j}));
    }
}
