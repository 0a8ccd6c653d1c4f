/* One call at a time. What has come is checked as a whole before the store is told: a certificate
 * that does not fit its key, or is below none of the roots, changes nothing. */
#include "proxy/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <istio/v1/auth/ca.pb-c.h>

#include "base/log.h"
#include "base/rand.h"
#include "base/time.h"
#include "codec/pb_msg.h"
#include "net/tls_csr.h"
#include "proxy/control_channel.h"
#include "proxy/own_secret.h"

#define METHOD "/istio.v1.auth.IstioCertificateService/CreateCertificate"

enum {
    PAUSE_MS = 500, /* behind a failure, doubled each time */
    PAUSE_MAX_MS = 30 * 1000,
    CALL_MS = 20 * 1000,
    ROOT_FILE_MS = 20 * 1000, /* between two looks */
    RENEW_MIN_MS = 1000,
    ANSWER_BYTES_MAX = 1 << 20,
    ROOT_BYTES_MAX = 256 * 1024,
};

struct identity {
    struct loop *loop;
    struct store *store;
    char *cluster, *token_file, *root_file;
    struct grpc_channel *channel;
    struct grpc_call *call;
    struct loop_timer *timer; /* of the next try, or of an answer that does not come */
    struct loop_timer *look;  /* at the file of roots */
    struct loop_call give;
    uint64_t pause_ms;
    struct buf new_key;    /* of the request under way */
    struct buf chain, key; /* in force; empty: none yet */
    struct buf roots;      /* that the CA has said */
    struct buf file_roots; /* of the file */
    bool wants_certificate, wants_trust;
    unsigned serial; /* of what is given, as its version */
};

static void on_try(void *user);

static void wipe(struct buf *b)
{
    if (b->p)
        explicit_bzero(b->p, b->size);
    buf_done(b);
}

/* ---- what the store is given ---- */

static void give_certificate(struct identity *i)
{
    IGNORE_RESULT(own_secret_give_certificate(i->store, IDENTITY_CERTIFICATE, ++i->serial,
                                              &i->chain, &i->key));
}

static void give_trust(struct identity *i)
{
    AUTO_DONE(buf) struct buf all = {0};
    buf_add_str(&all, buf_str(&i->roots));
    buf_add_char(&all, '\n');
    buf_add_str(&all, buf_str(&i->file_roots));
    IGNORE_RESULT(
        own_secret_give_trust(i->store, IDENTITY_TRUST, ++i->serial, &all, &(struct buf){0}));
}

/* Trust first: a peer's answer to the new certificate may be a new one, too. */
static void on_give(void *user)
{
    struct identity *i = user;
    if (i->wants_trust && (i->roots.n || i->file_roots.n))
        give_trust(i);
    if (i->wants_certificate && i->chain.n)
        give_certificate(i);
}

void identity_want(struct identity *i, struct str name, bool wanted)
{
    if (str_is(name, IDENTITY_CERTIFICATE))
        i->wants_certificate = wanted;
    else if (str_is(name, IDENTITY_TRUST))
        i->wants_trust = wanted;
    else if (wanted)
        log_warn("no such secret: an identity has " IDENTITY_CERTIFICATE " and " IDENTITY_TRUST,
                 kv_str("name", name));
    if (wanted)
        loop_defer_soon(i->loop, &i->give);
}

/* ---- the file of roots ---- */

/* True: it has changed. */
static bool read_roots(struct identity *i)
{
    AUTO_DONE(buf) struct buf now = {.cap = ROOT_BYTES_MAX};
    AUTO_FD int fd = i->root_file ? open(i->root_file, O_RDONLY | O_CLOEXEC) : -1;
    char part[4096];
    ssize_t n;
    if (fd < 0)
        return false;
    while ((n = read(fd, part, sizeof(part))) > 0)
        buf_add(&now, part, (size_t)n);
    if (n < 0 || now.failed || !now.n || str_eq(buf_str(&now), buf_str(&i->file_roots)))
        return false;
    struct buf before = i->file_roots;
    i->file_roots = now;
    now = before;
    return true;
}

static void on_look(void *user)
{
    struct identity *i = user;
    if (read_roots(i))
        loop_defer_soon(i->loop, &i->give);
    loop_timer_start(i->look, ROOT_FILE_MS);
}

/* ---- the call ---- */

/* And the timer stands still. */
static void drop_call(struct identity *i)
{
    loop_timer_stop(i->timer);
    if (i->call)
        grpc_call_cancel(TAKE(i->call));
    grpc_channel_free(TAKE(i->channel));
    wipe(&i->new_key);
    loop_timer_set(i->timer, on_try, i);
}

static void fail(struct identity *i, const char *why)
{
    stats_inc(stats_main(stats_server()), SERVER_STAT_IDENTITY_FAILED);
    log_warn("no certificate for this proxy: it is tried again", kv_s("error", why));
    drop_call(i);
    loop_timer_start(i->timer, i->pause_ms / 2 + rand_u64() % (i->pause_ms / 2 + 1));
    i->pause_ms = MIN(i->pause_ms * 2, (uint64_t)PAUSE_MAX_MS);
}

/* Half of what is left, give or take a hundredth, so that those who began together do not ask
 * together for ever. */
static uint64_t renew_after_ms(int64_t end_s)
{
    int64_t left_s = end_s - time_real_s();
    uint64_t half = left_s > 0 ? (uint64_t)left_s * 500 : 0;
    uint64_t ms = half - half / 100 + (half ? rand_u64() % (half / 50 + 1) : 0);
    return MAX(ms, (uint64_t)RENEW_MIN_MS);
}

/* Is it of use: does it fit its key? */
static int check(const struct buf *chain, const struct buf *key, const struct buf *roots,
                 struct err *reterr)
{
    const struct tls_config config = {
        .cert_pem = buf_str(chain), .key_pem = buf_str(key), .ca_pem = buf_str(roots)};
    struct tls_context *context;
    int r = tls_context_new_client(&config, &context, reterr);
    if (r == 0)
        tls_context_unref(context);
    return r;
}

/* Takes the key. */
static int take_answer(struct identity *i, const Istio__V1__Auth__IstioCertificateResponse *m,
                       int64_t *ret_end_s, struct err *reterr)
{
    AUTO_DONE(buf) struct buf chain = {0};
    AUTO_DONE(buf) struct buf roots = {0};
    int64_t begin_s;
    if (m->n_cert_chain < 2)
        return err_set(reterr, -EINVAL, "cert_chain", "a certificate and a root are expected");
    for (size_t k = 0; k + 1 < m->n_cert_chain; k++)
        buf_addf(&chain, "%s\n", m->cert_chain[k]);
    buf_add_cstr(&roots, m->cert_chain[m->n_cert_chain - 1]);
    if (chain.failed || roots.failed)
        return err_set(reterr, -ENOMEM, NULL, "no memory");
    int r = check(&chain, &i->new_key, &roots, reterr);
    if (r < 0)
        return r;
    if (tls_cert_times(buf_str(&chain), &begin_s, ret_end_s) < 0)
        return err_set(reterr, -EINVAL, "cert_chain", "no certificate");
    wipe(&i->key);
    i->key = i->new_key;
    i->new_key = (struct buf){0};
    buf_clear(&i->chain);
    buf_add_str(&i->chain, buf_str(&chain));
    buf_clear(&i->roots);
    buf_add_str(&i->roots, buf_str(&roots));
    return 0;
}

static void on_message(struct grpc_call *call, struct str message, void *user)
{
    struct identity *i = user;
    AUTO(arena) struct arena *a = arena_new(ANSWER_BYTES_MAX * 4);
    struct err err = {0};
    ProtobufCMessage *m;
    int64_t end_s = 0;
    (void)call;
    int r = message.n > ANSWER_BYTES_MAX
                ? err_set(&err, -EMSGSIZE, NULL, "the answer is too long")
                : pb_unpack(&istio__v1__auth__istio_certificate_response__descriptor, message, a,
                            &m, &err);
    if (r == 0)
        r = take_answer(i, (const void *)m, &end_s, &err);
    if (r < 0) {
        fail(i, err_text(&err));
        return;
    }
    uint64_t after_ms = renew_after_ms(end_s);
    stats_inc(stats_main(stats_server()), SERVER_STAT_IDENTITY_ISSUED);
    log_info("this proxy has a certificate", kv_i("ends", end_s),
             kv_i("renewed_in_s", (int64_t)(after_ms / 1000)));
    i->pause_ms = PAUSE_MS;
    drop_call(i);
    on_give(i);
    loop_timer_start(i->timer, after_ms);
}

static void on_over(struct grpc_call *call, int code, const char *text, void *user)
{
    struct identity *i = user;
    char why[300];
    (void)call;
    i->call = NULL;
    snprintf(why, sizeof(why), "grpc status %d: %s", code, text ? text : "");
    fail(i, why);
}

static void on_open(struct grpc_channel *c, void *user)
{
    static const struct grpc_call_ops ops = {.on_message = on_message, .on_over = on_over};
    struct identity *i = user;
    AUTO_DONE(buf) struct buf token = {0};
    AUTO_DONE(buf) struct buf csr = {0};
    AUTO_DONE(buf) struct buf packed = {0};
    Istio__V1__Auth__IstioCertificateRequest m;
    struct grpc_metadata metadata;
    struct err err = {0};
    if (!control_token_read(i->token_file, &metadata, &token)) {
        fail(i, "the token cannot be read");
        return;
    }
    if (tls_csr_new(NULL, &csr, &i->new_key, &err) < 0) {
        fail(i, err_text(&err));
        return;
    }
    istio__v1__auth__istio_certificate_request__init(&m);
    m.csr = (char *)(uintptr_t)buf_cstr(&csr);
    i->call =
        pb_pack(&m.base, &packed) < 0 ? NULL : grpc_call_new(c, METHOD, &metadata, 1, &ops, i);
    if (!i->call) {
        fail(i, "the control plane takes no call");
        return;
    }
    grpc_call_send(i->call, buf_str(&packed));
    grpc_call_finish(i->call);
}

static void on_close(struct grpc_channel *c, int code, const char *text, void *user)
{
    struct identity *i = user;
    (void)c;
    (void)code;
    i->channel = NULL;
    fail(i, text);
}

static void on_late(void *user)
{
    fail(user, "the control plane does not answer");
}

static void on_try(void *user)
{
    static const struct grpc_channel_ops ops = {.on_open = on_open, .on_close = on_close};
    struct identity *i = user;
    const char *why = NULL;
    if (read_roots(i))
        on_give(i);
    i->channel = control_channel_new(i->loop, i->store, i->cluster, i->cluster, &ops, i, &why);
    if (!i->channel) {
        fail(i, why);
        return;
    }
    loop_timer_set(i->timer, on_late, i);
    loop_timer_start(i->timer, CALL_MS);
}

struct identity *identity_new(struct loop *l, struct store *s, const struct identity_options *o)
{
    struct identity *i = NEW(struct identity);
    i->loop = l;
    i->store = s;
    i->cluster = xstrdup(o->cluster);
    i->token_file = xstrdup(o->token_file);
    i->root_file = o->root_file ? xstrdup(o->root_file) : NULL;
    i->pause_ms = PAUSE_MS;
    i->timer = loop_timer_new(l, on_try, i);
    i->look = loop_timer_new(l, on_look, i);
    loop_call_init(&i->give, on_give, i);
    read_roots(i);
    loop_timer_start(i->timer, 0);
    if (i->root_file)
        loop_timer_start(i->look, ROOT_FILE_MS);
    return i;
}

void identity_free(struct identity *i)
{
    if (!i)
        return;
    drop_call(i);
    loop_call_cancel(&i->give);
    loop_timer_free(i->timer);
    loop_timer_free(i->look);
    wipe(&i->key);
    buf_done(&i->chain);
    buf_done(&i->roots);
    buf_done(&i->file_roots);
    free(i->cluster);
    free(i->token_file);
    free(i->root_file);
    free(i);
}
