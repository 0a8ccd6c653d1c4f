/* One request and one answer a call. The token is asked about while the request comes; both are
 * looked at when all is there: some clients lose an answer that comes before they have said what
 * they want. */
#include "control/certificate_service.h"

#include <errno.h>
#include <istio/v1/auth/ca.pb-c.h>

#include "base/list.h"
#include "base/log.h"
#include "codec/pb_msg.h"
#include "control/callers.h"

#define PATH "/istio.v1.auth.IstioCertificateService/CreateCertificate"

enum {
    CALLS_MAX = 1024,
    REQUEST_BYTES_MAX = 64 * 1024,
    NOBODY_MS = 200,        /* for the rest of a request that is refused anyway */
    REQUEST_MS = 10 * 1000, /* from the call to its request and its caller's name */
};

typedef Istio__V1__Auth__IstioCertificateRequest pb_request;
typedef Istio__V1__Auth__IstioCertificateResponse pb_response;

struct certificate_service {
    struct kube_client *client;
    struct ca *ca; /* NULL: not known yet */
    char *trust_domain;
    uint32_t lifetime_s;
    struct list_node calls;
    size_t n_calls;
    struct certificate_service_stats stats;
};

struct request {
    struct list_node node;
    struct certificate_service *service;
    struct grpc_server_call *call;
    struct callers_check *check; /* NULL: it is known who asks */
    struct loop_timer *timer;
    char *account;      /* "system:serviceaccount:NAMESPACE:NAME"; NULL: */
    const char *nobody; /* why it is nobody: constant */
    struct buf message;
    bool has_message, ended;
};

const char *certificate_refusal_word(enum certificate_refusal r)
{
    static const char *const words[] = {[CERTIFICATE_NO_CA] = "no_ca",
                                        [CERTIFICATE_BUSY] = "busy",
                                        [CERTIFICATE_CALLER] = "caller",
                                        [CERTIFICATE_NO_ACCOUNT] = "no_account",
                                        [CERTIFICATE_BAD_REQUEST] = "bad_request",
                                        [CERTIFICATE_BAD_KEY] = "bad_key"};
    ASSERT((size_t)r < ARRAY_LEN(words));
    return words[r];
}

static void request_free(struct request *q)
{
    list_remove(&q->node);
    q->service->n_calls--;
    callers_cancel(q->check);
    loop_timer_free(q->timer);
    buf_done(&q->message);
    free(q->account);
    free(q);
}

static void refuse(struct request *q, enum certificate_refusal reason, enum grpc_code code,
                   const char *why)
{
    q->service->stats.refused[reason]++;
    log_warn("a certificate is refused", kv_s("account", q->account ? q->account : "?"),
             kv_s("reason", certificate_refusal_word(reason)), kv_s("error", why));
    grpc_server_call_end(q->call, code, why);
    request_free(q);
}

/* ---- the answer ---- */

/* Istio's agents say CertSigner "" where they want none. */
static bool is_empty_text(const Google__Protobuf__Value *v)
{
    return v && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE && !*v->string_value;
}

/* Names in its metadata that ask for something else than the caller's own certificate. */
static const char *find_foreign(const pb_request *m)
{
    static const char *const names[] = {"ImpersonatedIdentity", "CertSigner"};
    for (size_t i = 0; m->metadata && i < m->metadata->n_fields; i++)
        for (size_t k = 0; k < ARRAY_LEN(names); k++)
            if (streq(m->metadata->fields[i]->key, names[k]) &&
                !is_empty_text(m->metadata->fields[i]->value))
                return names[k];
    return NULL;
}

static uint32_t lifetime(const struct certificate_service *s, const pb_request *m)
{
    int64_t wanted = m->validity_duration;
    return wanted > 0 && wanted < s->lifetime_s ? (uint32_t)wanted : s->lifetime_s;
}

static void send_answer(struct request *q, const struct ca_answer *a)
{
    AUTO_DONE(buf) struct buf b = {0};
    char *strings[CA_CHAIN_MAX + 2];
    pb_response m;
    istio__v1__auth__istio_certificate_response__init(&m);
    m.cert_chain = strings;
    VEC_FOREACH (one, &a->certificates)
        strings[m.n_cert_chain++] = (char *)(uintptr_t)buf_cstr(one);
    if (pb_pack(&m.base, &b) < 0) {
        refuse(q, CERTIFICATE_NO_CA, GRPC_UNAVAILABLE, "no memory");
        return;
    }
    q->service->stats.issued++;
    grpc_server_call_send(q->call, buf_str(&b));
    grpc_server_call_end(q->call, GRPC_OK, NULL);
    request_free(q);
}

static void sign(struct request *q, const pb_request *m)
{
    AUTO_DONE(ca_answer) struct ca_answer answer = {0};
    struct certificate_service *s = q->service;
    struct err err = {0};
    struct str name, ns = callers_account(q->account, &name);
    const char *foreign = find_foreign(m);
    if (!ns.n) {
        refuse(q, CERTIFICATE_NO_ACCOUNT, GRPC_PERMISSION_DENIED,
               "the token is not one of a service account");
        return;
    }
    if (foreign) {
        AUTO_CHARS char *why = xasprintf("metadata: %s is not offered", foreign);
        refuse(q, CERTIFICATE_BAD_REQUEST, GRPC_PERMISSION_DENIED, why);
        return;
    }
    int r = s->ca ? ca_sign(s->ca, ns, name, str_from(m->csr), lifetime(s, m), &answer, &err)
                  : err_set(&err, -EKEYEXPIRED, NULL, "the CA is not known yet");
    if (r == 0)
        send_answer(q, &answer);
    else if (r == -EKEYEXPIRED || r == -EIO || r == -ENOMEM)
        refuse(q, CERTIFICATE_NO_CA, GRPC_UNAVAILABLE, err_text(&err));
    else
        refuse(q, r == -EKEYREJECTED ? CERTIFICATE_BAD_KEY : CERTIFICATE_BAD_REQUEST,
               GRPC_INVALID_ARGUMENT, err_text(&err));
}

static void answer(struct request *q)
{
    AUTO(arena) struct arena *a = arena_new(REQUEST_BYTES_MAX * 8);
    struct err err = {0};
    ProtobufCMessage *m;
    if (q->check || !q->ended)
        return;
    if (!q->account)
        refuse(q, CERTIFICATE_CALLER, GRPC_UNAUTHENTICATED, q->nobody);
    else if (!q->has_message)
        refuse(q, CERTIFICATE_BAD_REQUEST, GRPC_INVALID_ARGUMENT, "there is no request");
    else if (pb_unpack(&istio__v1__auth__istio_certificate_request__descriptor,
                       buf_str(&q->message), a, &m, &err) < 0)
        refuse(q, CERTIFICATE_BAD_REQUEST, GRPC_INVALID_ARGUMENT, err_text(&err));
    else
        sign(q, (const void *)m);
}

/* ---- the call ---- */

static void on_known(bool ok, const char *name, const char *why, void *user)
{
    struct request *q = user;
    q->check = NULL;
    q->account = ok ? xstrdup(name) : NULL;
    q->nobody = why;
    if (!ok && !q->ended) /* some clients lose an answer before their request's end */
        loop_timer_start(q->timer, NOBODY_MS);
    answer(q);
}

static void on_message(struct grpc_server_call *call, struct str message, void *user)
{
    struct request *q = user;
    (void)call;
    if (q->has_message || message.n > REQUEST_BYTES_MAX) {
        refuse(q, CERTIFICATE_BAD_REQUEST, GRPC_INVALID_ARGUMENT,
               q->has_message ? "one request a call" : "the request is too long");
        return;
    }
    q->has_message = true;
    buf_add_str(&q->message, message);
}

static void on_client_end(struct grpc_server_call *call, void *user)
{
    struct request *q = user;
    (void)call;
    q->ended = true;
    answer(q);
}

static void on_over(struct grpc_server_call *call, void *user)
{
    (void)call;
    request_free(user);
}

static void on_late(void *user)
{
    struct request *q = user;
    if (q->nobody) {
        refuse(q, CERTIFICATE_CALLER, GRPC_UNAUTHENTICATED, q->nobody);
        return;
    }
    refuse(q, q->check ? CERTIFICATE_CALLER : CERTIFICATE_BAD_REQUEST, GRPC_DEADLINE_EXCEEDED,
           q->check ? "the API server has not said who asks" : "the request has not come");
}

bool certificate_service_take(struct certificate_service *s, struct grpc_server_call *call)
{
    static const struct grpc_server_call_ops ops = {
        .on_message = on_message, .on_client_end = on_client_end, .on_over = on_over};
    if (!str_is(grpc_server_call_path(call), PATH))
        return false;
    if (s->n_calls >= CALLS_MAX) {
        s->stats.refused[CERTIFICATE_BUSY]++;
        grpc_server_call_end(call, GRPC_RESOURCE_EXHAUSTED, "too many requests: try again");
        return true;
    }
    struct request *q = NEW(struct request);
    q->service = s;
    q->call = call;
    list_add_tail(&s->calls, &q->node);
    s->n_calls++;
    q->timer = loop_timer_new(kube_client_loop(s->client), on_late, q);
    loop_timer_start(q->timer, REQUEST_MS);
    grpc_server_call_set_ops(call, &ops, q);
    q->check =
        callers_ask(s->client, grpc_server_call_metadata(call, "authorization"), on_known, q);
    return true;
}

/* ---- the service ---- */

struct certificate_service *certificate_service_new(struct kube_client *c,
                                                    const struct certificate_service_options *o)
{
    struct certificate_service *s = NEW(struct certificate_service);
    ASSERT(o->lifetime_s);
    s->client = c;
    s->trust_domain = xstrdup(o->trust_domain);
    s->lifetime_s = o->lifetime_s;
    list_init(&s->calls);
    return s;
}

void certificate_service_free(struct certificate_service *s)
{
    if (!s)
        return;
    ASSERT(list_is_empty(&s->calls));
    ca_free(s->ca);
    free(s->trust_domain);
    free(s);
}

int certificate_service_set_ca(struct certificate_service *s, const struct ca_material *m,
                               struct err *reterr)
{
    struct ca *before = s->ca;
    int r = ca_new(m, s->trust_domain, &s->ca, reterr);
    if (r < 0)
        return r;
    ca_free(before);
    return 0;
}

void certificate_service_get_stats(const struct certificate_service *s,
                                   struct certificate_service_stats *ret)
{
    *ret = s->stats;
}
