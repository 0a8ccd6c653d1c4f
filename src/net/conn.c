/* Byte-stream connections: TCP or TLS over one fd, chains of pooled blocks both ways,
 * edge-triggered reading.
 *
 * Owns fd, TLS session and both chains. A conn is freed at the end of the turn in which it ended,
 * so a callback may end it while its caller is still on the stack: every step after a callback
 * checks `over`. Idle connections hold no blocks. A read that did not fill its room has emptied the
 * socket, so nobody asks again before the next event, unless the peer's end was announced with this
 * one. A turn reads at most CONN_TURN_BYTES from one connection, so that a fast peer does not
 * starve the others. */
#include "net/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/assert.h"

enum {
    CONN_IN_DEFAULT = 256 * 1024,
    CONN_READ_MIN = 2048,           /* less room than this asks for a new block */
    CONN_TURN_BYTES = 256 * 1024,   /* read from one connection in one turn */
    CONN_RECORDS_BYTES = 64 * 1024, /* encrypted ahead of the socket */
    CONN_IOV = 64,
};

enum conn_state {
    CONN_CONNECTING,
    CONN_HANDSHAKE,
    CONN_OPEN,
};

/* What TLS puts between the socket and the two plain chains. */
struct conn_tls {
    struct tls_session *session;
    struct tls_context *context;
    struct chain in;
    struct chain out;
};

struct conn {
    struct loop *loop;
    struct loop_io *io;
    const struct conn_ops *ops;
    void *user;
    struct conn_tls *tls; /* NULL: plain */
    struct chain in;
    struct chain out;
    size_t in_max;
    int fd;
    uint8_t state;
    bool drain_due : 1;
    bool readable : 1; /* the socket may hold bytes */
    bool hangup : 1;   /* the peer's end was announced: read until it comes */
    bool paused : 1;
    bool retell : 1; /* on_data is due for bytes that are there */
    bool socket_eof : 1;
    bool eof : 1;
    bool eof_told : 1;
    bool truncated : 1;
    bool finish : 1; /* half-close when the queue is empty */
    bool close_when_flushed : 1;
    bool over : 1; /* nothing but freeing is left */
    struct loop_call pump;
    struct loop_call ending; /* tells the owner, or frees */
    int send_error;          /* nothing can be sent; what was received is read to its end first */
    int close_code;
    char *close_text;
    struct conn_names *names; /* NULL: the socket's */
};

/* ---- ends ---- */

static void conn_free_memory(void *user)
{
    struct conn *c = user;
    chain_done(&c->in);
    chain_done(&c->out);
    if (c->tls) {
        tls_session_free(c->tls->session);
        tls_context_unref(c->tls->context);
        chain_done(&c->tls->in);
        chain_done(&c->tls->out);
        free(c->tls);
    }
    free(c->close_text);
    free(c->names);
    free(c);
}

static void conn_end(struct conn *c)
{
    c->over = true;
    loop_io_remove(c->io);
    c->io = NULL;
    loop_call_cancel(&c->pump);
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

static void conn_tell_closed(void *user)
{
    struct conn *c = user;
    c->ops->on_close(c, c->close_code, c->close_text ? c->close_text : "", c->user);
    conn_free_memory(c);
}

/* Ends the connection; on_close follows at the end of the turn. */
static void conn_fail(struct conn *c, int code, const char *text)
{
    if (c->over)
        return;
    conn_end(c);
    c->close_code = code;
    c->close_text = str_empty(text) ? NULL : xstrdup(text);
    loop_call_init(&c->ending, conn_tell_closed, c);
    loop_defer(c->loop, &c->ending);
}

static ssize_t send_chain(struct conn *c, struct chain *out);

static void send_goodbye(struct conn *c)
{
    if (!c->tls || c->state != CONN_OPEN)
        return;
    tls_session_shutdown(c->tls->session);
    if (c->tls->out.n)
        IGNORE_RESULT(send_chain(c, &c->tls->out)); /* as far as it goes: it is over */
}

void conn_free(struct conn *c)
{
    if (!c)
        return;
    if (c->over && !loop_call_is_queued(&c->ending))
        return; /* inside on_close, or freed before: the memory goes with the turn */
    if (!c->over) {
        send_goodbye(c);
        conn_end(c);
    }
    loop_call_cancel(&c->ending);
    loop_call_init(&c->ending, conn_free_memory, c);
    loop_defer(c->loop, &c->ending);
}

void conn_reset(struct conn *c)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    if (!c->over) {
        (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        conn_end(c);
        loop_call_init(&c->ending, conn_free_memory, c);
        loop_defer(c->loop, &c->ending);
    } else {
        conn_free(c);
    }
}

void conn_wake(struct conn *c)
{
    if (!c->over)
        loop_defer(c->loop, &c->pump);
}

/* ---- sending ---- */

/* Sends what the socket takes; 0: all of it is gone; -EAGAIN: it is full. */
static ssize_t send_chain(struct conn *c, struct chain *out)
{
    while (out->n) {
        struct iovec iov[CONN_IOV];
        struct msghdr m = {.msg_iov = iov, .msg_iovlen = chain_iovecs(out, iov, CONN_IOV)};
        ssize_t n = sendmsg(c->fd, &m, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        chain_consume(out, (size_t)n);
    }
    return 0;
}

static ssize_t send_tls(struct conn *c)
{
    struct conn_tls *t = c->tls;
    do {
        while (c->out.n && t->out.n < CONN_RECORDS_BYTES) {
            ssize_t n = tls_session_write(t->session, &c->out);
            if (n <= 0)
                return n ? n : -EPROTO;
        }
        ssize_t r = send_chain(c, &t->out);
        if (r < 0)
            return r;
    } while (c->out.n);
    return 0;
}

static void conn_pump_out(struct conn *c)
{
    ssize_t r = c->tls ? send_tls(c) : send_chain(c, &c->out);
    if (r == -EAGAIN)
        return;
    if (r == -EPROTO && c->tls) {
        conn_fail(c, (int)r, tls_session_error(c->tls->session));
        return;
    }
    if (r < 0) {
        /* A server that refuses a long request answers and resets: the answer is still there. */
        c->send_error = (int)r;
        chain_done(&c->out);
        if (c->tls)
            chain_done(&c->tls->out);
        c->readable = c->hangup = true;
        return;
    }
    if (c->close_when_flushed) {
        send_goodbye(c);
        conn_fail(c, 0, "closed");
    } else if (c->finish) {
        c->finish = false;
        if (c->tls)
            send_goodbye(c);
        else
            shutdown(c->fd, SHUT_WR);
    }
}

static void conn_tell_drain(struct conn *c)
{
    if (c->over || !c->drain_due || conn_queued(c))
        return;
    c->drain_due = false;
    if (c->ops->on_drain)
        c->ops->on_drain(c, c->user);
}

/* ---- receiving ---- */

/* One recv of at most `max` bytes. False: nothing more for now, or the connection is over. */
static bool receive(struct conn *c, struct chain *to, size_t max)
{
    size_t room;
    char *p = chain_reserve(to, CONN_READ_MIN, &room);
    room = MIN(room, max);
    ssize_t n = recv(c->fd, p, room, 0);
    int code = n < 0 ? errno : 0;
    chain_commit(to, n > 0 ? (size_t)n : 0);
    if (n > 0) {
        c->readable = (size_t)n == room || c->hangup;
        return true;
    }
    if (n == 0) {
        c->socket_eof = true;
        return true;
    }
    if (code == EINTR)
        return true;
    c->readable = false;
    if (code != EAGAIN)
        conn_fail(c, -code, strerror(code));
    return false;
}

static bool pull_plain(struct conn *c)
{
    if (!c->readable || !receive(c, &c->in, c->in_max - c->in.n))
        return false;
    c->eof = c->socket_eof;
    return true;
}

static bool pull_tls(struct conn *c)
{
    struct conn_tls *t = c->tls;
    for (;;) {
        size_t queued = t->out.n;
        ssize_t n = tls_session_read(t->session, &c->in, c->in_max - c->in.n);
        if (t->out.n > queued)
            conn_wake(c); /* the session has something to say */
        if (n > 0)
            return true;
        if (n == 0 || (n == -EAGAIN && c->socket_eof)) {
            c->truncated = n != 0;
            c->eof = true;
            return true;
        }
        if (n != -EAGAIN) {
            IGNORE_RESULT(send_chain(c, &t->out)); /* the alert, as far as it goes */
            conn_fail(c, (int)n, tls_session_error(t->session));
            return false;
        }
        if (!c->readable || !receive(c, &t->in, BYTES_BLOCK))
            return false;
    }
}

static void conn_tell_data(struct conn *c)
{
    c->retell = false;
    c->eof_told = c->eof;
    c->ops->on_data(c, c->user);
}

static void conn_pump_in(struct conn *c)
{
    size_t turn = 0;
    if (c->retell && !c->paused)
        conn_tell_data(c);
    while (!c->over && !c->paused && !c->eof && c->in.n < c->in_max) {
        size_t before = c->in.n;
        if (turn >= CONN_TURN_BYTES) {
            loop_defer_next(c->loop, &c->pump);
            return;
        }
        if (!(c->tls ? pull_tls(c) : pull_plain(c)))
            return;
        turn += c->in.n - before;
        if (c->in.n > before)
            conn_tell_data(c);
    }
    if (!c->over && c->eof && !c->eof_told && !c->paused)
        conn_tell_data(c);
}

/* ---- opening ---- */

static void conn_opened(struct conn *c)
{
    c->state = CONN_OPEN;
    if (c->ops->on_open)
        c->ops->on_open(c, c->user);
}

static void conn_connected(struct conn *c)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        error = errno;
    if (error) {
        conn_fail(c, -error, strerror(error));
        return;
    }
    c->state = CONN_HANDSHAKE;
    if (!c->tls)
        conn_opened(c);
}

static void conn_handshake(struct conn *c)
{
    struct conn_tls *t = c->tls;
    for (;;) {
        int r = tls_session_handshake(t->session);
        ssize_t sent = send_chain(c, &t->out);
        if (r == 0) {
            conn_opened(c);
            return;
        }
        if (r != -EAGAIN) {
            conn_fail(c, r, tls_session_error(t->session));
            return;
        }
        if (sent < 0 && sent != -EAGAIN) {
            conn_fail(c, (int)sent, strerror((int)-sent));
            return;
        }
        if (c->socket_eof) {
            conn_fail(c, -ECONNRESET, "TLS handshake: closed by the peer");
            return;
        }
        if (!c->readable || !receive(c, &t->in, BYTES_BLOCK))
            return;
    }
}

static void conn_run(struct conn *c)
{
    if (!c->over && c->state == CONN_HANDSHAKE)
        conn_handshake(c);
    if (c->over || c->state != CONN_OPEN)
        return;
    if (conn_queued(c) || c->finish || c->close_when_flushed)
        conn_pump_out(c);
    if (!c->over)
        conn_pump_in(c);
    if (c->send_error && !c->over && !c->paused && (c->eof || !c->readable))
        conn_fail(c, c->send_error, strerror(-c->send_error));
    conn_tell_drain(c);
}

static void conn_pump(void *user)
{
    conn_run(user);
}

static void on_conn_event(struct loop_io *io, uint32_t events, void *user)
{
    struct conn *c = user;
    (void)io;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        c->readable = true;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        c->hangup = true;
    if (c->state == CONN_CONNECTING) {
        if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
            return;
        conn_connected(c);
    }
    conn_run(c);
}

/* ---- making ---- */

static void no_data(struct conn *c, void *user)
{
    (void)c;
    (void)user;
}

static void no_close(struct conn *c, int code, const char *text, void *user)
{
    (void)c;
    (void)code;
    (void)text;
    (void)user;
}

const struct conn_ops conn_no_ops = {.on_data = no_data, .on_close = no_close};

static void set_one(int fd, int name, uint32_t value)
{
    int v = (int)MIN(value, (uint32_t)INT16_MAX);
    if (v)
        (void)setsockopt(fd, IPPROTO_TCP, name, &v, sizeof(v));
}

static void set_options(int fd, const struct conn_keepalive *k)
{
    /* A peer that vanishes without a word (a killed namespace) is noticed within about 40 s. */
    static const struct conn_keepalive usual = {20, 5, 4};
    int on = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
        return; /* a Unix socket */
    k = k ? k : &usual;
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    set_one(fd, TCP_KEEPIDLE, k->idle_s);
    set_one(fd, TCP_KEEPINTVL, k->interval_s);
    set_one(fd, TCP_KEEPCNT, MIN(k->probes, (uint32_t)INT8_MAX)); /* what the kernel takes */
}

static struct conn *conn_new(struct loop *l, int fd, const struct conn_options *o,
                             const struct conn_ops *ops, void *user)
{
    static const struct conn_options none;
    static const struct tls_session_options no_tls_options;
    struct conn *c = NEW(struct conn);
    o = o ? o : &none;
    ASSERT(ops->on_data && ops->on_close);
    c->loop = l;
    c->fd = fd;
    c->ops = ops;
    c->user = user;
    c->in_max = o->in_bytes_max ? o->in_bytes_max : CONN_IN_DEFAULT;
    loop_call_init(&c->pump, conn_pump, c);
    if (fd < 0)
        return c;
    set_options(fd, o->keepalive);
    if (o->tls) {
        struct conn_tls *t = NEW(struct conn_tls);
        t->context = tls_context_ref(o->tls);
        t->session = tls_session_new(o->tls, o->tls_options ? o->tls_options : &no_tls_options);
        c->tls = t;
        if (t->session)
            tls_session_set_wires(t->session, &t->in, &t->out);
        else
            conn_fail(c, -ENOMEM, "TLS: no memory for a session");
    }
    if (o->preface.n)
        chain_add(c->tls ? &c->tls->out : &c->out, o->preface);
    return c;
}

static void conn_watch(struct conn *c)
{
    int r = c->over ? 0 : loop_io_add(c->loop, c->fd, on_conn_event, c, &c->io);
    if (r < 0)
        conn_fail(c, r, strerror(-r));
}

struct conn *conn_new_accepted(struct loop *l, int fd, const struct conn_options *o,
                               const struct conn_ops *ops, void *user)
{
    ASSERT(fd >= 0);
    int flags = fcntl(fd, F_GETFL);
    if (!(flags & O_NONBLOCK))
        (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    struct conn *c = conn_new(l, fd, o, ops, user);
    c->state = c->tls ? CONN_HANDSHAKE : CONN_OPEN;
    conn_watch(c);
    if (c->tls)
        conn_wake(c); /* a client speaks first */
    return c;
}

/* The port is chosen when it is known whereto. */
static int bind_from(int fd, const struct ip *from, int family)
{
    struct sockaddr_storage a;
    int one = 1;
    if (!from || from->family != family)
        return 0;
    socklen_t n = ip_to_sockaddr(from, 0, &a);
    (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    return bind(fd, (const struct sockaddr *)&a, n) < 0 ? -errno : 0;
}

struct conn *conn_connect(struct loop *l, const struct sockaddr_storage *to, socklen_t to_len,
                          const struct conn_options *o, const struct conn_ops *ops, void *user)
{
    int fd = socket(to->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int code = fd < 0 ? -errno : bind_from(fd, o->from, to->ss_family);
    if (fd >= 0 && code == 0 && connect(fd, (const struct sockaddr *)to, to_len) < 0 &&
        errno != EINPROGRESS)
        code = -errno;
    if (fd >= 0 && code < 0) {
        close(fd);
        fd = -1;
    }
    struct conn *c = conn_new(l, fd, o, ops, user);
    if (fd < 0)
        conn_fail(c, code, strerror(-code));
    else
        conn_watch(c);
    return c;
}

/* ---- for the owner ---- */

void conn_set_ops(struct conn *c, const struct conn_ops *ops, void *user)
{
    ASSERT(ops->on_data && ops->on_close);
    c->ops = ops;
    c->user = user;
    c->eof_told = false;
    c->retell = c->in.n > 0 || c->eof;
    conn_wake(c);
}

struct chain *conn_in(struct conn *c)
{
    return &c->in;
}

bool conn_is_open(const struct conn *c)
{
    return c->state == CONN_OPEN;
}

bool conn_eof(const struct conn *c)
{
    return c->eof;
}

bool conn_truncated(const struct conn *c)
{
    return c->truncated;
}

struct chain *conn_out(struct conn *c)
{
    c->drain_due = true;
    return &c->out;
}

void conn_write(struct conn *c, struct str s)
{
    if (c->over || c->send_error || !s.n)
        return;
    chain_add(conn_out(c), s);
    conn_wake(c);
}

void conn_write_bytes(struct conn *c, struct bytes *b)
{
    if (c->over || c->send_error || !b->n)
        return;
    chain_add_bytes(conn_out(c), b);
    conn_wake(c);
}

void conn_write_chain(struct conn *c, struct chain *from)
{
    if (c->over || c->send_error) {
        chain_done(from);
        return;
    }
    chain_move_all(conn_out(c), from);
    conn_wake(c);
}

size_t conn_queued(const struct conn *c)
{
    return c->out.n + (c->tls ? c->tls->out.n : 0);
}

void conn_pause(struct conn *c)
{
    c->paused = true;
}

void conn_resume(struct conn *c)
{
    c->paused = false;
    c->retell = c->in.n > 0 || (c->eof && !c->eof_told);
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

struct loop *conn_loop(const struct conn *c)
{
    return c->loop;
}

struct tls_session *conn_tls(const struct conn *c)
{
    return c->tls ? c->tls->session : NULL;
}

bool conn_peer_cert(struct conn *c, struct buf *ret_cn, struct buf *ret_orgs_lines)
{
    return c->tls && tls_session_peer_subject(c->tls->session, ret_cn, ret_orgs_lines);
}

void conn_set_names(struct conn *c, const struct conn_names *n)
{
    if (!c->names)
        c->names = NEW(struct conn_names);
    *c->names = *n;
}

int conn_peer_addr(const struct conn *c, struct ip *ret, uint16_t *ret_port)
{
    if (!c->names || !c->names->peer.family)
        return conn_direct_peer_addr(c, ret, ret_port);
    *ret = c->names->peer;
    *ret_port = c->names->peer_port;
    return 0;
}

int conn_direct_peer_addr(const struct conn *c, struct ip *ret, uint16_t *ret_port)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);
    if (getpeername(c->fd, (struct sockaddr *)&sa, &len) < 0)
        return -errno;
    return ip_from_sockaddr((struct sockaddr *)&sa, ret, ret_port);
}

bool conn_is_redirected(const struct conn *c)
{
    return c->names && c->names->local.family;
}

int conn_local_addr(const struct conn *c, struct ip *ret, uint16_t *ret_port)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);
    if (c->names && c->names->local.family) {
        *ret = c->names->local;
        *ret_port = c->names->local_port;
        return 0;
    }
    if (getsockname(c->fd, (struct sockaddr *)&sa, &len) < 0)
        return -errno;
    return ip_from_sockaddr((struct sockaddr *)&sa, ret, ret_port);
}
