/* fairlead tap: requests of some pods as they come, told by their proxies through the control
 * plane. Each of its replicas is asked: a proxy is connected to one of them. */
#include <stdio.h>

#include "cli/cli_output.h"
#include "cli/pod_choice.h"
#include "cli/traffic_source.h"
#include "cli/view_token.h"
#include "codec/url.h"

enum { LINE_BYTES_MAX = 64 * 1024, AGAIN_MS = 1000 };

struct tap_args {
    struct cli_session session;
    struct arg_list words, headers;
    const char *output, *control_namespace, *method, *path, *status, *to;
    int64_t rate, count;
    uint64_t timeout_ms;
};

struct tap {
    const struct tap_args *args;
    struct loop_timer *timer;
    int64_t left; /* to be shown; negative: all */
    size_t streams;
    bool over, late;
    int code; /* of what was refused; -1: nothing */
};

struct stream {
    struct tap *tap;
    struct loop_timer *again;
    struct http_call *call; /* NULL: it is to be made again */
    char *target;
    struct buf part; /* of a line */
    int status;
    bool silent; /* none of the pods is connected there, the last time */
};

/* ---- what is shown ---- */

static void print_text(const json_t *j)
{
    char took[16];
    const char *flags = json_key_str(j, "flags"), *key;
    json_t *value;
    printf("%-8s %s.%s -> %s.%s  %s %s%s  %d%s%s  %s  %s", json_key_str(j, "direction"),
           json_at_str(j, "source.workload"), json_at_str(j, "source.namespace"),
           json_at_str(j, "destination.workload"), json_at_str(j, "destination.namespace"),
           json_key_str(j, "method"), json_key_str(j, "authority"), json_key_str(j, "path"),
           (int)json_at_int(j, "status", 0), str_empty(flags) ? "" : " ",
           str_empty(flags) ? "" : flags,
           traffic_format_ms(json_real_value(json_object_get(j, "milliseconds")), took),
           streq(json_key_str(j, "security"), "mutual_tls") ? "mutual TLS"
           : streq(json_key_str(j, "security"), "none")     ? "plain"
                                                            : "unknown");
    json_object_foreach(json_object_get(j, "headers"), key, value)
        printf("  %s=%s", key, json_string_value(value));
    putchar('\n');
}

/* Whatever a stranger has put into it: control characters do not go to a terminal. */
static void hide_controls(json_t *j)
{
    const char *key;
    json_t *value;
    void *next;
    json_object_foreach_safe(j, next, key, value)
    {
        if (json_is_object(value)) {
            hide_controls(value);
            continue;
        }
        AUTO_CHARS char *text = json_is_string(value) ? xstrdup(json_string_value(value)) : NULL;
        for (char *c = text; c && *c; c++)
            if ((unsigned char)*c < 32 || *c == 127)
                *c = '?';
        if (text)
            json_object_set_new(j, key, json_string(text));
    }
}

static void show(struct stream *s, struct str line)
{
    struct tap *tap = s->tap;
    AUTO_JSON json_t *j = NULL;
    if (json_parse(line, 0, NULL, &j, NULL) < 0 || !json_is_object(j) || tap->over)
        return;
    if (json_object_get(j, "proxies")) {
        s->silent = json_at_int(j, "proxies", 0) == 0;
        return;
    }
    if (json_object_get(j, "dropped")) {
        fprintf(stderr, "%s: %lld requests more than are shown\n", json_key_str(j, "proxy"),
                (long long)json_at_int(j, "dropped", 0));
        return;
    }
    if (streq(tap->args->output, "json")) {
        printf(STR_FMT "\n", STR_ARG(line));
    } else {
        hide_controls(j);
        print_text(j);
    }
    fflush(stdout);
    if (tap->left > 0 && --tap->left == 0)
        tap->over = true;
}

/* ---- streams ---- */

static void on_head(struct http_call *call, int status, void *user)
{
    (void)call;
    ((struct stream *)user)->status = status;
}

static void on_data(struct http_call *call, struct str piece, void *user)
{
    struct stream *s = user;
    (void)call;
    if (s->part.n > LINE_BYTES_MAX)
        buf_clear(&s->part);
    buf_add_str(&s->part, piece);
    const char *end;
    while (s->status == 200 && s->part.n && (end = memchr(s->part.p, '\n', s->part.n))) {
        show(s, str_of(s->part.p, (size_t)(end - s->part.p)));
        buf_consume(&s->part, (size_t)(end - s->part.p) + 1);
    }
}

static void on_done(struct http_call *call, int code, const char *text, void *user)
{
    struct stream *s = user;
    (void)call;
    s->call = NULL;
    if (s->status == 200) {
        buf_clear(&s->part);
        loop_timer_start(s->again, AGAIN_MS); /* it has ended by itself */
        return;
    }
    AUTO_CHARS char *why = view_token_refusal(&s->tap->args->session, s->status, buf_str(&s->part));
    s->tap->code = code < 0 ? program_fail(EXIT_UNREACHABLE, NULL, "tap: %s", text)
                            : program_fail(EXIT_FAILED, NULL, "tap: %s", why);
    s->tap->over = true;
}

static void on_again(void *user)
{
    static const struct http_call_ops ops = {
        .on_head = on_head, .on_data = on_data, .on_done = on_done};
    struct stream *s = user;
    struct http_header token;
    struct http_request r = {.method = "GET", .target = s->target, .headers = &token};
    r.n_headers = view_token_header(&s->tap->args->session, &token);
    s->status = 0;
    s->call = http_call_start(kube_client_http(s->tap->args->session.client), &r, &ops, s);
}

static void on_late(void *user)
{
    struct tap *tap = user;
    tap->over = tap->late = true;
}

/* ---- the question ---- */

static void add_param(struct buf *b, const char *name, const char *value)
{
    if (str_empty(value))
        return;
    buf_addf(b, "%c%s=", b->n ? '&' : '?', name);
    url_encode(str_from(value), b);
}

static int add_pods(struct tap_args *a, struct buf *b)
{
    AUTO_JSON json_t *pods = NULL;
    struct str name, type = str_cut(str_from(a->words.v[0]), '/', &name);
    json_t *pod;
    size_t i;
    if (name.p && (str_is(type, "ns") || str_is(type, "namespace"))) {
        AUTO_CHARS char *all = xasprintf(STR_FMT "/", STR_ARG(name));
        add_param(b, "pod", all);
        return -1;
    }
    int code = cli_pods_of(&a->session, a->words.v[0], &pods);
    if (code >= 0)
        return code;
    json_array_foreach(pods, i, pod)
    {
        AUTO_CHARS char *key =
            xasprintf("%s/%s", a->session.namespace_, json_at_str(pod, "metadata.name"));
        add_param(b, "pod", key);
    }
    return json_array_size(pods) ? -1
                                 : program_fail(EXIT_FAILED, NULL, "%s has no pods", a->words.v[0]);
}

static int make_query(struct tap_args *a, struct buf *b)
{
    char rate[24];
    snprintf(rate, sizeof(rate), "%lld", (long long)a->rate);
    int code = add_pods(a, b);
    add_param(b, "method", a->method);
    add_param(b, "path", a->path);
    add_param(b, "status", a->status);
    add_param(b, "peer", a->to);
    add_param(b, "max-rps", rate);
    for (size_t i = 0; i < a->headers.n; i++)
        add_param(b, "header", a->headers.v[i]);
    return code;
}

static int watch(struct tap_args *a, const json_t *controls, const char *query)
{
    view_token_want(&a->session, a->control_namespace);
    struct tap tap = {.args = a, .left = a->count ? a->count : -1, .code = -1};
    size_t n = json_array_size(controls);
    struct stream *streams = xcalloc(n, sizeof(*streams));
    AUTO_CHARS char *path = xasprintf("/debug/tap%s", query);
    for (size_t i = 0; i < n; i++) {
        const char *pod = json_at_str(json_array_get(controls, i), "metadata.name");
        streams[i] =
            (struct stream){.tap = &tap, .target = control_target(a->control_namespace, pod, path)};
        streams[i].again = loop_timer_new(a->session.loop, on_again, &streams[i]);
        on_again(&streams[i]);
    }
    tap.timer = loop_timer_new(a->session.loop, on_late, &tap);
    if (a->timeout_ms)
        loop_timer_start(tap.timer, a->timeout_ms);
    while (!tap.over) {
        loop_turn(a->session.loop, -1);
        view_token_want(&a->session, a->control_namespace); /* for those that begin again */
    }
    size_t silent = 0;
    for (size_t i = 0; i < n; i++)
        silent += streams[i].silent;
    if (tap.late)
        tap.code = program_fail(
            EXIT_TIMEOUT, silent == n ? "fairlead proxy-status names the proxies there are" : NULL,
            "tap: %s",
            silent == n ? "none of these pods has a proxy that tells of them" : "the time is over");
    for (size_t i = 0; i < n; i++) {
        if (streams[i].call)
            http_call_cancel(streams[i].call);
        loop_timer_free(streams[i].again);
        free(streams[i].target);
        buf_done(&streams[i].part);
    }
    loop_timer_free(tap.timer);
    free(streams);
    return tap.code < 0 ? EXIT_OK : tap.code;
}

static int run(struct tap_args *a)
{
    AUTO_DONE(buf) struct buf query = {0};
    AUTO_JSON json_t *controls = NULL;
    if (a->words.n != 1)
        return program_fail(EXIT_USAGE_ERROR, "fairlead tap deploy/web", "name what to watch");
    if (!streq(a->output, "text") && !streq(a->output, "json"))
        return program_fail(EXIT_USAGE_ERROR, "text or json", "-o: \"%s\" is not known", a->output);
    int code = cli_session_open(&a->session);
    if (code < 0)
        code = make_query(a, &query);
    if (code < 0)
        code = control_pods(&a->session, a->control_namespace, &controls);
    if (code < 0 && !json_array_size(controls))
        code = control_is_silent(a->control_namespace);
    return code < 0 ? watch(a, controls, buf_cstr(&query)) : code;
}

int cli_tap(int argc, char **argv)
{
    struct tap_args a = {.output = "text", .control_namespace = "fairlead-system", .rate = 100};
    struct arg args[] = {
        {"method", 0, ARG_STRING, &a.method, "METHOD", "of that method alone", 0, 0, false},
        {"path", 0, ARG_STRING, &a.path, "PREFIX", "whose path begins so", 0, 0, false},
        {"status", 0, ARG_STRING, &a.status, "CODE", "answered so: 503, or 5xx", 0, 0, false},
        {"to", 0, ARG_STRING, &a.to, "WORKLOAD", "with that workload at the other end", 0, 0,
         false},
        {"header", 'H', ARG_STRINGS, &a.headers, "NAME",
         "show this field of the request, too; may be repeated; never those of credentials", 0, 0,
         false},
        {"max-rps", 0, ARG_INT, &a.rate, "N", "so many a second of each proxy (default 100)", 1,
         1000, false},
        {"count", 0, ARG_INT, &a.count, "N", "end behind so many", 1, INT32_MAX, false},
        {"timeout", 0, ARG_DURATION, &a.timeout_ms, "DURATION",
         "give up after that (default never)", 0, 0, false},
        {"output", 'o', ARG_STRING, &a.output, "FORMAT", "text or json (default text)", 0, 0,
         false},
        {"control-namespace", 0, ARG_STRING, &a.control_namespace, "NS",
         "where the control plane's pods are (default fairlead-system)", 0, 0, false},
        VIEW_ARGS(&a.session),
        CLI_SESSION_ARGS(&a.session),
        {.name = NULL},
    };
    const struct program p = {"fairlead tap",
                              "shows requests to and from pods of the mesh as they end",
                              "TYPE/NAME [flags]",
                              "  fairlead tap deploy/cart\n"
                              "  fairlead tap ns/shop --status 5xx -o json\n"
                              "  fairlead tap pod/web-7d9-x --method POST --path /api -H x-user\n",
                              args,
                              false};
    int code = program_start(&p, argc, argv, &a.words, NULL);
    if (code < 0)
        code = run(&a);
    if (a.session.client)
        cli_session_close(&a.session);
    arg_list_done(&a.words);
    arg_list_done(&a.headers);
    return code;
}
