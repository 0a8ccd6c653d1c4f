/* Informer: list, watch, reconnect, relist.
 *
 * Owns one call at a time (a list page or the watch), the table of known keys (with the object when
 * caching) and the back-off timer. A list is split while it arrives; a relist marks what it saw and
 * deletes the rest, so that the owner sees only differences. One loop; callbacks may free the
 * informer. */
#include "kube/informer.h"

#include <errno.h>
#include <stdio.h>

#include "base/hash.h"
#include "base/map.h"
#include "base/rand.h"
#include "base/time.h"
#include "base/vec.h"
#include "codec/http_status.h"
#include "codec/json_items.h"
#include "codec/url.h"

enum {
    INFORMER_PAGE = 500,
    INFORMER_BACKOFF_MIN_MS = 100,
    INFORMER_BACKOFF_MAX_MS = 10000,
    INFORMER_WATCH_MIN_S = 300,
    INFORMER_EVENT_BYTES_MAX = 8 * 1024 * 1024,
    INFORMER_LIST_TIMEOUT_MS = 60000, /* a page */
    INFORMER_WATCH_SLACK_MS = 30000,  /* over timeoutSeconds */
    INFORMER_WATCH_SHORT_MS = 1000,
    INFORMER_ABSENT_MS = 3000,
};

struct informer_entry {
    uint64_t version; /* of metadata.resourceVersion */
    uint32_t pass;    /* the list pass that saw it last */
    bool assumed;     /* object is a guess of what will come after version */
    json_t *object;   /* with cache */
    char key[];
};

struct informer {
    struct kube_client *client;
    struct informer_ops ops;
    void *user;
    char *path;
    char *query; /* encoded selectors, "" or "&labelSelector=…" */
    bool lean;
    bool cache;
    bool optional, no_refusal;
    bool refused; /* with optional: told of */
    bool synced;
    struct map entries; /* key -> struct informer_entry */
    struct http_call *call;
    int status;
    struct json_items items;
    struct buf line; /* of the watch stream */
    struct buf room; /* an object without what is not wanted */
    struct buf error_body;
    char *version;   /* where to watch from; NULL = list first */
    char *continue_; /* next page */
    uint64_t newest; /* highest list or event version seen, 0 = they are not numbers */
    uint32_t pass;
    uint64_t watch_begun_ms;
    bool watch_told; /* this watch has brought an event */
    struct loop_timer *retry;
    uint64_t backoff_ms;
    unsigned callbacks; /* on the stack */
    bool freed;
};

static void informer_go(void *user);

const char *object_key(const json_t *object, char ret[512])
{
    const char *ns = json_at_str(object, "metadata.namespace");
    const char *name = json_at_str(object, "metadata.name");
    snprintf(ret, 512, "%s%s%s", ns ? ns : "", ns ? "/" : "", name ? name : "");
    return ret;
}

/* ---- entries ---- */

static void entry_free(struct informer_entry *e)
{
    json_decref(e->object);
    free(e);
}

static bool callback_begin(struct informer *i)
{
    i->callbacks++;
    return !i->freed;
}

static void informer_really_free(struct informer *i)
{
    void *value;
    for (size_t at = 0; map_next(&i->entries, &at, NULL, &value);)
        entry_free(value);
    map_done(&i->entries);
    json_items_done(&i->items);
    buf_done(&i->line);
    buf_done(&i->room);
    buf_done(&i->error_body);
    free(i->version);
    free(i->continue_);
    free(i->path);
    free(i->query);
    free(i);
}

/* False if the informer is gone now. */
static bool callback_end(struct informer *i)
{
    i->callbacks--;
    if (!i->freed)
        return true;
    if (i->callbacks == 0)
        informer_really_free(i);
    return false;
}

static uint64_t version_number(const char *text)
{
    uint64_t v;
    return text && str_to_u64(str_from(text), &v) == 0 ? v : 0;
}

/* Versions are opaque but for this: the same text is the same version, and numbers grow (as every
 * known server has it, and as the API promises since 1.35). Text that is no number gets a hash and
 * no order. */
static uint64_t version_of(const json_t *object, bool *ret_ordered)
{
    const char *text = json_at_str(object, "metadata.resourceVersion");
    uint64_t v;
    *ret_ordered = text && str_to_u64(str_from(text), &v) == 0;
    if (*ret_ordered)
        return v;
    return text ? hash_bytes(text, strlen(text)) : rand_u64();
}

/* truth: of this version, and asked for after any guess. A watch may still tell the version that a
 * guess was made from, and that is no news. */
static void informer_upsert(struct informer *i, json_t *object, bool truth)
{
    char key[512];
    bool ordered;
    uint64_t version = version_of(object, &ordered);
    object_key(object, key);
    struct informer_entry *e = map_find_cstr(&i->entries, key);
    bool corrects = e && e->assumed && truth && e->version == version;
    if (e && !corrects && (e->version == version || (ordered && e->version > version))) {
        e->pass = i->pass;
        return;
    }
    if (!e) {
        e = xcalloc(1, sizeof(*e) + strlen(key) + 1);
        strcpy(e->key, key);
        i->entries.borrows = true;
        map_put_cstr(&i->entries, e->key, e);
    }
    e->version = version;
    e->pass = i->pass;
    e->assumed = false;
    if (i->cache) {
        json_decref(e->object);
        e->object = json_incref(object);
    }
    if (i->ops.on_upsert && !i->freed)
        i->ops.on_upsert(object, i->user);
}

static void informer_take(struct informer *i, json_t *object, bool truth)
{
    char key[512];
    bool ordered;
    uint64_t version = version_of(object, &ordered);
    /* The watch has told everything up to `newest`: what it has not left here is gone, and an
     * answer that comes late must not bring it back. */
    if (ordered && version <= i->newest && !map_find_cstr(&i->entries, object_key(object, key)))
        return;
    informer_upsert(i, object, truth);
}

void informer_offer(struct informer *i, json_t *object)
{
    informer_take(i, object, false);
}

void informer_correct(struct informer *i, json_t *object)
{
    informer_take(i, object, true);
}

void informer_assume(struct informer *i, json_t *object)
{
    char key[512];
    struct informer_entry *e = map_find_cstr(&i->entries, object_key(object, key));
    if (!e || !i->cache)
        return;
    json_decref(e->object);
    e->object = json_incref(object);
    e->assumed = true;
}

static void informer_delete(struct informer *i, struct str key, json_t *last)
{
    struct informer_entry *e = map_remove(&i->entries, key);
    if (!e)
        return;
    if (i->ops.on_delete && !i->freed)
        i->ops.on_delete(key, last ? last : e->object, i->user);
    entry_free(e);
}

/* What the finished list did not contain is gone. */
static void informer_sweep(struct informer *i)
{
    VEC(char *) gone = {0};
    struct str key;
    void *value;
    for (size_t at = 0; map_next(&i->entries, &at, &key, &value);)
        if (((struct informer_entry *)value)->pass != i->pass)
            vec_push(&gone, str_dup(key));
    VEC_FOREACH (name, &gone) {
        informer_delete(i, str_from(*name), NULL);
        free(*name);
    }
    vec_done(&gone);
}

/* A list older than what was seen before: the server was restored from an older state, and its
 * numbers mean something else now. Every version known is void. */
static bool informer_history_went_back(struct informer *i, const char *list_version)
{
    uint64_t version = version_number(list_version);
    bool back = version && version < i->newest;
    void *value;
    i->newest = version;
    for (size_t at = 0; back && map_next(&i->entries, &at, NULL, &value);)
        ((struct informer_entry *)value)->version = 0;
    return back;
}

/* ---- trouble ---- */

static void informer_retry(struct informer *i, const char *text)
{
    if (i->ops.on_error && text)
        i->ops.on_error(text, i->user);
    if (i->freed)
        return;
    i->backoff_ms = i->backoff_ms ? MIN(i->backoff_ms * 2, (uint64_t)INFORMER_BACKOFF_MAX_MS)
                                  : INFORMER_BACKOFF_MIN_MS;
    loop_timer_start(i->retry, i->backoff_ms / 2 + rand_below(i->backoff_ms));
}

static void informer_forget_version(struct informer *i)
{
    free(i->version);
    free(i->continue_);
    i->version = NULL;
    i->continue_ = NULL;
}

static void http_trouble(struct informer *i, int code, const char *text)
{
    char words[400];
    if (code == 0) {
        AUTO_JSON json_t *status = NULL;
        const char *message = NULL;
        if (i->error_body.n && json_parse(buf_str(&i->error_body), 0, NULL, &status, NULL) == 0)
            message = json_at_str(status, "message");
        snprintf(words, sizeof(words), "%s: HTTP %d: %s", i->path, i->status,
                 message ? message : http_status_text((unsigned)i->status).p);
        /* 410: expired. 504: "too large resource version", a server restored from an older state.
         * Any other refusal of this version is settled by a list too; a server that is
         * overloaded or starting is not asked for one. */
        if (i->status != 429 && i->status != 500 && i->status != 502 && i->status != 503)
            informer_forget_version(i);
    } else {
        snprintf(words, sizeof(words), "%s: %s", i->path, text);
    }
    informer_retry(i, words);
}

/* ---- list ---- */

static int parse(struct informer *i, struct str text, json_t **ret)
{
    if (i->lean)
        text = json_text_without(text, "managedFields", &i->room);
    return json_parse(text, 0, NULL, ret, NULL);
}

static int on_list_item(struct str text, void *user)
{
    struct informer *i = user;
    AUTO_JSON json_t *object = NULL;
    if (i->freed)
        return -ECANCELED;
    int r = parse(i, text, &object);
    if (r == 0)
        informer_upsert(i, object, true);
    return r;
}

static void on_head(struct http_call *call, int status, void *user)
{
    struct informer *i = user;
    (void)call;
    i->status = status;
}

static void on_list_data(struct http_call *call, struct str piece, void *user)
{
    struct informer *i = user;
    if (i->status != 200) {
        i->error_body.cap = 64 * 1024;
        buf_add_str(&i->error_body, piece);
        return;
    }
    (void)callback_begin(i);
    int r = json_items_feed(&i->items, piece, on_list_item, i);
    if (!i->freed && r < 0) {
        http_call_cancel(call);
        i->call = NULL;
        informer_forget_version(i);
        informer_retry(i, "malformed list answer");
    }
    (void)callback_end(i);
}

static void list_complete(struct informer *i)
{
    AUTO_JSON json_t *list = NULL;
    if (json_parse(buf_str(&i->items.skeleton), 0, NULL, &list, NULL) < 0) {
        informer_forget_version(i);
        informer_retry(i, "malformed list answer");
        return;
    }
    const char *next = json_at_str(list, "metadata.continue");
    const char *version = json_at_str(list, "metadata.resourceVersion");
    if (str_empty(version)) { /* not a list, whoever sent it: nothing is gone because of it */
        informer_forget_version(i);
        informer_retry(i, "the answer is not a list");
        return;
    }
    free(i->continue_);
    i->continue_ = str_empty(next) ? NULL : xstrdup(next);
    if (!i->continue_) {
        if (informer_history_went_back(i, version)) {
            informer_go(i);
            return;
        }
        free(i->version);
        i->version = xstrdup(version);
        informer_sweep(i);
        if (i->freed)
            return;
        i->synced = true;
        if (i->ops.on_synced)
            i->ops.on_synced(i->user);
    }
    if (!i->freed)
        informer_go(i);
}

/* An optional kind that is not there: a list of nothing, until it is. */
static void list_absent(struct informer *i)
{
    char words[400];
    informer_forget_version(i);
    if (i->status == 403 && !i->refused && i->ops.on_error) {
        snprintf(words, sizeof(words), "%s: HTTP 403", i->path);
        i->ops.on_error(words, i->user);
    }
    i->refused = i->status == 403;
    i->pass++;
    informer_sweep(i);
    bool first = !i->synced;
    i->synced = true;
    if (first && !i->freed && i->ops.on_synced)
        i->ops.on_synced(i->user);
    if (!i->freed)
        loop_timer_start(i->retry, INFORMER_ABSENT_MS / 2 + rand_below(INFORMER_ABSENT_MS));
}

static void on_list_done(struct http_call *call, int code, const char *text, void *user)
{
    struct informer *i = user;
    (void)call;
    i->call = NULL;
    (void)callback_begin(i);
    if (code == 0 && i->status == 200)
        list_complete(i);
    else if (code == 0 && i->optional && (i->status == 404 || (i->status == 403 && !i->no_refusal)))
        list_absent(i);
    else
        http_trouble(i, code, text);
    (void)callback_end(i);
}

/* ---- watch ---- */

/* What cannot be read, and what the server calls an error, is settled by a fresh list. */
static void on_event(struct informer *i, struct str line)
{
    AUTO_JSON json_t *event = NULL;
    IGNORE_RESULT(parse(i, line, &event)); /* NULL then */
    const char *type = json_at_str(event, "type");
    json_t *object = json_at(event, "object");
    if (!type || !object || streq(type, "ERROR")) {
        informer_forget_version(i);
        return;
    }
    const char *version = json_at_str(object, "metadata.resourceVersion");
    if (version) {
        free(i->version);
        i->version = xstrdup(version);
        i->newest = MAX(i->newest, version_number(version));
    }
    i->backoff_ms = 0;
    i->watch_told = true;
    if (streq(type, "ADDED") || streq(type, "MODIFIED")) {
        informer_upsert(i, object, false);
    } else if (streq(type, "DELETED")) {
        char key[512];
        informer_delete(i, str_from(object_key(object, key)), object);
    }
}

static void on_watch_data(struct http_call *call, struct str piece, void *user)
{
    struct informer *i = user;
    if (i->status != 200) {
        i->error_body.cap = 64 * 1024;
        buf_add_str(&i->error_body, piece);
        return;
    }
    (void)callback_begin(i);
    i->line.cap = INFORMER_EVENT_BYTES_MAX;
    while (piece.n && !i->freed && i->version) {
        struct str rest;
        struct str part = str_cut(piece, '\n', &rest);
        if (!rest.p) {
            buf_add_str(&i->line, part);
            break;
        }
        piece = rest;
        if (i->line.n) {
            buf_add_str(&i->line, part);
            part = buf_str(&i->line);
        }
        on_event(i, part);
        if (!i->freed)
            buf_clear(&i->line);
    }
    if (!i->freed && (!i->version || i->line.failed)) {
        http_call_cancel(call);
        i->call = NULL;
        informer_forget_version(i);
        informer_retry(i, i->line.failed ? "watch event over the size limit" : NULL);
    }
    if (!i->freed && i->line.n == 0)
        buf_done(&i->line);
    (void)callback_end(i);
}

static void on_watch_done(struct http_call *call, int code, const char *text, void *user)
{
    struct informer *i = user;
    (void)call;
    i->call = NULL;
    (void)callback_begin(i);
    bool is_short = !i->watch_told && time_mono_ms() - i->watch_begun_ms < INFORMER_WATCH_SHORT_MS;
    if (code != 0 || i->status != 200)
        http_trouble(i, code, text);
    else if (is_short)
        informer_retry(i, "the server ends watches at once");
    else {
        i->backoff_ms = 0;
        informer_go(i); /* timeoutSeconds is over: go on from where we are */
    }
    (void)callback_end(i);
}

static const struct http_call_ops list_ops = {
    .on_head = on_head, .on_data = on_list_data, .on_done = on_list_done};
static const struct http_call_ops watch_ops = {
    .on_head = on_head, .on_data = on_watch_data, .on_done = on_watch_done};

/* The next call: a list, its next page, or the watch. */
static void informer_go(void *user)
{
    struct informer *i = user;
    AUTO_DONE(buf) struct buf target = {0};
    static const struct http_header accept = {{"Accept", 6}, {"application/json", 16}};
    uint64_t timeout_ms = INFORMER_LIST_TIMEOUT_MS;
    buf_add_cstr(&target, i->path);
    if (i->version) {
        uint64_t watch_s = INFORMER_WATCH_MIN_S + rand_below(INFORMER_WATCH_MIN_S);
        buf_addf(&target,
                 "?watch=true&allowWatchBookmarks=true&resourceVersion=%s&timeoutSeconds=%llu",
                 i->version, (unsigned long long)watch_s);
        timeout_ms = watch_s * 1000 + INFORMER_WATCH_SLACK_MS;
        i->watch_begun_ms = time_mono_ms();
        i->watch_told = false;
    } else {
        buf_addf(&target, "?limit=%d", INFORMER_PAGE);
        if (i->continue_) {
            buf_add_cstr(&target, "&continue=");
            url_encode(str_from(i->continue_), &target);
        } else {
            i->pass++;
        }
    }
    buf_add_cstr(&target, i->query);
    json_items_done(&i->items);
    i->items = (struct json_items){0};
    buf_clear(&i->line);
    buf_clear(&i->error_body);
    i->status = 0;
    struct http_request r = {.method = "GET",
                             .target = buf_cstr(&target),
                             .headers = &accept,
                             .n_headers = 1,
                             .timeout_ms = timeout_ms};
    i->call =
        http_call_start(kube_client_http(i->client), &r, i->version ? &watch_ops : &list_ops, i);
}

struct informer *informer_start(struct kube_client *c, const struct informer_options *o,
                                const struct informer_ops *ops, void *user)
{
    struct informer *i = NEW(struct informer);
    AUTO_DONE(buf) struct buf query = {0};
    i->client = c;
    i->ops = *ops;
    i->user = user;
    i->path = xstrdup(o->path);
    i->lean = o->lean;
    i->cache = o->cache;
    i->optional = o->optional;
    i->no_refusal = o->no_refusal;
    if (o->label_selector) {
        buf_add_cstr(&query, "&labelSelector=");
        url_encode(str_from(o->label_selector), &query);
    }
    if (o->field_selector) {
        buf_add_cstr(&query, "&fieldSelector=");
        url_encode(str_from(o->field_selector), &query);
    }
    i->query = xstrdup(buf_cstr(&query));
    i->retry = loop_timer_new(kube_client_loop(c), informer_go, i);
    informer_go(i);
    return i;
}

void informer_move(struct informer *i, struct kube_client *c)
{
    void *value;
    http_call_cancel(TAKE(i->call));
    i->client = c;
    informer_forget_version(i);
    i->newest = 0;
    for (size_t at = 0; map_next(&i->entries, &at, NULL, &value);) /* numbers of somebody else */
        ((struct informer_entry *)value)->version = 0;
    i->backoff_ms = 0;
    i->refused = false;
    loop_timer_start(i->retry, 0);
}

void informer_free(struct informer *i)
{
    if (!i || i->freed)
        return;
    i->freed = true;
    http_call_cancel(i->call);
    i->call = NULL;
    loop_timer_free(i->retry);
    i->retry = NULL;
    if (i->callbacks == 0)
        informer_really_free(i);
}

bool informer_synced(const struct informer *i)
{
    return i->synced;
}

json_t *informer_find(const struct informer *i, struct str key)
{
    struct informer_entry *e = map_find(&i->entries, key);
    return e ? e->object : NULL;
}

bool informer_next(const struct informer *i, size_t *at, json_t **ret)
{
    void *value;
    if (!map_next(&i->entries, at, NULL, &value))
        return false;
    *ret = ((struct informer_entry *)value)->object;
    return true;
}

size_t informer_count(const struct informer *i)
{
    return i->entries.used;
}
