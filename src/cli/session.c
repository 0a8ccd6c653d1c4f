/* Connection, requests, discovery: what the commands share. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "codec/url.h"
#include "codec/yaml.h"

int cli_session_open(struct cli_session *s)
{
    struct err err = {0};
    if (kube_config_load(s->kubeconfig, s->context, &s->config, &err) < 0)
        return program_fail(EXIT_FAILED, "fairlead lab up starts a cluster and says what to export",
                            "%s", err_text(&err));
    if (loop_new(&s->loop, &err) < 0 ||
        kube_client_new(s->loop, s->config, "fairlead/" FAIRLEAD_VERSION, &s->client, &err) < 0)
        return program_fail(EXIT_FAILED, NULL, "%s", err_text(&err));
    if (!s->namespace_)
        s->namespace_ = s->config->namespace_;
    return -1;
}

void cli_session_close(struct cli_session *s)
{
    kube_client_free(s->client);
    kube_config_free(s->config);
    if (s->loop)
        loop_turn(s->loop, 0);
    loop_free(s->loop);
}

int cli_unreachable(const struct cli_session *s, const struct err *err)
{
    return program_fail(EXIT_UNREACHABLE, "is the cluster up? fairlead lab status",
                        "the server %s cannot be reached: %s", s->config->server, err_text(err));
}

struct waiter {
    bool done;
    int code;
    struct cli_answer *answer;
    struct err *err;
};

static void on_done(struct http_call *call, int code, const char *text, void *user)
{
    struct waiter *w = user;
    w->done = true;
    w->code = code;
    if (code < 0) {
        err_set(w->err, code, NULL, "%s", text);
        return;
    }
    w->answer->status = http_call_status(call);
    buf_add_str(&w->answer->body, http_call_body(call));
}

int cli_request(struct cli_session *s, const char *method, const char *target, const char *accept,
                const char *content_type, struct str body, struct cli_answer *ret,
                struct err *reterr)
{
    static const struct http_call_ops ops = {.on_done = on_done};
    struct http_header headers[2] = {
        {STR("Accept"), str_from(accept ? accept : "application/json")},
        {STR("Content-Type"), str_from(content_type ? content_type : "application/json")}};
    struct http_request r = {.method = method,
                             .target = target,
                             .headers = headers,
                             .n_headers = body.n ? 2 : 1,
                             .body = body,
                             .timeout_ms = 30000};
    struct waiter w = {.answer = ret, .err = reterr};
    *ret = (struct cli_answer){0};
    (void)http_call_start(kube_client_http(s->client), &r, &ops, &w);
    while (!w.done)
        loop_turn(s->loop, -1);
    return w.code;
}

int cli_server_error(const struct cli_answer *a)
{
    AUTO_JSON json_t *status = NULL;
    if (json_parse(buf_str(&a->body), 0, NULL, &status, NULL) == 0 &&
        json_key_str(status, "message")) {
        const char *reason = json_key_str(status, "reason");
        fprintf(stderr, "Error from server%s%s%s: %s\n", reason ? " (" : "", reason ? reason : "",
                reason ? ")" : "", json_key_str(status, "message"));
    } else {
        fprintf(stderr, "Error from server: HTTP %d\n", a->status);
    }
    return EXIT_FAILED;
}

/* ---- discovery ---- */

static bool names_match(const json_t *item, const char *word)
{
    json_t *n;
    size_t i;
    const char *kind = json_key_str(item, "kind");
    if (streq(json_key_str(item, "name"), word) ||
        (*word && streq(json_key_str(item, "singularName"), word)))
        return true;
    if (kind && str_eq_nocase(str_from(kind), str_from(word)))
        return true;
    json_array_foreach(json_object_get(item, "shortNames"), i,
                       n) if (streq(json_string_value(n), word)) return true;
    return false;
}

/* Looks through one group version; 1 = found. */
static int search_group(struct cli_session *s, const char *group_version, const char *word,
                        bool by_kind, struct cli_resource *ret, struct err *reterr)
{
    AUTO_CHARS char *path =
        xasprintf("%s/%s", strchr(group_version, '/') ? "/apis" : "/api", group_version);
    struct kube_reply reply;
    json_t *item;
    size_t i;
    int found = 0, r = kube_call_wait(s->client, "GET", path, NULL, NULL, &reply, reterr);
    json_array_foreach(json_at(reply.object, "resources"), i, item)
    {
        const char *name = json_key_str(item, "name");
        if (found || !name || strchr(name, '/') ||
            (by_kind ? !streq(json_key_str(item, "kind"), word) : !names_match(item, word)))
            continue;
        snprintf(ret->plural, sizeof(ret->plural), "%s", name);
        snprintf(ret->kind, sizeof(ret->kind), "%s", json_key_str(item, "kind"));
        snprintf(ret->group_version, sizeof(ret->group_version), "%s", group_version);
        ret->namespaced = json_is_true(json_object_get(item, "namespaced"));
        found = 1;
    }
    kube_reply_done(&reply);
    return r < 0 ? r : found;
}

int cli_resource_find(struct cli_session *s, const char *word, struct cli_resource *ret,
                      struct err *reterr)
{
    struct kube_reply groups;
    struct str group, plain = str_cut(str_from(word), '.', &group);
    AUTO_CHARS char *name = str_dup(plain);
    json_t *g;
    size_t i;
    int r = group.p ? 0 : search_group(s, "v1", name, false, ret, reterr);
    if (r != 0)
        return r < 0 ? r : 0;
    r = kube_call_wait(s->client, "GET", "/apis", NULL, NULL, &groups, reterr);
    int found = 0;
    json_array_foreach(json_at(groups.object, "groups"), i, g)
    {
        if (found || r < 0 || (group.p && !str_is(group, json_key_str(g, "name"))))
            continue;
        found = search_group(s, json_at_str(g, "preferredVersion.groupVersion"), name, false, ret,
                             reterr);
    }
    kube_reply_done(&groups);
    if (r < 0 || found < 0)
        return r < 0 ? r : found;
    return found ? 0
                 : err_set(reterr, -ENOENT, NULL, "the server doesn't have a resource type \"%s\"",
                           word);
}

int cli_resource_of_kind(struct cli_session *s, const char *api_version, const char *kind,
                         struct cli_resource *ret, struct err *reterr)
{
    int r = search_group(s, api_version, kind, true, ret, reterr);
    if (r == 0)
        return err_set(reterr, -ENOENT, NULL, "no matches for kind \"%s\" in version \"%s\"", kind,
                       api_version);
    return r < 0 ? r : 0;
}

char *cli_resource_path(const struct cli_resource *r, const char *ns, const char *name)
{
    AUTO_DONE(buf) struct buf b = {0};
    buf_addf(&b, "%s/%s", strchr(r->group_version, '/') ? "/apis" : "/api", r->group_version);
    if (r->namespaced && ns) {
        buf_add_cstr(&b, "/namespaces/");
        url_encode(str_from(ns), &b);
    }
    buf_addf(&b, "/%s", r->plural);
    if (name) {
        buf_add_char(&b, '/');
        url_encode(str_from(name), &b);
    }
    return buf_take_cstr(&b);
}

/* ---- manifests ---- */

static int read_one(const char *path, json_t *into, struct err *reterr)
{
    AUTO_DONE(buf) struct buf b = {.cap = 64 * 1024 * 1024};
    AUTO_JSON json_t *documents = NULL;
    char piece[8192];
    size_t n;
    FILE *f = streq(path, "-") ? stdin : fopen(path, "re");
    if (!f)
        return err_set(reterr, -errno, NULL, "%s: %s", path, strerror(errno));
    while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
        buf_add(&b, piece, n);
    if (f != stdin)
        fclose(f);
    int r = yaml_parse_all(buf_str(&b), &documents, reterr);
    if (r < 0) {
        err_prefix(reterr, NULL, path);
        return r;
    }
    json_array_extend(into, documents);
    return 0;
}

static int is_manifest(const struct dirent *e)
{
    struct str name = str_from(e->d_name);
    return str_ends(name, STR(".yaml")) || str_ends(name, STR(".yml")) ||
           str_ends(name, STR(".json"));
}

int cli_read_manifests(const char *path, json_t *into, struct err *reterr)
{
    struct stat st;
    struct dirent **entries;
    if (streq(path, "-") || stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
        return read_one(path, into, reterr);
    int n = scandir(path, &entries, is_manifest, alphasort),
        r = n < 0 ? err_set(reterr, -errno, NULL, "%s: %s", path, strerror(errno)) : 0;
    for (int i = 0; i < n; i++) {
        AUTO_CHARS char *file = xasprintf("%s/%s", path, entries[i]->d_name);
        r = r < 0 ? r : read_one(file, into, reterr);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
    return r;
}
