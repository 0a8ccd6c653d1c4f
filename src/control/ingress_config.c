/* Five watches at most, of one ConfigMap each; two of them as the settings say. */
#include "control/ingress_config.h"

#include <ctype.h>

#include "base/log.h"
#include "codec/http_head.h"
#include "kube/informer.h"
#include "model/ingress_value.h"

enum watched { SETTINGS, TCP, UDP, ANSWER_FIELDS, REQUEST_FIELDS, WATCHED };
enum { FIELDS_MAX = 64 };

struct watch {
    struct ingress_config *all;
    char *key; /* NULL: it is not watched */
    struct informer *informer;
    bool synced;
};

struct ingress_config {
    struct kube_client *client;
    struct event_recorder *events;
    const struct ingress_config_options *options;
    const struct ingress_config_ops *ops;
    void *user;
    struct watch watches[WATCHED];
    struct ingress_settings *settings;
    struct route_fields fields[2]; /* of answers, of requests */
    struct stream_services tcp;
};

static enum watched kind_of(const struct watch *w)
{
    return (enum watched)(w - w->all->watches);
}

/* ---- fields ---- */

/* Variables of nginx that stand for something here too, as operators. */
static const struct {
    const char *variable, *op;
} variables[] = {{"remote_addr", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"},
                 {"host", "%REQ(:AUTHORITY)%"},
                 {"http_host", "%REQ(:AUTHORITY)%"},
                 {"request_uri", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"},
                 {"request_method", "%REQ(:METHOD)%"},
                 {"scheme", "%REQ(X-FORWARDED-PROTO)%"},
                 {"req_id", "%REQ(X-REQUEST-ID)%"},
                 {"request_id", "%REQ(X-REQUEST-ID)%"},
                 {"status", "%RESPONSE_CODE%"},
                 {"server_protocol", "%PROTOCOL%"}};

/* Behind the dollar; false: it is none of those. */
static bool add_variable(struct str name, struct buf *to)
{
    for (size_t i = 0; i < ARRAY_LEN(variables); i++)
        if (str_is(name, variables[i].variable)) {
            buf_add_cstr(to, variables[i].op);
            return true;
        }
    if (!str_starts(name, STR("http_")) || name.n == 5)
        return false;
    buf_add_cstr(to, "%REQ(");
    for (size_t i = 5; i < name.n; i++)
        buf_add_char(to, name.p[i] == '_' ? '-' : (char)toupper((unsigned char)name.p[i]));
    buf_add_cstr(to, ")%");
    return true;
}

/* "t=$remote_addr" to "t=%DOWNSTREAM_…%". */
static bool translate_value(const char *value, struct buf *to)
{
    buf_add_cstr(to, "");
    while (*value) {
        if (*value == '%')
            buf_add_char(to, '%');
        if (*value != '$') {
            buf_add_char(to, *value++);
            continue;
        }
        bool braces = *++value == '{';
        value += braces;
        size_t n = 0;
        while (isalnum((unsigned char)value[n]) || value[n] == '_')
            n++;
        if (!n || (braces && value[n] != '}') || !add_variable(str_of(value, n), to))
            return false;
        value += n + braces;
    }
    return true;
}

static void fields_done(struct route_fields *f)
{
    for (uint32_t i = 0; i < f->n; i++) {
        free(f->v[i].name);
        free(f->v[i].value);
    }
    free(f->v);
    *f = (struct route_fields){0};
}

static void read_fields(const char *key, const json_t *data, struct route_fields *ret,
                        struct findings *f)
{
    const char *name;
    json_t *value;
    fields_done(ret);
    json_object_foreach((json_t *)(uintptr_t)data, name, value)
    {
        AUTO_DONE(buf) struct buf text = {0};
        const char *given = json_is_string(value) ? json_string_value(value) : NULL;
        AUTO_CHARS char *lower = xstrdup(name);
        for (char *c = lower; *c; c++)
            *c = (char)tolower((unsigned char)*c);
        if (given && ingress_value_is_settable(str_from(name)) && http_is_value(str_from(given)) &&
            ret->n < FIELDS_MAX && translate_value(given, &text)) {
            route_set_field(ret, lower, buf_cstr(&text));
            continue;
        }
        AUTO_CHARS char *field = xasprintf("data[%.128s]", name);
        finding_add(f, FINDING_WARNING, "FieldInvalid", key, field, NULL,
                    "\"%.80s\" is not sent: it must be the value of a field that may be set, of "
                    "variables only those that docs/ingress-nginx.md names",
                    given ? given : "");
    }
}

/* ---- what comes ---- */

static void watch_start(struct ingress_config *c, enum watched kind, const char *key);

static void watch_stop(struct watch *w)
{
    informer_free(w->informer);
    free(w->key);
    *w = (struct watch){.all = w->all};
}

static void tell(const struct ingress_config *c, json_t *object, const struct findings *f)
{
    for (size_t i = 0; object && i < f->n; i++)
        event_record(c->events, object, "ConfigMap", "v1", "Warning", f->v[i].id, "%s: %s%s%s",
                     f->v[i].field, f->v[i].message, f->v[i].hint ? "; " : "",
                     f->v[i].hint ? f->v[i].hint : "");
}

/* The maps that settings name are watched as long as they do. */
static void follow(struct ingress_config *c, enum watched kind, const char *key)
{
    struct watch *w = &c->watches[kind];
    if (streq(w->key, key))
        return;
    watch_stop(w);
    fields_done(&c->fields[kind - ANSWER_FIELDS]);
    if (key)
        watch_start(c, kind, key);
}

/* object NULL: it is not there. */
static void take(struct watch *w, json_t *object)
{
    struct ingress_config *c = w->all;
    struct findings f = {0};
    struct ingress_settings *settings = NULL;
    struct stream_services tcp = {0};
    const json_t *data = json_at(object, "data");
    switch (kind_of(w)) {
    case SETTINGS:
        settings = c->settings;
        c->settings = object ? ingress_settings_new(w->key, data, &f) : NULL;
        follow(c, ANSWER_FIELDS, c->settings ? c->settings->add_headers : NULL);
        follow(c, REQUEST_FIELDS, c->settings ? c->settings->set_headers : NULL);
        break;
    case TCP:
        tcp = c->tcp;
        stream_services_read(w->key, data, c->options->taken_ports, c->options->n_taken_ports,
                             &c->tcp, &f);
        break;
    case UDP:
        stream_services_refuse_udp(w->key, data, &f);
        break;
    case ANSWER_FIELDS:
    case REQUEST_FIELDS:
        read_fields(w->key, data, &c->fields[kind_of(w) - ANSWER_FIELDS], &f);
        break;
    case WATCHED:
        break;
    }
    tell(c, object, &f);
    findings_done(&f);
    c->ops->on_change(c->user);
    ingress_settings_free(settings);
    stream_services_done(&tcp);
}

static void on_upsert(json_t *object, void *user)
{
    take(user, object);
}

static void on_delete(struct str key, json_t *object, void *user)
{
    (void)key;
    (void)object;
    take(user, NULL);
}

static void on_synced(void *user)
{
    struct watch *w = user;
    w->synced = true;
    w->all->ops->on_change(w->all->user);
}

static void on_error(const char *text, void *user)
{
    const struct watch *w = user;
    log_warn("a ConfigMap cannot be watched; what it said stays", kv_s("config_map", w->key),
             kv_s("cause", text));
}

static void watch_start(struct ingress_config *c, enum watched kind, const char *key)
{
    static const struct informer_ops ops = {on_upsert, on_delete, on_synced, on_error};
    struct watch *w = &c->watches[kind];
    struct str name, ns = str_cut(str_from(key), '/', &name);
    AUTO_CHARS char *path = xasprintf("/api/v1/namespaces/" STR_FMT "/configmaps", STR_ARG(ns)),
                    *selector = xasprintf("metadata.name=" STR_FMT, STR_ARG(name));
    const struct informer_options o = {.path = path, .field_selector = selector, .lean = true};
    w->key = xstrdup(key);
    w->informer = informer_start(c->client, &o, &ops, w);
}

/* ---- the whole ---- */

struct ingress_config *ingress_config_new(struct kube_client *client, struct event_recorder *events,
                                          const struct ingress_config_options *o,
                                          const struct ingress_config_ops *ops, void *user)
{
    const char *keys[WATCHED] = {o->settings, o->tcp_services, o->udp_services};
    struct ingress_config *c = NEW(struct ingress_config);
    c->client = client;
    c->events = events;
    c->options = o;
    c->ops = ops;
    c->user = user;
    for (unsigned i = 0; i < WATCHED; i++) {
        c->watches[i].all = c;
        if (keys[i])
            watch_start(c, (enum watched)i, keys[i]);
    }
    return c;
}

void ingress_config_free(struct ingress_config *c)
{
    if (!c)
        return;
    for (unsigned i = 0; i < WATCHED; i++)
        watch_stop(&c->watches[i]);
    ingress_settings_free(c->settings);
    fields_done(&c->fields[0]);
    fields_done(&c->fields[1]);
    stream_services_done(&c->tcp);
    free(c);
}

bool ingress_config_synced(const struct ingress_config *c)
{
    for (unsigned i = 0; i < WATCHED; i++)
        if (c->watches[i].key && !c->watches[i].synced)
            return false;
    return true;
}

const struct ingress_settings *ingress_config_settings(const struct ingress_config *c)
{
    return c->settings;
}

const struct route_fields *ingress_config_answer_fields(const struct ingress_config *c)
{
    return &c->fields[0];
}

const struct route_fields *ingress_config_request_fields(const struct ingress_config *c)
{
    return &c->fields[1];
}

const struct stream_services *ingress_config_tcp_services(const struct ingress_config *c)
{
    return &c->tcp;
}

void ingress_config_tell_missing(struct ingress_config *c, const struct service_join *join)
{
    for (size_t i = 0; i < c->tcp.n; i++) {
        struct stream_service *s = &c->tcp.v[i];
        bool missing = !stream_service_port(s, join);
        struct str name, ns = str_cut(str_from(c->watches[TCP].key), '/', &name);
        if (missing && !s->told) {
            AUTO_JSON json_t *map = json_pack("{s:{s:s%,s:s%}}", "metadata", "namespace", ns.p,
                                              ns.n, "name", name.p, name.n);
            event_record(c->events, map, "ConfigMap", "v1", "Warning", "ServiceNotFound",
                         "data[%u]: there is no Service %s with TCP port %s: nobody listens",
                         s->listen, s->service, s->port);
        }
        s->told = missing;
    }
}
