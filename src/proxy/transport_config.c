/* From TLS messages to contexts. A slot keeps its message packed, so that it can be compiled again
 * with other secrets. Verification is what the configuration says: without a trusted_ca a client
 * verifies nothing, as Envoy does. */
#include "proxy/transport_config.h"

#include <pthread.h>
#include <stdatomic.h>

#include <envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol.pb-c.h>
#include <envoy/extensions/transport_sockets/tls/v3/tls.pb-c.h>

#include "proxy/data_source.h"

typedef Envoy__Extensions__TransportSockets__Tls__V3__DownstreamTlsContext pb_downstream;
typedef Envoy__Extensions__TransportSockets__Tls__V3__UpstreamTlsContext pb_upstream;
typedef Envoy__Extensions__TransportSockets__ProxyProtocol__V3__ProxyProtocolUpstreamTransport
    pb_proxy;
typedef Envoy__Extensions__TransportSockets__Tls__V3__CommonTlsContext pb_common;
typedef Envoy__Extensions__TransportSockets__Tls__V3__TlsCertificate pb_certificate;
typedef Envoy__Extensions__TransportSockets__Tls__V3__CertificateValidationContext pb_validation;
typedef Envoy__Extensions__TransportSockets__Tls__V3__SdsSecretConfig pb_sds;
typedef Envoy__Extensions__TransportSockets__Tls__V3__Secret pb_secret;
typedef Envoy__Extensions__TransportSockets__Tls__V3__TlsSessionTicketKeys pb_tickets;
typedef Envoy__Extensions__TransportSockets__Tls__V3__TlsParameters pb_params;

struct secret_names {
    VEC(char *) all;
};

struct tls_slot {
    atomic_uint refs;
    bool server;
    char *packed; /* the message */
    size_t packed_n;
    struct secret_names secrets;     /* of the last build that went well */
    struct tls_ticket_keys *tickets; /* a server's own, when the configuration names none */
    pthread_mutex_t lock;
    struct tls_context *context; /* guarded by lock */
};

/* What one build has in hand: everything lies in c->scratch. */
struct build {
    struct compile *c;
    struct tls_slot *slot;
    struct tls_config config;
    struct tls_certificate *certificates;
    struct tls_ticket_keys *tickets; /* NULL: the slot's, or none */
    bool waits;                      /* for a secret that has not come */
};

#define ALLOC(b, n, type)                                                                          \
    ((type *)arena_alloc((b)->c->scratch, MAX((size_t)(n), (size_t)1) * sizeof(type)))

/* ---- secrets ---- */

/* *ret NULL: it will come, and b->waits. */
static int find_secret(struct build *b, const pb_sds *m, int type, const pb_secret **ret)
{
    struct compile *c = b->c;
    *ret = NULL;
    if (b->slot->secrets.all.n >= TLS_SLOT_SECRETS_MAX)
        return COMPILE_FAIL(c, "more than %d secrets", TLS_SLOT_SECRETS_MAX);
    vec_push(&b->slot->secrets.all, xstrdup(m->name));
    const pb_secret *s =
        c->find_secret ? c->find_secret(str_from(m->name), m->sds_config, c->secrets) : NULL;
    if (!s && !m->sds_config)
        return COMPILE_FAIL(c, "Unknown static secret: %s", m->name);
    if (s && (int)s->type_case != type)
        return COMPILE_FAIL(c, "secret '%s' is of another type", m->name);
    b->waits = b->waits || !s;
    *ret = s;
    return 0;
}

/* ---- own certificates ---- */

static int add_certificate(struct build *b, const pb_certificate *m)
{
    struct compile *c = b->c;
    struct tls_certificate *to = &b->certificates[b->config.n_certificates];
    size_t mark = pb_path_field(&c->path, "certificate_chain");
    *to = (struct tls_certificate){0};
    int r = data_source_read(c, m->certificate_chain, &to->chain_pem);
    if (r < 0)
        return r;
    pb_path_back(&c->path, mark);
    pb_path_field(&c->path, "private_key");
    r = data_source_read(c, m->private_key, &to->key_pem);
    if (r < 0)
        return r;
    pb_path_back(&c->path, mark);
    if (m->password)
        return COMPILE_FAIL(c, "password: keys with a password are not implemented");
    if (!to->chain_pem.n || !to->key_pem.n)
        return COMPILE_FAIL(c, "certificate_chain and private_key must be set");
    b->config.n_certificates++;
    return 0;
}

static int add_certificates(struct build *b, const pb_common *m)
{
    struct compile *c = b->c;
    size_t n = m->n_tls_certificates + m->n_tls_certificate_sds_secret_configs;
    if (n > TLS_CERTIFICATES_MAX)
        return COMPILE_FAIL(c, "more than %d certificates", TLS_CERTIFICATES_MAX);
    if (!b->slot->server && n > 1)
        return COMPILE_FAIL(c, "Multiple TLS certificates are not supported for client contexts");
    b->certificates = ALLOC(b, n, struct tls_certificate);
    if (!b->certificates)
        return COMPILE_FAIL(c, "no memory");
    for (size_t i = 0; i < n; i++) {
        bool sds = i >= m->n_tls_certificates;
        const pb_secret *s = NULL;
        int r = 0;
        size_t mark = pb_path_field(&c->path, sds ? "tls_certificate_sds_secret_configs"
                                                  : "tls_certificates");
        pb_path_index(&c->path, sds ? i - m->n_tls_certificates : i);
        if (sds)
            r = find_secret(
                b, m->tls_certificate_sds_secret_configs[i - m->n_tls_certificates],
                ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__SECRET__TYPE_TLS_CERTIFICATE, &s);
        if (r == 0 && (s || !sds))
            r = add_certificate(b, sds ? s->tls_certificate : m->tls_certificates[i]);
        if (r < 0)
            return r;
        pb_path_back(&c->path, mark);
    }
    b->config.certificates = b->certificates;
    return 0;
}

/* ---- whom we trust ---- */

typedef Envoy__Type__Matcher__V3__StringMatcher pb_string;

static int text_match(struct compile *c, const pb_string *s, int kind, struct tls_name_match *ret)
{
    if (s->ignore_case && kind != TLS_NAME_DNS)
        return COMPILE_FAIL(c, "ignore_case is implemented for DNS only");
    ret->kind = (enum tls_name_kind)kind;
    switch ((int)s->match_pattern_case) {
    case ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_EXACT:
        *ret = (struct tls_name_match){ret->kind, TLS_MATCH_EXACT, str_from(s->exact)};
        return 0;
    case ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_PREFIX:
        *ret = (struct tls_name_match){ret->kind, TLS_MATCH_PREFIX, str_from(s->prefix)};
        return 0;
    case ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_SUFFIX:
        *ret = (struct tls_name_match){ret->kind, TLS_MATCH_SUFFIX, str_from(s->suffix)};
        return 0;
    case ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_CONTAINS:
        *ret = (struct tls_name_match){ret->kind, TLS_MATCH_CONTAINS, str_from(s->contains)};
        return 0;
    default:
        return COMPILE_FAIL(c, "matcher: a regular expression is not implemented here");
    }
}

static int name_match(struct compile *c,
                      const Envoy__Extensions__TransportSockets__Tls__V3__SubjectAltNameMatcher *m,
                      struct tls_name_match *ret)
{
    static const int kinds[] = {[0] = -1,           [1] = TLS_NAME_EMAIL, [2] = TLS_NAME_DNS,
                                [3] = TLS_NAME_URI, [4] = TLS_NAME_IP,    [5] = -1};
    int kind = (size_t)m->san_type < ARRAY_LEN(kinds) ? kinds[m->san_type] : -1;
    if (kind < 0 || !m->matcher)
        return COMPILE_FAIL(c, "san_type must be one of EMAIL, DNS, URI and IP_ADDRESS");
    return text_match(c, m->matcher, kind, ret);
}

/* Could such a name be of its kind? What begins as names of the mesh do is a URI. */
static bool may_be(const struct tls_name_match *m)
{
    struct ip ip;
    if (str_starts(m->value, STR("spiffe://")))
        return m->kind == TLS_NAME_URI;
    return m->kind != TLS_NAME_IP || (m->how == TLS_MATCH_EXACT && ip_parse(m->value, &ip) == 0);
}

/* The older form does not say of which kind a name is: of any. */
static int add_old_names(struct build *b, const pb_validation *m)
{
    struct compile *c = b->c;
    size_t n = m->n_match_subject_alt_names * _TLS_NAME_KIND_MAX, used = 0;
    struct tls_name_match *names =
        n <= 4u * TLS_PEER_NAMES_MAX ? ALLOC(b, MAX(n, (size_t)1), struct tls_name_match) : NULL;
    for (size_t i = 0; names && i < m->n_match_subject_alt_names; i++) {
        const pb_string *s = m->match_subject_alt_names[i];
        size_t mark = pb_path_field(&c->path, "match_subject_alt_names");
        pb_path_index(&c->path, i);
        for (int kind = 0; kind < _TLS_NAME_KIND_MAX; kind++) {
            int r = text_match(c, s, kind, &names[used]);
            if (r < 0)
                return r;
            used += may_be(&names[used]);
        }
        pb_path_back(&c->path, mark);
    }
    if (!names || used > TLS_PEER_NAMES_MAX)
        return COMPILE_FAIL(c, "more than %d names", TLS_PEER_NAMES_MAX);
    b->config.peer_names = names;
    b->config.n_peer_names = used;
    return 0;
}

static int add_names(struct build *b, const pb_validation *m)
{
    size_t n = m->n_match_typed_subject_alt_names;
    struct compile *c = b->c;
    if (!n) /* the newer form stands in place of the older one */
        return m->n_match_subject_alt_names ? add_old_names(b, m) : 0;
    if (n > TLS_PEER_NAMES_MAX)
        return COMPILE_FAIL(c, "more than %d names", TLS_PEER_NAMES_MAX);
    struct tls_name_match *names = ALLOC(b, n, struct tls_name_match);
    if (!names)
        return COMPILE_FAIL(c, "no memory");
    for (size_t i = 0; i < n; i++) {
        size_t mark = pb_path_field(&c->path, "match_typed_subject_alt_names");
        pb_path_index(&c->path, i);
        int r = name_match(c, m->match_typed_subject_alt_names[i], &names[i]);
        if (r < 0)
            return r;
        pb_path_back(&c->path, mark);
    }
    b->config.peer_names = names;
    b->config.n_peer_names = n;
    return 0;
}

/* One message: names add to (and a CA replaces) what an earlier one has said. */
static int add_validation(struct build *b, const pb_validation *m)
{
    struct compile *c = b->c;
    struct str pem;
    b->config.accept_unverified = m->trust_chain_verification;
    if (m->max_verify_depth) {
        b->config.has_verify_depth = true;
        b->config.verify_depth = m->max_verify_depth->value;
    }
    size_t mark = pb_path_field(&c->path, "trusted_ca");
    int r = data_source_read(c, m->trusted_ca, &pem);
    if (r < 0)
        return r;
    pb_path_back(&c->path, mark);
    if (m->trusted_ca && !pem.n)
        return COMPILE_FAIL(c, "trusted_ca is empty");
    if (pem.n)
        b->config.ca_pem = pem;
    mark = pb_path_field(&c->path, "crl");
    r = data_source_read(c, m->crl, &pem);
    if (r < 0)
        return r;
    pb_path_back(&c->path, mark);
    if (pem.n)
        b->config.crl_pem = pem;
    return add_names(b, m);
}

static int add_validation_secret(struct build *b, const pb_sds *m)
{
    const pb_secret *s;
    int r = find_secret(
        b, m, ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__SECRET__TYPE_VALIDATION_CONTEXT, &s);
    return r < 0 || !s ? r : add_validation(b, s->validation_context);
}

static int add_trust(struct build *b, const pb_common *m)
{
    struct compile *c = b->c;
    size_t mark = c->path.n;
    int r = 0;
    switch ((int)m->validation_context_type_case) {
    case ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__COMMON_TLS_CONTEXT__VALIDATION_CONTEXT_TYPE_VALIDATION_CONTEXT:
        pb_path_field(&c->path, "validation_context");
        r = add_validation(b, m->validation_context);
        break;
    case ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__COMMON_TLS_CONTEXT__VALIDATION_CONTEXT_TYPE_VALIDATION_CONTEXT_SDS_SECRET_CONFIG:
        pb_path_field(&c->path, "validation_context_sds_secret_config");
        r = add_validation_secret(b, m->validation_context_sds_secret_config);
        break;
    case ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__COMMON_TLS_CONTEXT__VALIDATION_CONTEXT_TYPE_COMBINED_VALIDATION_CONTEXT:
        pb_path_field(&c->path, "combined_validation_context");
        if (m->combined_validation_context->default_validation_context)
            r = add_validation(b, m->combined_validation_context->default_validation_context);
        if (r == 0)
            r = add_validation_secret(
                b, m->combined_validation_context->validation_context_sds_secret_config);
        break;
    default:
        break;
    }
    if (r < 0)
        return r;
    pb_path_back(&c->path, mark);
    if (b->config.n_peer_names && !b->config.ca_pem.n && !b->waits)
        return COMPILE_FAIL(c, "SAN-based verification of peer certificates without trusted CA is "
                               "insecure and not allowed");
    return 0;
}

/* ---- parameters ---- */

static const char *version_of(int v)
{
    return v == ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__TLS_PARAMETERS__TLS_PROTOCOL__TLSv1_3
               ? "1.3"
           : v == ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__TLS_PARAMETERS__TLS_PROTOCOL__TLSv1_2
               ? "1.2"
               : NULL;
}

static const char *join(struct build *b, char *const *words, size_t n)
{
    AUTO_DONE(buf) struct buf text = {0};
    for (size_t i = 0; i < n; i++)
        buf_addf(&text, "%s%s", i ? ":" : "", words[i]);
    struct str copy = arena_str(b->c->scratch, str_from(buf_cstr(&text)));
    char *ended = arena_alloc(b->c->scratch, copy.n + 1);
    if (!ended || !copy.p)
        return NULL;
    memcpy(ended, copy.p, copy.n);
    ended[copy.n] = 0;
    return ended;
}

static int add_parameters(struct build *b, const pb_params *m)
{
    struct compile *c = b->c;
    if (!m)
        return 0;
    int low = m->tls_minimum_protocol_version, high = m->tls_maximum_protocol_version;
    size_t mark = pb_path_field(&c->path, "tls_params");
    if (low == 1 || low == 2 || high == 1 || high == 2)
        return COMPILE_FAIL(c, "TLS below 1.2 is not implemented");
    if (m->n_signature_algorithms)
        return COMPILE_FAIL(c, "signature_algorithms is not implemented");
    b->config.min_version = version_of(low);
    b->config.max_version = version_of(high);
    if (m->n_cipher_suites && !(b->config.ciphers = join(b, m->cipher_suites, m->n_cipher_suites)))
        return COMPILE_FAIL(c, "no memory");
    if (m->n_ecdh_curves && !(b->config.curves = join(b, m->ecdh_curves, m->n_ecdh_curves)))
        return COMPILE_FAIL(c, "no memory");
    pb_path_back(&c->path, mark);
    return 0;
}

static int add_common(struct build *b, const pb_common *m)
{
    struct compile *c = b->c;
    if (!m)
        return 0;
    size_t mark = pb_path_field(&c->path, "common_tls_context");
    int r = add_certificates(b, m);
    if (r == 0)
        r = add_trust(b, m);
    if (r == 0)
        r = add_parameters(b, m->tls_params);
    if (r < 0)
        return r;
    struct str *names = ALLOC(b, m->n_alpn_protocols, struct str);
    if (!names)
        return COMPILE_FAIL(c, "no memory");
    for (size_t i = 0; i < m->n_alpn_protocols; i++)
        names[i] = str_from(m->alpn_protocols[i]);
    b->config.alpn = names;
    b->config.n_alpn = m->n_alpn_protocols;
    pb_path_back(&c->path, mark);
    return 0;
}

/* ---- a server ---- */

static int add_ticket_keys(struct build *b, const pb_tickets *m)
{
    struct compile *c = b->c;
    struct str keys[TLS_TICKET_KEYS_MAX];
    if (m->n_keys > TLS_TICKET_KEYS_MAX)
        return COMPILE_FAIL(c, "more than %d keys", TLS_TICKET_KEYS_MAX);
    for (size_t i = 0; i < m->n_keys; i++) {
        size_t mark = pb_path_field(&c->path, "keys");
        pb_path_index(&c->path, i);
        int r = data_source_read(c, m->keys[i], &keys[i]);
        if (r < 0)
            return r;
        if (keys[i].n != TLS_TICKET_KEY_BYTES)
            return COMPILE_FAIL(c,
                                "Incorrect TLS session ticket key length. Length %zu, expected "
                                "length %d.",
                                keys[i].n, TLS_TICKET_KEY_BYTES);
        pb_path_back(&c->path, mark);
    }
    struct err err = {0};
    int r = tls_ticket_keys_new(keys, m->n_keys, &b->tickets, &err);
    return r < 0 ? COMPILE_FAIL(c, "%s", err_text(&err)) : 0;
}

static int add_tickets(struct build *b, const pb_downstream *m)
{
    struct compile *c = b->c;
    const pb_secret *s;
    struct err err = {0};
    size_t mark = c->path.n;
    int r = 0;
    switch ((int)m->session_ticket_keys_type_case) {
    case ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__DOWNSTREAM_TLS_CONTEXT__SESSION_TICKET_KEYS_TYPE_SESSION_TICKET_KEYS:
        pb_path_field(&c->path, "session_ticket_keys");
        r = add_ticket_keys(b, m->session_ticket_keys);
        break;
    case ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__DOWNSTREAM_TLS_CONTEXT__SESSION_TICKET_KEYS_TYPE_SESSION_TICKET_KEYS_SDS_SECRET_CONFIG:
        pb_path_field(&c->path, "session_ticket_keys_sds_secret_config");
        r = find_secret(
            b, m->session_ticket_keys_sds_secret_config,
            ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__SECRET__TYPE_SESSION_TICKET_KEYS, &s);
        if (r == 0 && s)
            r = add_ticket_keys(b, s->session_ticket_keys);
        break;
    case ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__DOWNSTREAM_TLS_CONTEXT__SESSION_TICKET_KEYS_TYPE_DISABLE_STATELESS_SESSION_RESUMPTION:
        if (m->disable_stateless_session_resumption)
            return 0;
        break;
    default:
        break;
    }
    if (r < 0)
        return r;
    pb_path_back(&c->path, mark);
    /* Keys of our own, of which the last is kept at each build: what was given out stays good. */
    struct tls_ticket_keys *before = b->slot->tickets;
    if (!b->tickets && !b->waits) {
        if (tls_ticket_keys_new_random(before, 1, &b->slot->tickets, &err) < 0)
            return COMPILE_FAIL(c, "%s", err_text(&err));
        tls_ticket_keys_unref(before);
    }
    b->config.ticket_keys = b->tickets ? b->tickets : b->slot->tickets;
    return 0;
}

static int build_server(struct build *b, const pb_downstream *m, struct tls_context **ret)
{
    struct compile *c = b->c;
    struct err err = {0};
    int r = add_common(b, m->common_tls_context);
    if (r < 0)
        return r;
    b->config.require_peer_cert =
        m->require_client_certificate && m->require_client_certificate->value;
    if (b->config.require_peer_cert && !b->config.ca_pem.n && !b->waits)
        return COMPILE_FAIL(c, "require_client_certificate: trusted_ca must be set, or whoever has "
                               "any certificate would be let in");
    if (b->config.accept_unverified && (b->config.require_peer_cert || b->config.n_peer_names))
        return COMPILE_FAIL(c, "trust_chain_verification: ACCEPT_UNTRUSTED beside "
                               "require_client_certificate or names that must match");
    if (m->require_sni && m->require_sni->value)
        return COMPILE_FAIL(c, "require_sni: use filter_chain_match.server_names");
    if (!b->config.n_certificates && !b->waits)
        return COMPILE_FAIL(c, "No TLS certificates found for server context");
    r = add_tickets(b, m);
    if (r == 0 && !b->waits && tls_context_new_server(&b->config, ret, &err) < 0)
        r = COMPILE_FAIL(c, "%s", err_text(&err));
    tls_ticket_keys_unref(b->tickets);
    return r;
}

static int build_client(struct build *b, const pb_upstream *m, struct tls_context **ret)
{
    struct err err = {0};
    int r = add_common(b, m->common_tls_context);
    if (r < 0)
        return r;
    if (b->config.accept_unverified)
        return COMPILE_FAIL(b->c, "trust_chain_verification: ACCEPT_UNTRUSTED is for servers");
    b->config.insecure = !b->config.ca_pem.n;
    if (!b->waits && tls_context_new_client(&b->config, ret, &err) < 0)
        return COMPILE_FAIL(b->c, "%s", err_text(&err));
    return 0;
}

/* ---- slots ---- */

static void names_done(struct secret_names *n)
{
    VEC_FOREACH (name, &n->all)
        free(*name);
    vec_done(&n->all);
}

void tls_slot_unref(struct tls_slot *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    names_done(&s->secrets);
    tls_context_unref(s->context);
    tls_ticket_keys_unref(s->tickets);
    pthread_mutex_destroy(&s->lock);
    free(s->packed);
    free(s);
}

struct tls_context *tls_slot_context(struct tls_slot *s)
{
    pthread_mutex_lock(&s->lock);
    struct tls_context *c = s->context ? tls_context_ref(s->context) : NULL;
    pthread_mutex_unlock(&s->lock);
    return c;
}

bool tls_slot_needs(const struct tls_slot *s, struct str secret)
{
    VEC_FOREACH (name, &s->secrets.all)
        if (str_is(secret, *name))
            return true;
    return false;
}

const char *tls_slot_secret(const struct tls_slot *s, size_t i)
{
    return i < s->secrets.all.n ? s->secrets.all.v[i] : NULL;
}

bool tls_slot_is_ready(const struct tls_slot *s)
{
    return s->context != NULL;
}

int tls_slot_rebuild(struct tls_slot *s, struct compile *c)
{
    struct build b = {.c = c, .slot = s};
    struct tls_context *context = NULL;
    ProtobufCMessage *m;
    int r = pb_unpack(
        s->server
            ? &envoy__extensions__transport_sockets__tls__v3__downstream_tls_context__descriptor
            : &envoy__extensions__transport_sockets__tls__v3__upstream_tls_context__descriptor,
        str_of(s->packed, s->packed_n), c->scratch, &m, c->err);
    if (r < 0)
        return r;
    struct secret_names before_names = s->secrets;
    s->secrets = (struct secret_names){0};
    r = s->server ? build_server(&b, (const void *)m, &context)
                  : build_client(&b, (const void *)m, &context);
    names_done(r < 0 ? &s->secrets : &before_names);
    if (r < 0)
        s->secrets = before_names;
    if (r < 0 || !context)
        return r;
    pthread_mutex_lock(&s->lock);
    struct tls_context *before = s->context;
    s->context = context;
    pthread_mutex_unlock(&s->lock);
    tls_context_unref(before);
    return 0;
}

/* 1: plain. */
static int slot_new(struct compile *c, const Envoy__Config__Core__V3__TransportSocket *m,
                    bool server, struct tls_slot **ret)
{
    static const char raw[] = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer";
    const char *wanted = server ? "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
                                : "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
    const Google__Protobuf__Any *any = m->typed_config;
    struct str type = any ? pb_type_name(str_from(any->type_url)) : STR("");
    if (str_is(type, raw))
        return 1;
    pb_path_field(&c->path, "typed_config");
    if (!str_is(type, wanted))
        return COMPILE_FAIL(c, "expected %s or %s", wanted, raw);
    struct tls_slot *s = NEW(struct tls_slot);
    s->refs = 1;
    s->server = server;
    pthread_mutex_init(&s->lock, NULL);
    s->packed = try_malloc(any->value.len + 1);
    s->packed_n = any->value.len;
    if (s->packed)
        memcpy(s->packed, any->value.data, s->packed_n);
    int r = s->packed ? tls_slot_rebuild(s, c) : COMPILE_FAIL(c, "no memory");
    if (r < 0) {
        tls_slot_unref(s);
        return r;
    }
    *ret = s;
    return 0;
}

int tls_slot_compile_server(struct compile *c, const Envoy__Config__Core__V3__TransportSocket *m,
                            struct tls_slot **ret)
{
    size_t mark = c->path.n;
    *ret = NULL;
    int r = slot_new(c, m, true, ret);
    if (r >= 0)
        pb_path_back(&c->path, mark);
    return r < 0 ? r : 0;
}

/* What is said before anything else, and the socket within. */
static int unwrap(struct compile *c, const Envoy__Config__Core__V3__TransportSocket **m,
                  uint8_t *ret_proxy)
{
    static const char wrapper[] =
        "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport";
    const Google__Protobuf__Any *any = (*m)->typed_config;
    ProtobufCMessage *message;
    *ret_proxy = 0;
    if (!any || !str_is(pb_type_name(str_from(any->type_url)), wrapper))
        return 0;
    pb_path_field(&c->path, "typed_config");
    int r = pb_unpack(
        &envoy__extensions__transport_sockets__proxy_protocol__v3__proxy_protocol_upstream_transport__descriptor,
        str_of(any->value.data, any->value.len), c->scratch, &message, c->err);
    if (r < 0)
        return r;
    const pb_proxy *p = (const void *)message;
    switch (p->config ? (int)p->config->version : 0) {
    case ENVOY__CONFIG__CORE__V3__PROXY_PROTOCOL_CONFIG__VERSION__V1:
        *ret_proxy = 1;
        break;
    case ENVOY__CONFIG__CORE__V3__PROXY_PROTOCOL_CONFIG__VERSION__V2:
        *ret_proxy = 2;
        break;
    default:
        return COMPILE_FAIL(c, "config.version: is none");
    }
    if (!p->transport_socket)
        return COMPILE_FAIL(c, "transport_socket must be set");
    *m = p->transport_socket;
    pb_path_field(&c->path, "transport_socket");
    return 0;
}

int upstream_tls_compile(struct compile *c, const Envoy__Config__Core__V3__TransportSocket *m,
                         struct upstream_tls **ret, uint8_t *ret_proxy)
{
    size_t mark = c->path.n;
    struct tls_slot *slot = NULL;
    ProtobufCMessage *message;
    *ret = NULL;
    int r = unwrap(c, &m, ret_proxy);
    if (r == 0)
        r = slot_new(c, m, false, &slot);
    if (r == 1)
        pb_path_back(&c->path, mark);
    if (r != 0)
        return r < 0 ? r : 0;
    r = pb_unpack(&envoy__extensions__transport_sockets__tls__v3__upstream_tls_context__descriptor,
                  str_of(slot->packed, slot->packed_n), c->scratch, &message, c->err);
    const pb_upstream *u = (const void *)message;
    if (r == 0 && (u->auto_host_sni || u->auto_sni_san_validation))
        r = COMPILE_FAIL(c, "auto_host_sni and auto_sni_san_validation are not implemented");
    if (r < 0) {
        tls_slot_unref(slot);
        return r;
    }
    struct upstream_tls *t = NEW(struct upstream_tls);
    t->slot = slot;
    t->sni = str_empty(u->sni) ? NULL : xstrdup(u->sni);
    t->has_alpn = u->common_tls_context && u->common_tls_context->n_alpn_protocols;
    for (size_t i = 0; t->has_alpn && i < u->common_tls_context->n_alpn_protocols; i++)
        t->in_mesh = t->in_mesh || streq(u->common_tls_context->alpn_protocols[i], "istio");
    t->resume = !u->max_session_keys || u->max_session_keys->value;
    *ret = t;
    pb_path_back(&c->path, mark);
    return 0;
}

void upstream_tls_free(struct upstream_tls *t)
{
    if (!t)
        return;
    tls_slot_unref(t->slot);
    free(t->sni);
    free(t);
}

struct tls_session_options upstream_tls_options(const struct upstream_tls *t, unsigned version)
{
    static const struct str http1[] = {STR("istio-http/1.1"), STR("istio"), STR("http/1.1")},
                            http2[] = {STR("istio-h2"), STR("istio"), STR("h2")};
    struct tls_session_options o = {.sni = t->sni, .resume = t->resume};
    if (t->in_mesh && version) {
        o.alpn = version == 2 ? http2 : http1;
        o.n_alpn = version == 2 ? ARRAY_LEN(http2) : ARRAY_LEN(http1);
    }
    return o;
}
