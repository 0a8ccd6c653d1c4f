/* A TokenReview, then a SubjectAccessReview of whom it names; what came of both is kept for a
 * moment.
 *
 * Owns checks under way and what is kept. Knows nothing of HTTP, nor of what is looked at. */
#include "control/viewers.h"

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/time.h"
#include "codec/json.h"
#include "net/digest.h"

enum {
    TOKEN_BYTES_MAX = 16384,
    NAMESPACE_BYTES_MAX = 63,
    KEPT_MAX = 1024,
    KEPT_MS = 10 * 1000,
    CHECKS_MAX = 64,
    SECOND_MAX = 200,
};

#define HOW                                                                                        \
    "show a token of the audience " VIEWERS_AUDIENCE ", such as kubectl create token "             \
    "fairlead-viewer -n fairlead-system --audience " VIEWERS_AUDIENCE                              \
    ", as authorization: Bearer TOKEN"

struct kept {
    uint64_t until_ms;
    int status;
    char *text;
};

struct viewers {
    struct kube_client *client;
    struct map kept; /* digest, verb, resource, namespace -> struct kept */
    size_t checks;
    uint64_t second, in_second;
    struct viewers_stats stats;
};

struct viewers_check {
    struct viewers *viewers;
    struct kube_call *call;
    struct buf key;
    const char *verb, *resource;
    char *ns, *name; /* name: NULL: not known yet */
    viewers_fn *fn;
    void *user;
};

/* ---- what is kept ---- */

static void kept_free(struct kept *k)
{
    free(k->text);
    free(k);
}

/* Those that are over, or all: there is no room. */
static void sweep(struct viewers *v, uint64_t now_ms, bool all)
{
    struct str key;
    void *p;
    for (size_t at = 0; map_next(&v->kept, &at, &key, &p);)
        if (all || ((const struct kept *)p)->until_ms <= now_ms) {
            map_remove(&v->kept, key);
            kept_free(p);
        }
}

static void keep(struct viewers *v, struct str key, int status, const char *text)
{
    uint64_t now_ms = time_mono_ms();
    if (v->kept.used >= KEPT_MAX)
        sweep(v, now_ms, false);
    if (v->kept.used >= KEPT_MAX)
        sweep(v, now_ms, true);
    struct kept *k = NEW(struct kept);
    k->until_ms = now_ms + KEPT_MS;
    k->status = status;
    k->text = xstrdup(text);
    struct kept *before = map_put(&v->kept, key, k);
    if (before)
        kept_free(before);
}

static void count(struct viewers *v, int status)
{
    v->stats.allowed += status == 200;
    v->stats.unknown += status == 401;
    v->stats.forbidden += status == 403;
    v->stats.busy += status == 429 || status == 503;
}

/* ---- the API server's answers ---- */

static void check_free(struct viewers_check *k)
{
    k->viewers->checks--;
    buf_done(&k->key);
    free(k->ns);
    free(k->name);
    free(k);
}

static void answer(struct viewers_check *k, int status, const char *text)
{
    viewers_fn *fn = k->fn;
    void *user = k->user;
    count(k->viewers, status);
    if (k->name && status != 503) /* strangers push nobody out */
        keep(k->viewers, buf_str(&k->key), status, text);
    if (status != 200)
        log_info("somebody may not look", kv_s("who", k->name ? k->name : "?"),
                 kv_s("resource", k->resource), kv_i("status", status));
    check_free(k);
    fn(status, text, user);
}

static void refuse(struct viewers_check *k)
{
    AUTO_CHARS char *where = *k->ns ? xasprintf("namespace %s", k->ns) : xstrdup("all namespaces");
    AUTO_CHARS char *text = xasprintf(
        "%s may not %s %s." VIEWERS_GROUP
        " in %s: an administrator grants it by a %s to the ClusterRole %s (docs/mesh.md)",
        k->name, k->verb, k->resource, where, *k->ns ? "RoleBinding there" : "ClusterRoleBinding",
        *k->ns ? "fairlead-traffic-viewer" : "fairlead-viewer");
    answer(k, 403, text);
}

static void on_access(const struct kube_result *r, void *user)
{
    struct viewers_check *k = user;
    const json_t *status = r->object ? json_object_get(r->object, "status") : NULL;
    k->call = NULL;
    if (!kube_ok(r))
        answer(k, 503, "the API server could not be asked who may look: try again");
    else if (json_is_true(json_object_get(status, "allowed")) &&
             !json_is_true(json_object_get(status, "denied")))
        answer(k, 200, "");
    else
        refuse(k);
}

static void ask_access(struct viewers_check *k, json_t *who)
{
    AUTO_JSON json_t *review =
        json_pack("{s:s,s:s,s:{s:s,s:{s:s,s:s,s:s}}}", "apiVersion", "authorization.k8s.io/v1",
                  "kind", "SubjectAccessReview", "spec", "user", k->name, "resourceAttributes",
                  "group", VIEWERS_GROUP, "resource", k->resource, "verb", k->verb);
    static const char *const more[] = {"groups", "uid", "extra"};
    json_t *spec = json_object_get(review, "spec");
    for (size_t i = 0; i < ARRAY_LEN(more); i++)
        if (json_object_get(who, more[i]))
            json_object_set(spec, more[i], json_object_get(who, more[i]));
    if (*k->ns)
        json_object_set_new(json_object_get(spec, "resourceAttributes"), "namespace",
                            json_string(k->ns));
    k->call =
        kube_call(k->viewers->client, "POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews",
                  NULL, review, on_access, k);
}

static void on_token(const struct kube_result *r, void *user)
{
    struct viewers_check *k = user;
    const json_t *status = r->object ? json_object_get(r->object, "status") : NULL;
    const char *name = json_at_str(status, "user.username");
    json_t *audience;
    size_t i;
    bool meant = false;
    k->call = NULL;
    if (!kube_ok(r)) {
        answer(k, 503, "the API server could not be asked about the token: try again");
        return;
    }
    json_array_foreach(json_object_get(status, "audiences"), i, audience) meant =
        meant || streq(json_string_value(audience), VIEWERS_AUDIENCE);
    if (!json_is_true(json_object_get(status, "authenticated")) || !meant || str_empty(name)) {
        answer(k, 401, "the token is not valid, or not meant for " VIEWERS_AUDIENCE ": " HOW);
        return;
    }
    k->name = xstrdup(name);
    ask_access(k, json_object_get(status, "user"));
}

/* ---- asking ---- */

static bool is_too_much(struct viewers *v)
{
    uint64_t second = time_mono_ms() / 1000;
    v->in_second = v->second == second ? v->in_second + 1 : 1;
    v->second = second;
    return v->checks >= CHECKS_MAX || v->in_second > SECOND_MAX;
}

static void make_key(struct str token, const struct view *what, struct buf *ret)
{
    uint8_t digest[SHA256_BYTES];
    sha256(token, digest);
    buf_add(ret, digest, sizeof(digest));
    buf_addf(ret, "%s %s " STR_FMT, what->verb, what->resource, STR_ARG(what->ns));
}

struct viewers_check *viewers_ask(struct viewers *v, struct str authorization,
                                  const struct view *what, viewers_fn *fn, void *user)
{
    AUTO_DONE(buf) struct buf key = {0};
    bool bearer = authorization.p && authorization.n > 7 && authorization.n < TOKEN_BYTES_MAX &&
                  str_eq_nocase(str_sub(authorization, 0, 7), STR("bearer "));
    struct str token = bearer ? str_trim(str_sub(authorization, 7, authorization.n)) : STR("");
    if (!token.n || what->ns.n > NAMESPACE_BYTES_MAX || !json_is_utf8(token) ||
        !json_is_utf8(what->ns)) {
        count(v, 401);
        fn(401, "who asks? " HOW, user);
        return NULL;
    }
    make_key(token, what, &key);
    const struct kept *kept = map_find(&v->kept, buf_str(&key));
    if (kept && kept->until_ms > time_mono_ms()) {
        AUTO_CHARS char *text = xstrdup(kept->text);
        count(v, kept->status);
        fn(kept->status, text, user);
        return NULL;
    }
    if (is_too_much(v)) {
        count(v, 429);
        fn(429, "too many ask: try again", user);
        return NULL;
    }
    struct viewers_check *k = NEW(struct viewers_check);
    AUTO_CHARS char *text = str_dup(token);
    AUTO_JSON json_t *review =
        json_pack("{s:s,s:s,s:{s:s,s:[s]}}", "apiVersion", "authentication.k8s.io/v1", "kind",
                  "TokenReview", "spec", "token", text, "audiences", VIEWERS_AUDIENCE);
    *k = (struct viewers_check){.viewers = v,
                                .key = key,
                                .verb = what->verb,
                                .resource = what->resource,
                                .ns = str_dup(what->ns),
                                .fn = fn,
                                .user = user};
    key = (struct buf){0};
    v->checks++;
    k->call = kube_call(v->client, "POST", "/apis/authentication.k8s.io/v1/tokenreviews", NULL,
                        review, on_token, k);
    explicit_bzero(text, strlen(text));
    return k;
}

void viewers_cancel(struct viewers_check *k)
{
    if (!k)
        return;
    if (k->call)
        kube_call_cancel(k->call);
    check_free(k);
}

/* ---- lifetime ---- */

struct viewers *viewers_new(struct kube_client *c)
{
    struct viewers *v = NEW(struct viewers);
    v->client = c;
    return v;
}

void viewers_free(struct viewers *v)
{
    if (!v)
        return;
    ASSERT(!v->checks);
    sweep(v, 0, true);
    map_done(&v->kept);
    free(v);
}

struct viewers_stats viewers_get_stats(const struct viewers *v)
{
    return v->stats;
}
