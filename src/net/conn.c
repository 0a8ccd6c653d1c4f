/* Byte-stream connections: TCP or TLS over one fd, an outgoing queue of shared segments,
 * edge-triggered reading.
 *
 * Owns fd, TLS session, the input buffer and the queue. A conn is freed at the end of the turn in
 * which it ended, so a callback may end it while its caller is still on the stack: every step after
 * a callback checks `over`. Idle connections hold no buffers: input is read into one scratch buffer
 * of the thread and copied only if there is some. */
#include "net/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/vec.h"
#include "net/tls_priv.h"

enum {
    CONN_IN_DEFAULT = 256 * 1024,
    CONN_SCRATCH = 64 * 1024,
    CONN_TLS_GATHER = 16 * 1024,
    CONN_IOV = 64,
};

enum conn_state {
    CONN_CONNECTING,
    CONN_HANDSHAKE,
    CONN_OPEN,
};

struct segment {
    struct bytes *shared; /* one of the two */
    struct buf own;
    size_t sent;
};

struct conn {
    struct loop *loop;
    struct loop_io *io;
    int fd;
    enum conn_state state;
    SSL *ssl;
    struct tls_context *tls;
    const struct conn_ops *ops;
    void *user;
    struct buf in;
    size_t in_max;
    VEC(struct segment) out;
    size_t out_first; /* segments before this one are sent */
    size_t queued;
    bool above_low; /* on_drain is due */
    bool readable;  /* edge seen, EAGAIN not yet */
    bool paused;
    bool eof;
    bool eof_told;
    bool finish; /* half-close when the queue is empty */
    bool close_when_flushed;
    bool over; /* nothing but freeing is left */
    bool pump_queued;
    bool close_queued;
    int close_code;
    char close_text[160];
};

static void conn_pump(void *user);

static size_t segment_left(const struct segment *s)
{
    return (s->shared ? s->shared->n : s->own.n) - s->sent;
}

static const char *segment_at(const struct segment *s)
{
    return (s->shared ? s->shared->p : s->own.p) + s->sent;
}

static void segment_done(struct segment *s)
{
    bytes_unref(s->shared);
    buf_done(&s->own);
}

static void conn_free_memory(void *user)
{
    struct conn *c = user;
    buf_done(&c->in);
    for (size_t i = c->out_first; i < c->out.n; i++)
        segment_done(&c->out.v[i]);
    vec_done(&c->out);
    SSL_free(c->ssl);
    tls_context_unref(c->tls);
    free(c);
}

static void conn_end(struct conn *c)
{
    c->over = true;
    loop_io_remove(c->io);
    c->io = NULL;
    if (c->pump_queued)
        loop_defer_cancel(c->loop, conn_pump, c);
    c->pump_queued = false;
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

static void conn_tell_closed(void *user)
{
    struct conn *c = user;
    c->close_queued = false;
    c->ops->on_close(c, c->close_code, c->close_text, c->user);
    conn_free_memory(c);
}

/* Ends the connection; on_close follows at the end of the turn. */
static void conn_fail(struct conn *c, int code, const char *text)
{
    if (c->over)
        return;
    conn_end(c);
    c->close_code = code;
    snprintf(c->close_text, sizeof(c->close_text), "%s", text ? text : "");
    c->close_queued = true;
    loop_defer(c->loop, conn_tell_closed, c);
}

void conn_free(struct conn *c)
{
    if (!c)
        return;
    if (c->close_queued) {
        loop_defer_cancel(c->loop, conn_tell_closed, c);
        c->close_queued = false;
        loop_defer(c->loop, conn_free_memory, c);
    }
    if (c->over)
        return; /* inside on_close: freed by the caller */
    if (c->ssl && c->state == CONN_OPEN)
        (void)SSL_shutdown(c->ssl);
    conn_end(c);
    loop_defer(c->loop, conn_free_memory, c);
}

static void conn_wake(struct conn *c)
{
    if (!c->over && !c->pump_queued) {
        c->pump_queued = true;
        loop_defer(c->loop, conn_pump, c);
    }
}

/* ---- transport: plain or TLS; -EAGAIN when it must wait ---- */

static ssize_t tls_result(struct conn *c, int r)
{
    int why = SSL_get_error(c->ssl, r);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
        return -EAGAIN;
    if (why == SSL_ERROR_ZERO_RETURN)
        return 0;
    if (why == SSL_ERROR_SYSCALL)
        return errno ? -errno : -ECONNRESET;
    snprintf(c->close_text, sizeof(c->close_text), "%s", tls_error_text());
    return -EPROTO;
}

static ssize_t transport_read(struct conn *c, char *p, size_t n)
{
    if (c->ssl) {
        ERR_clear_error();
        errno = 0;
        int r = SSL_read(c->ssl, p, (int)n);
        return r > 0 ? r : tls_result(c, r);
    }
    ssize_t r = recv(c->fd, p, n, 0);
    return r >= 0 ? r : -errno;
}

static ssize_t tls_write(struct conn *c)
{
    char gathered[CONN_TLS_GATHER];
    struct segment *first = &c->out.v[c->out_first];
    const char *p = segment_at(first);
    size_t n = segment_left(first);
    if (n < sizeof(gathered) && c->out_first + 1 < c->out.n) {
        n = 0;
        for (size_t i = c->out_first; i < c->out.n && n < sizeof(gathered); i++) {
            size_t take = MIN(segment_left(&c->out.v[i]), sizeof(gathered) - n);
            memcpy(gathered + n, segment_at(&c->out.v[i]), take);
            n += take;
        }
        p = gathered;
    }
    ERR_clear_error();
    errno = 0;
    int r = SSL_write(c->ssl, p, (int)MIN(n, (size_t)1 << 20));
    return r > 0 ? r : tls_result(c, r);
}

static ssize_t plain_write(struct conn *c)
{
    struct iovec iov[CONN_IOV];
    int n = 0;
    for (size_t i = c->out_first; i < c->out.n && n < CONN_IOV; i++, n++) {
        iov[n].iov_base = (void *)(uintptr_t)segment_at(&c->out.v[i]);
        iov[n].iov_len = segment_left(&c->out.v[i]);
    }
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = (size_t)n};
    ssize_t r = sendmsg(c->fd, &m, MSG_NOSIGNAL);
    return r >= 0 ? r : -errno;
}

/* ---- pumps ---- */

static void out_advance(struct conn *c, size_t n)
{
    c->queued -= n;
    while (n) {
        struct segment *s = &c->out.v[c->out_first];
        size_t take = MIN(n, segment_left(s));
        s->sent += take;
        n -= take;
        if (segment_left(s) == 0) {
            segment_done(s);
            c->out_first++;
        }
    }
    if (c->out_first == c->out.n) {
        vec_done(&c->out);
        c->out_first = 0;
    } else if (c->out_first >= 64) {
        memmove(c->out.v, c->out.v + c->out_first, (c->out.n - c->out_first) * sizeof(*c->out.v));
        c->out.n -= c->out_first;
        c->out_first = 0;
    }
}

static void conn_pump_out(struct conn *c)
{
    while (c->queued) {
        ssize_t n = c->ssl ? tls_write(c) : plain_write(c);
        if (n == -EAGAIN || n == -EINTR)
            return;
        if (n <= 0) {
            conn_fail(c, n ? (int)n : -ECONNRESET, n ? strerror((int)-n) : "closed while writing");
            return;
        }
        out_advance(c, (size_t)n);
    }
    if (c->close_when_flushed) {
        if (c->ssl)
            (void)SSL_shutdown(c->ssl);
        conn_fail(c, 0, "closed");
    } else if (c->finish) {
        c->finish = false;
        if (c->ssl)
            (void)SSL_shutdown(c->ssl);
        else
            shutdown(c->fd, SHUT_WR);
    }
}

static void conn_tell_drain(struct conn *c)
{
    if (!c->over && c->above_low && c->queued == 0) {
        c->above_low = false;
        if (c->ops->on_drain)
            c->ops->on_drain(c, c->user);
    }
}

/* Reads one scratch-full; true if there may be more. */
static bool conn_read_once(struct conn *c)
{
    static _Thread_local char scratch[CONN_SCRATCH];
    ssize_t n = transport_read(c, scratch, MIN(sizeof(scratch), c->in_max - c->in.n));
    if (n == -EINTR)
        return true;
    if (n == -EAGAIN) {
        c->readable = false;
        return false;
    }
    if (n < 0) {
        conn_fail(c, (int)n, n == -EPROTO && c->close_text[0] ? c->close_text : strerror((int)-n));
        return false;
    }
    if (n == 0) {
        c->eof = true;
        return false;
    }
    buf_add(&c->in, scratch, (size_t)n);
    if (c->in.failed)
        conn_fail(c, -ENOMEM, "no memory for input");
    return !c->over;
}

static void conn_pump_in(struct conn *c)
{
    while (!c->over && c->readable && !c->paused && !c->eof && c->in.n < c->in_max) {
        if (!conn_read_once(c))
            break;
        c->ops->on_data(c, c->user);
        if (c->over)
            return;
        if (c->in.n == 0)
            buf_done(&c->in);
    }
    if (!c->over && c->eof && !c->eof_told && !c->paused) {
        c->eof_told = true;
        c->ops->on_data(c, c->user);
    }
}

static void conn_connected(struct conn *c)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error) {
        conn_fail(c, error ? -error : -errno, strerror(error ? error : errno));
        return;
    }
    c->state = c->ssl ? CONN_HANDSHAKE : CONN_OPEN;
    if (c->state == CONN_OPEN && c->ops->on_open)
        c->ops->on_open(c, c->user);
}

static void conn_handshake(struct conn *c)
{
    ERR_clear_error();
    errno = 0;
    int r = SSL_do_handshake(c->ssl);
    if (r == 1) {
        c->state = CONN_OPEN;
        c->readable = true; /* bytes may wait inside the session */
        if (c->ops->on_open)
            c->ops->on_open(c, c->user);
        return;
    }
    long verify = SSL_get_verify_result(c->ssl);
    ssize_t why = tls_result(c, r);
    if (why == -EAGAIN)
        return;
    char text[160];
    if (verify != X509_V_OK)
        snprintf(text, sizeof(text), "TLS: certificate of the peer: %s",
                 X509_verify_cert_error_string(verify));
    else
        snprintf(text, sizeof(text), "TLS handshake: %s",
                 why == -EPROTO ? c->close_text
                 : why          ? strerror((int)-why)
                                : "closed by the peer");
    conn_fail(c, why ? (int)why : -ECONNRESET, text);
}

static void conn_run(struct conn *c)
{
    if (!c->over && c->state == CONN_HANDSHAKE)
        conn_handshake(c);
    if (c->over || c->state != CONN_OPEN)
        return;
    conn_pump_out(c);
    conn_pump_in(c);
    if (!c->over && c->queued)
        conn_pump_out(c);
    conn_tell_drain(c);
}

static void conn_pump(void *user)
{
    struct conn *c = user;
    c->pump_queued = false;
    conn_run(c);
}

static void on_conn_event(struct loop_io *io, uint32_t events, void *user)
{
    struct conn *c = user;
    (void)io;
    if (c->state == CONN_CONNECTING) {
        if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
            return;
        conn_connected(c);
    }
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        c->readable = true;
    conn_run(c);
}

/* ---- making ---- */

static struct conn *conn_new(struct loop *l, int fd, const struct conn_options *o,
                             const struct conn_ops *ops, void *user)
{
    static const struct conn_options none;
    struct conn *c = NEW(struct conn);
    int on = 1, idle_s = 20, interval_s = 5, probes = 4;
    o = o ? o : &none;
    ASSERT(ops->on_data && ops->on_close);
    c->loop = l;
    c->fd = fd;
    c->ops = ops;
    c->user = user;
    c->in_max = o->in_bytes_max ? o->in_bytes_max : CONN_IN_DEFAULT;
    if (fd < 0)
        return c;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on,
                     sizeof(on)); /* fails on Unix sockets, as it may */
    /* A peer that vanishes without a word (a killed namespace) is noticed within about 40 s. */
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
    if (o->tls) {
        c->tls = tls_context_ref(o->tls);
        c->ssl = tls_session_new(o->tls, fd, o->server_name);
        ASSERT(c->ssl);
    }
    return c;
}

struct conn *conn_new_accepted(struct loop *l, int fd, const struct conn_options *o,
                               const struct conn_ops *ops, void *user)
{
    ASSERT(fd >= 0);
    (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    struct conn *c = conn_new(l, fd, o, ops, user);
    c->state = c->ssl ? CONN_HANDSHAKE : CONN_OPEN;
    c->io = loop_io_add(l, fd, on_conn_event, c);
    return c;
}

struct conn *conn_connect(struct loop *l, const struct sockaddr_storage *to, socklen_t to_len,
                          const struct conn_options *o, const struct conn_ops *ops, void *user)
{
    int fd = socket(to->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int code = fd < 0 ? -errno : 0;
    if (fd >= 0 && connect(fd, (const struct sockaddr *)to, to_len) < 0 && errno != EINPROGRESS) {
        code = -errno;
        close(fd);
        fd = -1;
    }
    struct conn *c = conn_new(l, fd, o, ops, user);
    if (fd < 0)
        conn_fail(c, code, strerror(-code));
    else
        c->io = loop_io_add(l, fd, on_conn_event, c);
    return c;
}

void conn_set_ops(struct conn *c, const struct conn_ops *ops, void *user)
{
    ASSERT(ops->on_data && ops->on_close && !c->over);
    c->ops = ops;
    c->user = user;
    c->eof_told = false;
    conn_wake(c);
}

struct buf *conn_in(struct conn *c)
{
    return &c->in;
}

bool conn_eof(const struct conn *c)
{
    return c->eof;
}

/* ---- sending ---- */

static void conn_queue_grew(struct conn *c, size_t n)
{
    c->queued += n;
    if (c->queued)
        c->above_low = true;
    conn_wake(c);
}

void conn_write(struct conn *c, struct str s)
{
    if (c->over || !s.n)
        return;
    struct segment *last = c->out.n > c->out_first ? &c->out.v[c->out.n - 1] : NULL;
    if (!last || last->shared || last->own.n + s.n > 64 * 1024) {
        last = vec_add(&c->out);
    }
    buf_add(&last->own, s.p, s.n);
    if (last->own.failed) {
        conn_fail(c, -ENOMEM, "no memory for output");
        return;
    }
    conn_queue_grew(c, s.n);
}

void conn_write_bytes(struct conn *c, struct bytes *b)
{
    if (c->over || !b->n)
        return;
    struct segment *s = vec_add(&c->out);
    s->shared = bytes_ref(b);
    conn_queue_grew(c, b->n);
}

size_t conn_queued(const struct conn *c)
{
    return c->queued;
}

void conn_pause(struct conn *c)
{
    c->paused = true;
}

void conn_resume(struct conn *c)
{
    c->paused = false;
    conn_wake(c);
}

void conn_set_in_bytes_max(struct conn *c, size_t n)
{
    ASSERT(n > 0);
    c->in_max = n;
}

void conn_finish(struct conn *c)
{
    c->finish = true;
    conn_wake(c);
}

void conn_close_after_flush(struct conn *c)
{
    c->close_when_flushed = true;
    conn_wake(c);
}

/* ---- who is there ---- */

bool conn_peer_cert(struct conn *c, struct buf *ret_cn, struct buf *ret_orgs_lines)
{
    X509 *cert = c->ssl ? SSL_get0_peer_certificate(c->ssl) : NULL;
    if (!cert || SSL_get_verify_result(c->ssl) != X509_V_OK)
        return false;
    X509_NAME *name = X509_get_subject_name(cert);
    for (int i = 0; i < X509_NAME_entry_count(name); i++) {
        X509_NAME_ENTRY *e = X509_NAME_get_entry(name, i);
        int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(e));
        unsigned char *utf8 = NULL;
        int n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(e));
        if (n >= 0 && nid == NID_commonName && !ret_cn->n)
            buf_add(ret_cn, utf8, (size_t)n);
        else if (n >= 0 && nid == NID_organizationName) {
            buf_add(ret_orgs_lines, utf8, (size_t)n);
            buf_add_char(ret_orgs_lines, '\n');
        }
        OPENSSL_free(utf8);
    }
    return true;
}

int conn_peer_addr(struct conn *c, struct ip *ret, uint16_t *ret_port)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);
    if (getpeername(c->fd, (struct sockaddr *)&sa, &len) < 0)
        return -errno;
    return ip_from_sockaddr((struct sockaddr *)&sa, ret, ret_port);
}

int conn_local_addr(struct conn *c, struct ip *ret, uint16_t *ret_port)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);
    if (getsockname(c->fd, (struct sockaddr *)&sa, &len) < 0)
        return -errno;
    return ip_from_sockaddr((struct sockaddr *)&sa, ret, ret_port);
}
