/* fairlead explain: which Ingress, rule and path decides about a request, and why the earlier ones
 * do not; from the cluster, or from files without one. */
#include <netinet/in.h>
#include <stdio.h>

#include "base/vec.h"
#include "cli/explain_mesh.h"
#include "cli/object_source.h"
#include "codec/url_path.h"
#include "model/explain.h"
#include "model/ingress_snapshot.h"

enum { HEADERS_MAX = 64 };

struct explain_args {
    struct cli_session session;
    struct arg_list files, headers, words;
    const char *output, *class_name, *settings, *default_backend, *from;
};

struct asked {
    struct explain_request q;
    struct explain_header headers[HEADERS_MAX];
    char *path; /* in its normal form */
    uint16_t port;
    const char *scheme;
};

/* ---- the request ---- */

/* "http://host:port/path?query", "host/path"; negative: told. */
static int take_url(const char *url, struct asked *a)
{
    static const struct url_path_rules rules = {.normalize = true, .merge_slashes = true};
    struct str rest = str_from(url), query;
    a->scheme = "http";
    if (str_starts(rest, STR("https://"))) {
        a->q.tls = true;
        a->scheme = "https";
        rest = str_sub(rest, 8, rest.n);
    } else if (str_starts(rest, STR("http://"))) {
        rest = str_sub(rest, 7, rest.n);
    }
    const char *slash = rest.n ? memchr(rest.p, '/', rest.n) : NULL;
    struct str host = str_sub(rest, 0, slash ? (size_t)(slash - rest.p) : rest.n), port;
    struct str path = slash ? str_cut(str_sub(rest, host.n, rest.n), '?', &query) : STR("/");
    a->q.host = str_cut(host, ':', &port);
    uint64_t number = a->q.tls ? 443 : 80;
    if (port.p && (str_to_u64(port, &number) < 0 || number < 1 || number > 65535))
        return program_fail(EXIT_USAGE_ERROR, "write http://shop:8080/",
                            "\"%s\": " STR_FMT " is no port", url, STR_ARG(port));
    a->port = (uint16_t)number;
    if (!a->q.host.n)
        return program_fail(EXIT_USAGE_ERROR, "fairlead explain GET http://shop.example/cart",
                            "\"%s\" has no host", url);
    size_t n = path.n;
    a->path = xcalloc(1, url_path_room(&rules, path) + 1);
    if (url_path_canonical(&rules, path, a->path, &n) == URL_PATH_SAME)
        memcpy(a->path, path.p, path.n);
    a->q.path = str_of(a->path, n);
    return -1;
}

static int take_headers(const struct arg_list *l, struct asked *a)
{
    for (size_t i = 0; i < l->n; i++) {
        struct str value, name = str_trim(str_cut(str_from(l->v[i]), ':', &value));
        if (!value.p || !name.n || i == HEADERS_MAX)
            return program_fail(EXIT_USAGE_ERROR, "give -H 'Name: value'",
                                "-H: \"%s\" is no header", l->v[i]);
        a->headers[i] = (struct explain_header){name, str_trim(value)};
        a->q.n_headers++;
    }
    a->q.headers = a->headers;
    return -1;
}

/* ---- the answer ---- */

static void add_endpoints(const struct ingress_snapshot *o, const struct route_backend *to,
                          json_t *list)
{
    const struct joined_service *s = service_join_find(o->join, to->service);
    const char *name = NULL;
    for (uint16_t i = 0; s && s->object && i < s->object->n_ports; i++)
        if (s->object->ports[i].port == to->port)
            name = s->object->ports[i].name;
    for (size_t i = 0; name && i < s->slices.n; i++) {
        const struct slice_object *slice = s->slices.v[i];
        uint16_t port = 0;
        for (uint32_t p = 0; p < slice->n_ports; p++)
            if (streq(slice->ports[p].name, name) && slice->ports[p].proto == IPPROTO_TCP)
                port = slice->ports[p].port;
        for (uint32_t e = 0; port && slice->family && e < slice->n_endpoints; e++) {
            char ip[IP_TEXT_BYTES], text[IP_TEXT_BYTES + 16];
            struct ip address = slice_object_ip(slice, e);
            if (!slice->endpoints[e].ready)
                continue;
            ip_format(&address, ip);
            snprintf(text, sizeof(text), slice->family == AF_INET6 ? "[%s]:%u" : "%s:%u", ip, port);
            json_array_append_new(list, json_string(text));
        }
    }
}

static json_t *origin_json(const struct route *r)
{
    return json_pack("{s:s,s:s,s:s}", "kind", r->origin.kind, "object", r->origin.object, "field",
                     r->origin.field);
}

/* Everything that is said, as data: text is made of it. */
static json_t *answer(const struct ingress_snapshot *o, const struct asked *a,
                      const struct route_host *h, const struct explanation *e)
{
    json_t *steps = json_array(), *endpoints = json_array(), *told = json_array(),
           *j = json_pack("{s:o,s:o*}", "path", json_text(a->q.path), "host",
                          h ? json_string(h->name) : NULL);
    VEC_FOREACH (s, e) {
        AUTO_DONE(buf) struct buf match = {0};
        explain_match_text(s->route, &match);
        json_array_append_new(steps,
                              json_pack("{s:o,s:b,s:o,s:o}", "match", json_text(buf_str(&match)),
                                        "matches", s->matches, "why", json_text(str_from(s->why)),
                                        "origin", origin_json(s->route)));
    }
    json_object_set_new(j, "steps", steps);
    if (a->q.tls && h && h->passthrough.service) {
        AUTO_CHARS char *action =
            xasprintf("to Service %s port %u, still encrypted: no path counts",
                      h->passthrough.service, h->passthrough.port);
        add_endpoints(o, &h->passthrough, endpoints);
        json_object_set_new(j, "action", json_text(str_from(action)));
    } else if (e->decided) {
        AUTO_DONE(buf) struct buf action = {0};
        if (e->to_https)
            buf_addf(&action, "308 to https://");
        else
            explain_action_text(e->decided, &action);
        for (uint32_t i = 0; i < e->decided->n_backends && !e->to_https; i++)
            add_endpoints(o, &e->decided->backends[i], endpoints);
        json_object_set_new(j, "action", json_text(buf_str(&action)));
        json_object_set_new(j, "decided", origin_json(e->decided));
    } else {
        json_object_set_new(j, "action", json_string("404: nothing matches"));
    }
    json_object_set_new(j, "endpoints", endpoints);
    for (size_t i = 0; h && i < h->findings.n; i++)
        json_array_append_new(told,
                              json_pack("{s:s,s:s,s:s,s:s}", "id", h->findings.v[i].id, "object",
                                        h->findings.v[i].object, "field", h->findings.v[i].field,
                                        "message", h->findings.v[i].message));
    json_object_set_new(j, "findings", told);
    return j;
}

static void print_text(const struct asked *a, const json_t *j)
{
    const char *host = json_key_str(j, "host");
    size_t i;
    json_t *one;
    printf(STR_FMT " %s://" STR_FMT "%s\n", STR_ARG(a->q.method), a->scheme, STR_ARG(a->q.host),
           json_key_str(j, "path"));
    printf("host: %s\n", host ? host : "no Ingress has rules for it");
    json_array_foreach(json_object_get(j, "steps"), i, one)
    {
        const char *why = json_key_str(one, "why");
        printf("  %s %s%s%s   (%s %s %s)\n",
               json_is_true(json_object_get(one, "matches")) ? "=>" : " -",
               json_key_str(one, "match"), *why ? ": no, " : "", why,
               json_at_str(one, "origin.kind"), json_at_str(one, "origin.object"),
               json_at_str(one, "origin.field"));
    }
    printf("answer: %s\n", json_key_str(j, "action"));
    json_array_foreach(json_object_get(j, "endpoints"), i, one)
        printf("  endpoint %s\n", json_string_value(one));
    json_array_foreach(json_object_get(j, "findings"), i, one)
        printf("warning: %s %s: %s\n", json_key_str(one, "object"), json_key_str(one, "field"),
               json_key_str(one, "message"));
}

static int explain(const struct explain_args *a, const struct ingress_snapshot *o,
                   struct asked *asked)
{
    struct route_host *h = NULL;
    struct explanation e = {0};
    char *name;
    for (size_t n = 0; !h && (name = explain_host_name(asked->q.host, n)); n++) {
        h = ingress_snapshot_host(o, name);
        free(name);
    }
    if (h)
        explain_route(h, &asked->q, &e);
    AUTO_JSON json_t *j = answer(o, asked, h, &e);
    if (streq(a->output, "json")) {
        AUTO_DONE(buf) struct buf text = {0};
        json_write_indented(&text, j);
        printf("%s\n", buf_cstr(&text));
    } else {
        print_text(asked, j);
    }
    explanation_done(&e);
    return EXIT_OK;
}

static int read_objects(struct explain_args *a, struct object_source *s)
{
    if (a->files.n) {
        int code = object_source_read_files(s, &a->files, false, a->session.namespace_);
        object_source_imply_classes(s);
        return code;
    }
    int code = cli_session_open(&a->session);
    if (a->from)
        return code < 0 ? object_source_read_cluster(s, &a->session, OBJECTS_FOR_ANALYSIS) : code;
    code = code < 0 ? object_source_read_cluster(s, &a->session, OBJECTS_FOR_ROUTES) : code;
    if (!a->settings)
        a->settings = INGRESS_SETTINGS_OWN;
    return code < 0 ? object_source_read_map(s, &a->session, a->settings) : code;
}

static int run(struct explain_args *a)
{
    static const char *const controllers[] = {"fairlead.dev/ingress", INGRESS_CONTROLLER_NGINX,
                                              NULL};
    const char *usual = a->files.n ? "nginx" : "fairlead";
    const struct ingress_options options = {.controllers = controllers,
                                            .class_name = a->class_name ? a->class_name : usual,
                                            .default_backend = a->default_backend};
    struct asked asked = {0};
    if (a->words.n != 2)
        return program_fail(EXIT_USAGE_ERROR, "fairlead explain GET http://shop.example/cart",
                            "give a method and a URL");
    if (a->output && !streq(a->output, "json"))
        return program_fail(EXIT_USAGE_ERROR, "-o json", "-o: \"%s\" is not known", a->output);
    asked.q.method = str_from(a->words.v[0]);
    int code = take_url(a->words.v[1], &asked);
    code = code < 0 ? take_headers(&a->headers, &asked) : code;
    struct object_source source = {0};
    if (code < 0)
        code = read_objects(a, &source);
    if (code < 0 && a->from) {
        const char *ns = a->session.namespace_ ? a->session.namespace_
                         : a->session.config   ? a->session.config->namespace_
                                               : "default";
        code = cli_explain_from(a->from, ns, a->output, source.list, &asked.q, asked.port);
    } else if (code < 0) {
        AUTO(ingress_snapshot)
        struct ingress_snapshot *o = ingress_snapshot_new(&options, a->settings, source.list);
        code = explain(a, o, &asked);
    }
    object_source_done(&source);
    free(asked.path);
    return code;
}

int cli_explain(int argc, char **argv)
{
    struct explain_args a = {0};
    struct arg args[] = {
        {"header", 'H', ARG_STRINGS, &a.headers, "NAME: VALUE", "a header of the request (repeat)",
         0, 0, false},
        {"from", 0, ARG_STRING, &a.from, "POD",
         "a call in the mesh, of this pod (deploy/NAME: of one of its): routes, TLS, who may", 0, 0,
         false},
        {"filename", 'f', ARG_STRINGS, &a.files, "FILE",
         "manifests instead of the cluster: Ingresses, IngressClasses, Services, slices (repeat)",
         0, 0, false},
        {"ingress-class", 0, ARG_STRING, &a.class_name, "NAME",
         "as control's: what kubernetes.io/ingress.class may say without an IngressClass (default "
         "fairlead; nginx with -f)",
         0, 0, false},
        {"configmap", 0, ARG_STRING, &a.settings, "NAMESPACE/NAME",
         "as control's: the settings of ingress-nginx (default " INGRESS_SETTINGS_OWN
         "; with -f one of a usual name)",
         0, 0, false},
        {"default-backend-service", 0, ARG_STRING, &a.default_backend, "NAMESPACE/NAME",
         "as control's: who gets what no Ingress is for", 0, 0, false},
        {"output", 'o', ARG_STRING, &a.output, "FORMAT", "json", 0, 0, false},
        CLI_SESSION_ARGS(&a.session),
        {.name = NULL},
    };
    const struct program p = {"fairlead explain",
                              "says which object decides about a request, and why",
                              "METHOD URL [flags]",
                              "  fairlead explain GET http://shop.example/cart\n"
                              "  fairlead explain GET https://shop.example/ -H 'X-Canary: always'\n"
                              "  fairlead explain GET shop.example/cart -f manifests/\n"
                              "  fairlead explain GET http://reviews:9080/ --from deploy/web\n",
                              args,
                              false};
    int code = program_start(&p, argc, argv, &a.words, NULL);
    if (code < 0)
        code = run(&a);
    if (a.session.client)
        cli_session_close(&a.session);
    arg_list_done(&a.headers);
    arg_list_done(&a.files);
    arg_list_done(&a.words);
    return code;
}
