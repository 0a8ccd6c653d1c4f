/* WATCH: streams of events.
 *
 * Owns the open watches, one list per kind. An event is encoded at most once for each (type, view)
 * however many watchers there are, and its bytes are shared by all connections. A watcher sees an
 * object enter (ADDED) or leave (DELETED) its selection as well as change in it. A reader that
 * cannot keep up is cut off at 8 MiB of queue: it will list again. Rules: Kubernetes API concepts,
 * KEP-956 (bookmarks), KEP-3157 (WatchList). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/list.h"
#include "codec/url.h"
#include "lab/apiserver/api_priv.h"

enum {
    BOOKMARK_MS = 60000,
    WATCH_DEFAULT_S = 1800,
    WATCH_BATCH_BYTES = 1024 * 1024, /* catching up: queued at most, plus one event */
};

struct api_watch {
    struct list_node node;
    struct api_server *server;
    struct api_stream *stream;
    struct api_selection selection;
    uint32_t kind_index;
    enum api_view view;
    uint64_t version; /* what came before it, and with it, is not told */
    bool told;        /* something: a Table says once what its columns are */
    bool bookmarks;
    /* Catching up: objects still to be told as ADDED, then events of the ring from cursor on. A
     * watch that is not behind is told events as they happen. */
    bool behind;
    bool initial_bookmark; /* WatchList: mark the end of the initial objects */
    struct object **initial;
    size_t n_initial;
    size_t initial_at;
    uint64_t cursor;
    struct loop_timer *bookmark_timer;
    struct loop_timer *end_timer;
    bool over;
};

/* The encodings of the event being told. */
struct api_event_cache {
    struct bytes *encoded[API_FORMS][3][_API_VIEW_MAX]; /* as stored; other forms of the kind */
};

static const char *const type_names[] = {"ADDED", "MODIFIED", "DELETED"};

void api_watch_init(struct api_server *s)
{
    s->watches = xcalloc(API_KINDS_MAX, sizeof(*s->watches));
    for (size_t i = 0; i < API_KINDS_MAX; i++)
        list_init(&s->watches[i]);
    s->event_cache = NEW(struct api_event_cache);
}

void api_watch_done(struct api_server *s)
{
    for (size_t i = 0; i < API_KINDS_MAX; i++)
        LIST_FOREACH_SAFE (node, &s->watches[i])
            api_stream_abort(CONTAINER_OF(node, struct api_watch, node)->stream);
    free(s->watches);
    free(s->event_cache);
}

static void watch_over(void *user)
{
    struct api_watch *w = user;
    list_remove(&w->node);
    loop_timer_free(w->bookmark_timer);
    loop_timer_free(w->end_timer);
    api_selection_done(&w->selection);
    for (; w->initial_at < w->n_initial; w->initial_at++)
        object_unref(w->initial[w->initial_at]);
    free(w->initial);
    w->server->watches_open--;
    free(w);
}

static struct bytes *encode_event(struct api_server *s, enum store_event_type type,
                                  enum api_view view, const struct api_kind *kind, struct object *o,
                                  bool columns)
{
    AUTO_DONE(buf) struct buf b = {0};
    buf_addf(&b, "{\"type\":\"%s\",\"object\":", type_names[type]);
    api_view_write(&b, view, kind, o, columns);
    buf_add_cstr(&b, "}\n");
    s->watch_encodes[view]++;
    return bytes_new(buf_str(&b));
}

/* The bytes of an event for watchers to whom it is of this type. An object that leaves a selection
 * is told as it was when it belonged to it, with the version of the change. */
static struct bytes *encode_for(struct api_server *s, const struct store_event *e,
                                enum store_event_type type, enum api_view view,
                                const struct api_kind *kind, bool columns)
{
    if (type != STORE_DELETED || e->type == STORE_DELETED)
        return encode_event(s, type, view, kind, e->object, columns);
    struct object *was = object_restamp(s->store, e->before, e->version);
    struct bytes *b = encode_event(s, type, view, kind, was, columns);
    object_unref(was);
    return b;
}

/* What an event is to this watcher; false = nothing. */
static bool event_for(const struct api_watch *w, const struct store_event *e,
                      enum store_event_type *ret)
{
    if (e->version <= w->version)
        return false;
    bool now = e->type != STORE_DELETED && api_selection_matches(&w->selection, e->object);
    bool was = e->before && api_selection_matches(&w->selection, e->before);
    if (!now && !was)
        return false;
    *ret = now && was ? STORE_MODIFIED : now ? STORE_ADDED : STORE_DELETED;
    return true;
}

static bool wants_columns(const struct api_watch *w)
{
    return !w->told && api_view_is_table(w->view);
}

static void tell(struct api_watch *w, struct bytes *event)
{
    w->told = true;
    api_stream_write(w->stream, event);
    bytes_unref(event);
}

void api_watch_event(struct api_server *s, const struct store_event *e)
{
    struct api_event_cache *cache = s->event_cache;
    LIST_FOREACH_SAFE (node, &s->watches[e->object->kind]) {
        struct api_watch *w = CONTAINER_OF(node, struct api_watch, node);
        enum store_event_type type;
        if (w->behind || w->over || !event_for(w, e, &type))
            continue;
        if (api_stream_queued(w->stream) > API_WATCH_QUEUE_BYTES_MAX) {
            w->behind = true; /* goes on from the ring when its queue is empty */
            w->cursor = store_events_end(s->store) - 1;
            continue;
        }
        if (wants_columns(w) || w->selection.kind->form >= API_FORMS) {
            tell(w, encode_for(s, e, type, w->view, w->selection.kind, wants_columns(w)));
            continue;
        }
        struct bytes **slot = &cache->encoded[w->selection.kind->form][type][w->view];
        if (!*slot)
            *slot = encode_for(s, e, type, w->view, w->selection.kind, false);
        api_stream_write(w->stream, *slot);
    }
    struct bytes **all = &cache->encoded[0][0][0];
    for (size_t i = 0; i < sizeof(cache->encoded) / sizeof(*all); i++) {
        bytes_unref(all[i]);
        all[i] = NULL;
    }
}

static void send_bookmark(struct api_watch *w, bool initial_end)
{
    AUTO_DONE(buf) struct buf b = {0};
    const char *kind = w->view == API_VIEW_JSON ? w->selection.kind->kind : "PartialObjectMetadata";
    const char *gv =
        w->view == API_VIEW_JSON ? api_kind_group_version(w->selection.kind) : "meta.k8s.io/v1";
    if (w->over)
        return;
    buf_add_cstr(&b, "{\"type\":\"BOOKMARK\",\"object\":");
    if (api_view_is_table(w->view)) {
        kind = "Table";
        gv = "meta.k8s.io/v1";
    }
    buf_addf(&b,
             "{\"kind\":\"%s\",\"apiVersion\":\"%s\",\"metadata\":{\"resourceVersion\":\"%" PRIu64
             "\"",
             kind, gv, store_version(w->server->store));
    if (initial_end)
        buf_add_cstr(&b, ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}");
    buf_add_cstr(&b, streq(kind, "Table") ? "},\"columnDefinitions\":[],\"rows\":[]}}\n" : "}}}\n");
    struct bytes *event = bytes_new(buf_str(&b));
    api_stream_write(w->stream, event);
    bytes_unref(event);
}

static uint64_t bookmark_ms(const struct api_watch *w)
{
    return w->server->config.bookmark_ms ? w->server->config.bookmark_ms : BOOKMARK_MS;
}

static void on_bookmark(void *user)
{
    struct api_watch *w = user;
    if (!w->behind) /* a bookmark promises that everything before it has been told */
        send_bookmark(w, false);
    loop_timer_start(w->bookmark_timer, bookmark_ms(w));
}

static void on_end(void *user)
{
    struct api_watch *w = user;
    if (w->bookmarks && !w->behind && !w->over)
        send_bookmark(w, false);
    api_stream_finish(w->stream); /* watch_over follows */
}

/* What the kind is has changed, or it is gone: who watches it has to look anew. */
void api_watch_end_kind(struct api_server *s, uint32_t kind)
{
    LIST_FOREACH_SAFE (node, &s->watches[kind])
        api_stream_abort(CONTAINER_OF(node, struct api_watch, node)->stream);
}

/* ---- opening ---- */

/* The objects of now, kept until they are told: later changes come from the ring. */
static void take_initial(struct api_watch *w)
{
    struct store *store = w->server->store;
    size_t n = store_count(store, w->kind_index);
    VEC(struct object *) chosen = {0};
    for (size_t i = 0; i < n; i++) {
        struct object *o = store_at(store, w->kind_index, i);
        if (api_selection_matches(&w->selection, o))
            vec_push(&chosen, object_ref(o));
    }
    w->initial = chosen.v;
    w->n_initial = chosen.n;
}

/* The ring has moved on without this watcher: it must list again. */
static void expire(struct api_watch *w)
{
    AUTO_DONE(buf) struct buf b = {0};
    buf_add_cstr(&b, "{\"type\":\"ERROR\",\"object\":");
    api_status_body(&b, 410, "Expired", "too old resource version: the watcher was too slow");
    buf_add_cstr(&b, "}\n");
    tell(w, bytes_new(buf_str(&b)));
    w->over = true;
    w->server->watches_dropped++;
    loop_timer_start(w->end_timer, 0); /* not from inside the walk over the watchers */
}

static bool room(const struct api_watch *w)
{
    return api_stream_queued(w->stream) < WATCH_BATCH_BYTES;
}

/* Tells what is still to be told, as far as the socket takes it; goes on when the queue is empty.
 */
static void catch_up(struct api_watch *w)
{
    struct store *store = w->server->store;
    while (w->initial_at < w->n_initial && room(w)) {
        struct object *o = w->initial[w->initial_at++];
        tell(w,
             encode_event(w->server, STORE_ADDED, w->view, w->selection.kind, o, wants_columns(w)));
        object_unref(o);
    }
    if (w->initial_at < w->n_initial)
        return;
    if (w->initial_bookmark) {
        w->initial_bookmark = false;
        send_bookmark(w, true);
    }
    if (w->cursor < store_events_begin(store)) {
        expire(w);
        return;
    }
    for (; w->cursor < store_events_end(store) && room(w); w->cursor++) {
        const struct store_event *e = store_event(store, w->cursor);
        enum store_event_type type;
        if (e->object->kind == w->kind_index && event_for(w, e, &type))
            tell(w, encode_for(w->server, e, type, w->view, w->selection.kind, wants_columns(w)));
    }
    w->behind = w->cursor < store_events_end(store);
}

static void on_drain(void *user)
{
    struct api_watch *w = user;
    if (w->behind && !w->over)
        catch_up(w);
}

struct watch_options {
    uint64_t version;
    uint64_t timeout_s;
    bool from_now; /* no version: synthetic ADDED events first */
    bool initial_events;
    bool bookmarks;
};

/* False: answered. */
static bool read_options(struct api_request *r, struct watch_options *o)
{
    AUTO_CHARS char *version = url_param(r->query, "resourceVersion");
    AUTO_CHARS char *timeout = url_param(r->query, "timeoutSeconds");
    AUTO_CHARS char *initial = url_param(r->query, "sendInitialEvents");
    *o = (struct watch_options){.timeout_s = WATCH_DEFAULT_S,
                                .bookmarks = url_param_bool(r->query, "allowWatchBookmarks")};
    if (!str_empty(version) && str_to_u64(str_from(version), &o->version) < 0) {
        api_status(r, 500, "", NULL, "resourceVersion: Invalid value: \"%.100s\": not a version",
                   version);
        return false;
    }
    if (!str_empty(timeout) &&
        (str_to_u64(str_from(timeout), &o->timeout_s) < 0 || o->timeout_s > 86400)) {
        api_status(r, 400, "BadRequest", NULL,
                   "timeoutSeconds: \"%s\" is not a number of seconds up to 86400", timeout);
        return false;
    }
    o->initial_events = streq(initial, "true");
    o->from_now = (str_empty(version) || streq(version, "0")) && !streq(initial, "false");
    if (o->version == 0)
        o->version = store_version(r->server->store);
    else if (o->version < store_oldest_version(r->server->store) && !o->initial_events) {
        api_status(r, 410, "Expired", NULL, "too old resource version: %" PRIu64 " (%" PRIu64 ")",
                   o->version, store_oldest_version(r->server->store));
        return false;
    }
    return true;
}

void api_watch(struct api_request *r)
{
    struct watch_options o;
    struct api_selection sel;
    struct err err = {0};
    static const struct api_stream_ops ops = {on_drain, watch_over};
    if (!api_options_check(r, true) || !read_options(r, &o))
        return;
    uint64_t max = r->server->config.watches_max;
    if (r->server->watches_open >= (max ? max : API_WATCHES_MAX)) {
        api_too_many(r, "too many watches are open on this server");
        return;
    }
    if (api_selection_parse(r, &sel, &err) < 0) {
        api_status(r, 400, "BadRequest", NULL, "%s", err_text(&err));
        return;
    }
    struct api_watch *w = NEW(struct api_watch);
    w->server = r->server;
    w->selection = sel;
    w->kind_index = r->kind_index;
    w->view = r->view;
    w->bookmarks = o.bookmarks;
    w->bookmark_timer = loop_timer_new(r->server->loop, on_bookmark, w);
    w->end_timer = loop_timer_new(r->server->loop, on_end, w);
    r->server->watches_open++;
    list_add_tail(&r->server->watches[w->kind_index], &w->node);
    w->stream = api_stream_open(r, &ops, w);
    w->behind = true;
    w->cursor = store_events_end(r->server->store);
    w->initial_bookmark = o.initial_events && o.bookmarks;
    if (o.initial_events || o.from_now)
        take_initial(w);
    else
        w->cursor = store_events_after(r->server->store, o.version);
    if (o.version > store_version(r->server->store))
        w->version = o.version; /* of a server that began anew: its past is not told as news */
    catch_up(w);
    if (o.bookmarks)
        loop_timer_start(w->bookmark_timer, bookmark_ms(w));
    if (o.timeout_s)
        loop_timer_start(w->end_timer, o.timeout_s * 1000);
    api_request_free(r);
}
