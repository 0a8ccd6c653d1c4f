/* GET and LIST. A list is the concatenation of stored bytes: no object is decoded, whatever the
 * size.
 *
 * Pages: `continue` is base64url of {v: version of the first page, s: "ns/name" of the last item}.
 * Every page shows the state of that version (api_past.c); a token older than the event ring is
 * answered 410 Expired, as the API promises. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "codec/base64.h"
#include "codec/url.h"
#include "lab/apiserver/api_priv.h"

void api_get(struct api_request *r)
{
    struct object *o = store_find(r->server->store, r->kind_index, r->ns, r->name);
    if (o)
        api_reply_stored(r, 200, o);
    else
        api_not_found(r, r->name);
}

struct page {
    uint64_t version;
    char *last_ns;
    char *last_name;
};

static void page_done(struct page *p)
{
    free(p->last_ns);
    free(p->last_name);
}

static int page_parse(const char *token, struct page *ret)
{
    AUTO_DONE(buf) struct buf b = {0};
    AUTO_JSON json_t *j = NULL;
    if (base64url_decode(str_from(token), &b) < 0 ||
        json_parse(buf_str(&b), 4096, NULL, &j, NULL) < 0)
        return -EINVAL;
    const char *ns = json_key_str(j, "n"), *name = json_key_str(j, "s");
    int64_t version = json_at_int(j, "v", -1);
    if (!ns || !name || version < 0)
        return -EINVAL;
    *ret = (struct page){(uint64_t)version, xstrdup(ns), xstrdup(name)};
    return 0;
}

static void page_format(struct buf *b, uint64_t version, const struct object *last)
{
    AUTO_DONE(buf) struct buf text = {0};
    buf_addf(&text, "{\"v\":%" PRIu64 ",\"n\":\"%s\",\"s\":\"%s\"}", version, last->ns, last->name);
    base64url_encode(buf_str(&text), b);
}

bool api_version_reached(struct api_request *r, uint64_t version)
{
    uint64_t now = store_version(r->server->store);
    if (version <= now)
        return true;
    AUTO_JSON json_t *details =
        json_pack("{s:[{s:s,s:s}],s:i}", "causes", "reason", "ResourceVersionTooLarge", "message",
                  "Too large resource version", "retryAfterSeconds", 1);
    api_status(r, 504, "Timeout", details,
               "Too large resource version: %" PRIu64 ", current: %" PRIu64, version, now);
    return false;
}

/* Checks resourceVersion and resourceVersionMatch; false: answered. */
static bool check_version(struct api_request *r)
{
    AUTO_CHARS char *version = url_param(r->query, "resourceVersion");
    AUTO_CHARS char *match = url_param(r->query, "resourceVersionMatch");
    uint64_t v = 0;
    if (!str_empty(version) && str_to_u64(str_from(version), &v) < 0) {
        api_status(r, 400, "BadRequest", NULL, "invalid resource version \"%s\"", version);
        return false;
    }
    if (!api_version_reached(r, v))
        return false;
    if (streq(match, "Exact") && v < store_oldest_version(r->server->store)) {
        api_status(r, 410, "Expired", NULL,
                   "The resourceVersion for the provided list is too old.");
        return false;
    }
    return true;
}

/* False: answered. */
static bool page_is_consistent(struct api_request *r, const struct page *page)
{
    if (page->version > store_version(r->server->store)) {
        api_status(r, 400, "BadRequest", NULL,
                   "continue key is not valid: it is newer than this server");
        return false;
    }
    if (page->version >= store_oldest_version(r->server->store))
        return true;
    api_status(r, 410, "Expired", NULL,
               "The provided continue parameter is too old to display a consistent list result. "
               "You can start a new list without the continue parameter.");
    return false;
}

static void list_from(struct api_request *r, const struct api_selection *sel, struct api_past *past,
                      uint64_t version, uint64_t limit)
{
    AUTO_DONE(buf) struct buf b = {0};
    AUTO_DONE(buf) struct buf token = {0};
    struct object *last = NULL;
    uint64_t shown = 0, remaining = 0;
    bool exact = !sel->labels && !sel->fields;
    api_view_list_begin(&b, r->view, r->kind);
    for (struct object *o; (o = api_past_next(past));) {
        if (!api_selection_matches(sel, o)) {
            if (*sel->ns && strcmp(o->ns, sel->ns) > 0)
                break;
            continue;
        }
        if (limit && shown == limit) {
            if (!token.n)
                page_format(&token, version, last);
            remaining++;
            if (!exact)
                break; /* the count is not promised with selectors, and would cost the whole scan */
            continue;
        }
        api_view_list_item(&b, r->view, r->kind, o, shown == 0);
        shown++;
        last = o;
    }
    api_view_list_end(&b, r->view, version, token.n ? buf_cstr(&token) : NULL,
                      exact ? remaining : 0);
    if (b.failed)
        api_status(r, 500, "InternalError", NULL, "the list does not fit into memory");
    else
        api_reply_json(r, 200, buf_str(&b));
}

/* Where the list begins: behind the last item of the page before, or at the namespace. */
static void list_seek(struct api_request *r, struct api_past *past, const struct page *page)
{
    if (!page->last_name) {
        api_past_seek(past, r->ns, "");
        return;
    }
    AUTO_CHARS char *next = xasprintf("%s\x01", page->last_name); /* no name lies between */
    api_past_seek(past, page->last_ns, next);
}

/* The version the list shows; false: answered. */
static bool choose_version(struct api_request *r, const char *token, struct page *page,
                           uint64_t *ret)
{
    AUTO_CHARS char *version = url_param(r->query, "resourceVersion");
    AUTO_CHARS char *match = url_param(r->query, "resourceVersionMatch");
    *ret = store_version(r->server->store);
    if (str_empty(token)) {
        if (!check_version(r))
            return false;
        if (streq(match, "Exact"))
            return str_to_u64(str_from(version), ret) == 0;
        return true;
    }
    if (!str_empty(version) && !streq(version, "0")) {
        api_status(r, 400, "BadRequest", NULL,
                   "specifying resource version is not allowed when using continue");
        return false;
    }
    if (page_parse(token, page) < 0) {
        api_status(r, 400, "BadRequest", NULL,
                   "continue key is not valid: it did not come from this server");
        return false;
    }
    *ret = page->version;
    return page_is_consistent(r, page);
}

/* 0: no limit. The first page of whatever version there is (0) comes whole, as from a cache. False:
 * answered. */
static bool read_limit(struct api_request *r, const char *token, uint64_t *ret)
{
    AUTO_CHARS char *text = url_param(r->query, "limit");
    AUTO_CHARS char *version = url_param(r->query, "resourceVersion");
    int64_t limit = 0;
    if (!str_empty(text) && str_to_i64(str_from(text), &limit) < 0) {
        api_status(r, 400, "BadRequest", NULL, "limit: \"%.100s\" is not a number", text);
        return false;
    }
    *ret = limit < 0 || (streq(version, "0") && str_empty(token)) ? 0 : (uint64_t)limit;
    return true;
}

void api_list(struct api_request *r)
{
    struct api_selection sel;
    struct err err = {0};
    AUTO_CHARS char *token = url_param(r->query, "continue");
    uint64_t limit, version;
    AUTO_DONE(page) struct page page = {0};
    if (!api_options_check(r, false))
        return;
    if (!read_limit(r, token, &limit) || !choose_version(r, token, &page, &version))
        return;
    if (api_selection_parse(r, &sel, &err) < 0) {
        api_status(r, 400, "BadRequest", NULL, "%s", err_text(&err));
        return;
    }
    struct api_past past;
    api_past_init(&past, r->server->store, r->kind_index, version);
    list_seek(r, &past, &page);
    list_from(r, &sel, &past, version, limit);
    api_past_done(&past);
    api_selection_done(&sel);
}
