/* Load for the API server's benchmark: makes objects, lists them, opens watchers, and changes
 * objects at a rate, all on one loop over the project's own client. Prints key=value lines;
 * bench/apiserver/run.py makes the table. */
#include <stdio.h>
#include <stdlib.h>

#include "base/program.h"
#include "base/time.h"
#include "base/vec.h"
#include "kube/client.h"

struct load {
    struct loop *loop;
    struct kube_client *client;
    int64_t objects, watchers, rate, seconds;
    int64_t made, in_flight, changed, events;
    uint64_t bytes;
    int64_t open_watchers;
};

static json_t *config_map(int64_t i, int64_t value)
{
    char name[32], text[32];
    snprintf(name, sizeof(name), "bench-%lld", (long long)i);
    snprintf(text, sizeof(text), "%lld", (long long)value);
    return json_pack("{s:s,s:s,s:{s:s,s:{s:s,s:s}},s:{s:s,s:s}}", "apiVersion", "v1", "kind",
                     "ConfigMap", "metadata", "name", name, "labels", "app", "bench", "tier", "a",
                     "data", "value", text, "filler",
                     "01234567890123456789012345678901234567890123456789012345678901234567890123456"
                     "78901234567890123456789"
                     "01234567890123456789012345678901234567890123456789012345678901234567890123456"
                     "78901234567890123456789");
}

static void on_made(const struct kube_result *r, void *user)
{
    struct load *l = user;
    l->in_flight--;
    l->made += kube_ok(r);
}

static void make_objects(struct load *l)
{
    int64_t next = 0;
    uint64_t began = time_mono_us();
    while (l->made < l->objects) {
        while (next < l->objects && l->in_flight < 4) {
            AUTO_JSON json_t *o = config_map(next++, 0);
            (void)kube_call(l->client, "POST", "/api/v1/namespaces/default/configmaps", NULL, o,
                            on_made, l);
            l->in_flight++;
        }
        loop_turn(l->loop, -1);
    }
    printf("made=%lld\ncreates_per_s=%.0f\n", (long long)l->made,
           (double)l->objects * 1e6 / (double)(time_mono_us() - began));
}

/* ---- list ---- */

struct listing {
    bool done;
    size_t bytes;
};

static void on_list_data(struct http_call *call, struct str piece, void *user)
{
    (void)call;
    ((struct listing *)user)->bytes += piece.n;
}

static void on_list_done(struct http_call *call, int code, const char *text, void *user)
{
    (void)call;
    (void)code;
    (void)text;
    ((struct listing *)user)->done = true;
}

static void list_once(struct load *l, const char *what, const char *accept_text)
{
    static const struct http_call_ops ops = {.on_data = on_list_data, .on_done = on_list_done};
    struct http_header accept = {STR("Accept"), str_from(accept_text)};
    struct http_request r = {.method = "GET",
                             .target = "/api/v1/namespaces/default/configmaps",
                             .headers = &accept,
                             .n_headers = 1};
    struct listing listing = {0};
    uint64_t began = time_mono_us();
    (void)http_call_start(kube_client_http(l->client), &r, &ops, &listing);
    while (!listing.done)
        loop_turn(l->loop, -1);
    printf("%s_ms=%.2f\n%s_bytes=%zu\n", what, (double)(time_mono_us() - began) / 1000, what,
           listing.bytes);
}

/* ---- watch ---- */

static void on_watch_head(struct http_call *call, int status, void *user)
{
    (void)call;
    ((struct load *)user)->open_watchers += status == 200;
}

static void on_watch_data(struct http_call *call, struct str piece, void *user)
{
    struct load *l = user;
    (void)call;
    l->bytes += piece.n;
    for (size_t i = 0; i < piece.n; i++)
        l->events += piece.p[i] == '\n';
}

static void on_watch_done(struct http_call *call, int code, const char *text, void *user)
{
    (void)call;
    (void)user;
    fprintf(stderr, "a watch ended: %d %s\n", code, text);
    _exit(EXIT_FAILED);
}

static void on_version(const struct kube_result *r, void *user)
{
    const char *version = kube_ok(r) ? json_at_str(r->object, "metadata.resourceVersion") : NULL;
    snprintf(user, 32, "%s", version ? version : "none");
}

static void open_watchers(struct load *l)
{
    static const struct http_call_ops ops = {
        .on_head = on_watch_head, .on_data = on_watch_data, .on_done = on_watch_done};
    char version[32] = "", target[160];
    struct http_request r = {.method = "GET", .target = target};
    (void)kube_call(l->client, "GET", "/api/v1/namespaces/default/configmaps?limit=1", NULL, NULL,
                    on_version, version);
    while (!version[0])
        loop_turn(l->loop, -1);
    snprintf(target, sizeof(target),
             "/api/v1/namespaces/default/configmaps?watch=1&resourceVersion=%s", version);
    for (int64_t i = 0; i < l->watchers; i++)
        (void)http_call_start(kube_client_http(l->client), &r, &ops, l);
    while (l->open_watchers < l->watchers)
        loop_turn(l->loop, -1);
}

static void on_changed(const struct kube_result *r, void *user)
{
    struct load *l = user;
    l->in_flight--;
    l->changed += kube_ok(r);
}

static void change_objects(struct load *l)
{
    uint64_t began = time_mono_us();
    /* No round writes what an earlier one wrote: that would be no change. */
    int64_t sent = 0, total = l->rate * l->seconds, first = (int64_t)(began % 1000000000) + 1;
    while (l->changed < total || l->events < total * l->watchers) {
        int64_t due = (int64_t)((double)(time_mono_us() - began) / 1e6 * (double)l->rate);
        while (sent < total && sent < due && l->in_flight < 8) {
            char path[100];
            AUTO_JSON json_t *o = config_map(sent % l->objects, first + sent);
            snprintf(path, sizeof(path), "/api/v1/namespaces/default/configmaps/bench-%lld",
                     (long long)(sent % l->objects));
            (void)kube_call(l->client, "PUT", path, NULL, o, on_changed, l);
            l->in_flight++;
            sent++;
        }
        loop_turn(l->loop, 1);
        if (time_mono_us() - began > (uint64_t)(l->seconds * 3 + 5) * 1000000)
            break;
    }
    double seconds = (double)(time_mono_us() - began) / 1e6;
    printf("changes=%lld\nevents=%lld\nevents_expected=%lld\nseconds=%.2f\nchanges_per_s=%.0f\n",
           (long long)l->changed, (long long)l->events, (long long)(total * l->watchers), seconds,
           (double)l->changed / seconds);
}

int main(int argc, char **argv)
{
    struct load l = {.objects = 10000, .watchers = 100, .rate = 1000, .seconds = 10};
    const char *kubeconfig = NULL, *phase = "";
    struct arg args[] = {
        {"kubeconfig", 0, ARG_STRING, &kubeconfig, "FILE", "the server", 0, 0, false},
        {"objects", 0, ARG_INT, &l.objects, "N", "objects to make", 1, 1000000, false},
        {"watchers", 0, ARG_INT, &l.watchers, "N", "watchers to open", 0, 10000, false},
        {"rate", 0, ARG_INT, &l.rate, "N", "changes a second", 1, 100000, false},
        {"seconds", 0, ARG_INT, &l.seconds, "N", "for how long", 1, 600, false},
        {"phase", 0, ARG_STRING, &phase, "P", "make, list, watch (watchers only, idle), change", 0,
         0, false},
        {.name = NULL},
    };
    const struct program p = {
        "load", "load for the API server's benchmark", "--kubeconfig F", NULL, args, false};
    struct arg_list rest = {0};
    struct err err = {0};
    struct kube_config *config = NULL;
    int code = program_start(&p, argc, argv, &rest, NULL);
    if (code >= 0)
        return code;
    if (kube_config_load(kubeconfig, NULL, &config, &err) < 0 || loop_new(&l.loop, &err) < 0 ||
        kube_client_new(l.loop, config, "bench", &l.client, &err) < 0)
        return program_fail(EXIT_FAILED, NULL, "%s", err_text(&err));
    if (streq(phase, "make")) {
        make_objects(&l);
    } else if (streq(phase, "list")) {
        list_once(&l, "warm", "application/json"); /* connects */
        list_once(&l, "list", "application/json");
        list_once(&l, "table", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json");
    } else if (streq(phase, "watch")) {
        open_watchers(&l);
        printf("watchers=%lld\n", (long long)l.open_watchers);
        fflush(stdout);
        uint64_t until = time_mono_ms() + (uint64_t)l.seconds * 1000;
        while (time_mono_ms() < until)
            loop_turn(l.loop, 100);
    } else if (streq(phase, "change")) {
        open_watchers(&l);
        change_objects(&l);
    } else {
        return program_fail(EXIT_USAGE_ERROR, NULL, "--phase %s: make, list, watch or change",
                            phase);
    }
    fflush(stdout);
    _exit(EXIT_OK); /* a benchmark's hundred open watches need no farewell */
}
