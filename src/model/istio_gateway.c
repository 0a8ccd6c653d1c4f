/* Servers of a Gateway, one after the other. */
#include "model/istio_gateway.h"

#define KUBERNETES "kubernetes://"

static bool is_word(const char *text, const char *const *words)
{
    for (; text && *words; words++)
        if (str_eq_nocase(str_from(text), str_from(*words)))
            return true;
    return false;
}

/* ---- hosts ---- */

static bool read_host(struct object_reader *r, const char *text, const char *own_ns,
                      struct gateway_host *ret)
{
    struct str host, ns = str_cut(str_from(text), '/', &host);
    if (!host.p) {
        host = ns;
        ns = STR("*");
    }
    AUTO_CHARS char *name = str_dup(host);
    AUTO_CHARS char *full = istio_host(name, "");
    if (!host.n || !istio_host_is_valid(full) || (!strchr(name, '.') && !str_is(host, "*")))
        return reader_error(r, NULL,
                            "write a DNS name, *.name or *, with a namespace and / before it",
                            "\"%.100s\" is no host", text);
    if (!str_is(ns, "*") && !str_is(ns, ".") && !str_is_dns1123_label(ns))
        return reader_error(r, NULL, "write *, . or a namespace before the /",
                            "\"%.100s\" names no namespace", text);
    ret->ns = str_is(ns, "*") ? NULL : str_is(ns, ".") ? xstrdup(own_ns) : str_dup(ns);
    ret->host = TAKE(full);
    return true;
}

static size_t hosts_of(const struct istio_gateway *g)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n_servers; i++)
        n += g->servers[i].n_hosts;
    return n;
}

static void read_hosts(struct object_reader *r, const json_t *of, const struct istio_gateway *g,
                       struct gateway_server *to)
{
    const json_t *list = json_object_get(of, "hosts");
    size_t n = MIN(json_array_size(list), GATEWAY_HOSTS_MAX - hosts_of(g));
    if (json_array_size(list) > n)
        reader_error(r, "hosts", "make several Gateways of it",
                     "are more than %d of the Gateway: the rest is left out", GATEWAY_HOSTS_MAX);
    to->hosts = xcalloc(n + 1, sizeof(*to->hosts));
    if (!json_array_size(list))
        reader_error(r, "hosts", "name hosts, or *", "is missing");
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        size_t mark = reader_enter_item(r, "hosts", i);
        if (read_host(r, text ? text : "", g->o.ns, &to->hosts[to->n_hosts]))
            to->n_hosts++;
        reader_leave(r, mark);
    }
}

/* ---- TLS ---- */

static bool is_name_of_secret(const char *text)
{
    return str_is_dns1123_subdomain(str_from(text));
}

static bool read_credential(struct object_reader *r, const json_t *tls, const char *field,
                            char **ret)
{
    const char *text = json_key_str(tls, field);
    if (str_empty(text))
        return true;
    if (str_starts(str_from(text), STR(KUBERNETES)))
        text += sizeof(KUBERNETES) - 1;
    if (!is_name_of_secret(text))
        return reader_error(r, field, "name a Secret of the gateways' namespace",
                            "\"%.100s\" is no name of a Secret", text);
    free(*ret);
    *ret = xstrdup(text);
    return true;
}

static bool read_credentials(struct object_reader *r, const json_t *tls, struct gateway_server *to)
{
    const json_t *list = json_object_get(tls, "credentialNames");
    static const char *const files[] = {"serverCertificate", "privateKey", "caCertificates",
                                        "tlsCertificates"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        if (json_object_get(tls, files[i]))
            return reader_error(r, files[i], "name a Secret in credentialName",
                                "gateways read certificates from Secrets, not from files");
    if (json_array_size(list))
        return reader_error(r, "credentialNames", "name one in credentialName",
                            "several certificates for a host are not served");
    bool ok = read_credential(r, tls, "credentialName", &to->credential);
    if (ok && !to->credential)
        return reader_error(r, "credentialName",
                            "name a Secret of type kubernetes.io/tls in the gateways' namespace",
                            "is missing");
    if (ok && to->tls == GATEWAY_MUTUAL)
        to->ca = xstrdup(to->credential);
    return ok && read_credential(r, tls, "caCertCredentialName", &to->ca);
}

/* What would let in whom it is to keep out is refused; what only narrows what is offered is told.
 */
static bool check_rest(struct object_reader *r, const json_t *tls)
{
    static const char *const protect[] = {"subjectAltNames", "verifyCertificateSpki",
                                          "verifyCertificateHash", "caCrl"};
    static const char *const others[] = {"minProtocolVersion", "maxProtocolVersion",
                                         "cipherSuites"};
    for (size_t i = 0; i < ARRAY_LEN(protect); i++)
        if (json_object_get(tls, protect[i]))
            return reader_error(r, protect[i], "leave it out",
                                "is not done, and without it more clients would be let in");
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (json_object_get(tls, others[i]))
            reader_warn(r, others[i], "say it for all in the ConfigMap that --configmap names",
                        "has no effect");
    return true;
}

static bool read_mode(struct object_reader *r, const json_t *tls, enum gateway_tls *ret)
{
    static const struct {
        const char *word;
        enum gateway_tls mode;
    } modes[] = {{"PASSTHROUGH", GATEWAY_PASSTHROUGH},
                 {"AUTO_PASSTHROUGH", GATEWAY_AUTO_PASSTHROUGH},
                 {"SIMPLE", GATEWAY_SIMPLE},
                 {"MUTUAL", GATEWAY_MUTUAL}};
    const char *word = json_key_str(tls, "mode");
    for (size_t i = 0; i < ARRAY_LEN(modes); i++)
        if (streq(word ? word : "PASSTHROUGH", modes[i].word)) {
            *ret = modes[i].mode;
            return true;
        }
    return reader_error(r, "mode", "write SIMPLE, MUTUAL, PASSTHROUGH or AUTO_PASSTHROUGH",
                        "%.40s is not served", word);
}

/* Behind TLS that ends here there is HTTP, and nothing else. */
static bool check_protocol(struct object_reader *r, const json_t *of, enum gateway_tls mode)
{
    const char *protocol = json_at_str(of, "port.protocol");
    return mode == GATEWAY_PASSTHROUGH || mode == GATEWAY_AUTO_PASSTHROUGH ||
           str_eq_nocase(str_from(protocol), STR("HTTPS")) ||
           reader_error(r, "mode", "write PASSTHROUGH, or the protocol HTTPS",
                        "of protocol %s only what goes on encrypted is served", protocol);
}

/* What comes from other networks has a port of its own. */
static bool check_door(struct object_reader *r, const json_t *of, struct gateway_server *to)
{
    bool passes = json_at_int(of, "port.number", 0) == CLUSTER_GATEWAY_PORT;
    if (passes == (to->tls == GATEWAY_AUTO_PASSTHROUGH)) {
        to->port = passes ? CLUSTER_GATEWAY_PORT : to->port;
        return true;
    }
    size_t mark = reader_enter(r, "port");
    if (passes)
        reader_error(r, "number", "write 443", "what comes in at %d goes on by AUTO_PASSTHROUGH",
                     CLUSTER_GATEWAY_PORT);
    else
        reader_error(r, "number", "write 15443", "AUTO_PASSTHROUGH is served at %d alone",
                     CLUSTER_GATEWAY_PORT);
    reader_leave(r, mark);
    return false;
}

static bool read_tls(struct object_reader *r, const json_t *of, bool encrypted,
                     struct gateway_server *to)
{
    const json_t *tls = json_object_get(of, "tls");
    if (!encrypted) {
        to->https_redirect = json_at_bool(tls, "httpsRedirect", false);
        return true;
    }
    if (!json_is_object(tls))
        return reader_error(r, "tls", "give mode and credentialName", "is missing");
    size_t mark = reader_enter(r, "tls");
    bool ok = read_mode(r, tls, &to->tls) && check_protocol(r, of, to->tls) && check_rest(r, tls);
    if (ok && json_at_bool(tls, "httpsRedirect", false))
        reader_warn(r, "httpsRedirect", "say it of the server of HTTP", "has no effect over TLS");
    if (ok && to->tls != GATEWAY_PASSTHROUGH && to->tls != GATEWAY_AUTO_PASSTHROUGH)
        ok = read_credentials(r, tls, to);
    reader_leave(r, mark);
    return ok && check_door(r, of, to);
}

/* ---- servers ---- */

static bool read_port(struct object_reader *r, const json_t *of, bool *ret_encrypted,
                      struct gateway_server *to)
{
    static const char *const plain[] = {"HTTP", "HTTP2", "GRPC", "GRPC-WEB", NULL},
                             *const encrypted[] = {"HTTPS", "TLS", NULL};
    const json_t *port = json_object_get(of, "port");
    const char *protocol = json_key_str(port, "protocol");
    int64_t number = 0;
    size_t mark = reader_enter(r, "port");
    bool ok = reader_number(r, port, "number", 1, 65535, &number);
    if (ok && !number)
        ok = reader_error(r, "number", "say which", "is missing");
    *ret_encrypted = is_word(protocol, encrypted);
    if (ok && !*ret_encrypted && !is_word(protocol, plain))
        ok = reader_error(r, "protocol", "write HTTP, HTTP2, GRPC, HTTPS or TLS",
                          "\"%.40s\" is not served", protocol ? protocol : "");
    else if (ok && number != (*ret_encrypted ? 443 : 80) &&
             number != (*ret_encrypted ? 8443 : 8080) &&
             !(*ret_encrypted && number == CLUSTER_GATEWAY_PORT))
        ok = reader_error(r, "number", "write 80 for plain text, 443 for TLS",
                          "gateways do not listen at %lld for that", (long long)number);
    to->port = *ret_encrypted ? 443 : 80;
    reader_leave(r, mark);
    return ok;
}

static void server_done(struct gateway_server *s)
{
    for (size_t i = 0; i < s->n_hosts; i++) {
        free(s->hosts[i].ns);
        free(s->hosts[i].host);
    }
    free(s->hosts);
    free(s->credential);
    free(s->ca);
}

static void read_server(struct object_reader *r, const json_t *of, struct istio_gateway *g)
{
    struct gateway_server s = {0};
    bool encrypted = false;
    bool ok = read_port(r, of, &encrypted, &s) && read_tls(r, of, encrypted, &s);
    read_hosts(r, of, g, &s);
    if (!str_empty(json_key_str(of, "bind")))
        reader_warn(r, "bind", NULL, "has no effect: gateways listen at all of their addresses");
    if (!str_empty(json_key_str(of, "defaultEndpoint")))
        reader_warn(r, "defaultEndpoint", NULL, "has no effect");
    if (ok && s.n_hosts)
        g->servers[g->n_servers++] = s;
    else
        server_done(&s);
}

struct istio_gateway *istio_gateway_decode(const json_t *j)
{
    struct istio_gateway *g = NEW(struct istio_gateway);
    if (!istio_object_decode(j, &g->o)) {
        istio_object_done(&g->o);
        free(g);
        return NULL;
    }
    AUTO_DONE(object_reader)
    struct object_reader r = {
        .findings = &g->o.findings, .object = g->o.key, .id = "GatewayInvalid"};
    const json_t *list = json_object_get(g->o.spec, "servers");
    size_t n = json_array_size(list), mark = reader_enter(&r, "spec");
    g->servers = xcalloc(n + 1, sizeof(*g->servers));
    if (!n)
        reader_error(&r, "servers", "give at least one", "is missing");
    for (size_t i = 0; i < n; i++) {
        size_t item = reader_enter_item(&r, "servers", i);
        read_server(&r, json_array_get(list, i), g);
        reader_leave(&r, item);
    }
    reader_leave(&r, mark);
    return g;
}

void istio_gateway_free(struct istio_gateway *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->n_servers; i++)
        server_done(&g->servers[i]);
    free(g->servers);
    istio_object_done(&g->o);
    free(g);
}

bool istio_gateway_selects(const struct istio_gateway *g, const json_t *labels)
{
    const json_t *selector = json_object_get(g->o.spec, "selector");
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)selector, key, value)
    {
        if (!streq(json_string_value(value), json_key_str(labels, key)))
            return false;
    }
    return true;
}

const char *gateway_host_meet(const struct gateway_host *h, const char *ns, const char *host)
{
    if (h->ns && !streq(h->ns, ns))
        return NULL;
    if (istio_host_covers(h->host, host))
        return host;
    return istio_host_covers(host, h->host) ? h->host : NULL;
}
