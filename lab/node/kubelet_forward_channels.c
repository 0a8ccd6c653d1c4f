/* Port-forward over one WebSocket: of each port asked for (?ports=80,81) two channels, what it
 * carries (2 i) and what went wrong (2 i + 1), each beginning with the port's number, 16 bits, the
 * lower byte first. One connection for each port, from the start: the form of clients in Python,
 * JavaScript and Java. */
#include "base/vec.h"
#include "codec/base64.h"
#include "codec/url.h"
#include "codec/websocket.h"
#include "lab/node/client_websocket.h"
#include "lab/node/kubelet_forward.h"

enum { PORTS_MAX = 64, MESSAGE_MAX = 1024 * 1024 };

struct channels;

struct channel {
    struct channels *all;
    uint8_t number; /* of what it carries */
    struct forward_lane *lane;
};

struct channels {
    struct conn *conn;
    struct buf message; /* of fragments */
    bool base64;
    struct channel v[PORTS_MAX];
    size_t n, alive;
};

static const char *const protocols[] = {"v4.channel.k8s.io", "v4.base64.channel.k8s.io"};

static const char *choose_protocol(struct http_exchange *x)
{
    return client_websocket_is_wanted(x)
               ? protocol_offered(x, "sec-websocket-protocol", "", protocols, ARRAY_LEN(protocols))
               : NULL;
}

bool forward_channels_wanted(struct http_exchange *x)
{
    return choose_protocol(x) != NULL;
}

static void send_message(struct channels *s, unsigned number, struct str bytes)
{
    AUTO_DONE(buf) struct buf b = {0};
    AUTO_DONE(buf) struct buf text = {0};
    if (s->base64) {
        buf_add_char(&text, (char)('0' + number));
        base64_encode(bytes, &text);
        websocket_frame_write(&b, WEBSOCKET_TEXT, false, buf_str(&text));
    } else {
        websocket_channel_write(&b, (uint8_t)number, false, bytes);
    }
    conn_write(s->conn, buf_str(&b));
}

/* ---- the pod's side ---- */

static void lane_send(struct str bytes, void *user)
{
    struct channel *c = user;
    send_message(c->all, c->number, bytes);
}

static void lane_over(const char *reason, void *user)
{
    struct channel *c = user;
    AUTO_DONE(buf) struct buf end = {0};
    if (reason)
        send_message(c->all, c->number + 1u, str_from(reason));
    if (--c->all->alive)
        return;
    websocket_close_write(&end, false, 1000);
    conn_write(c->all->conn, buf_str(&end));
    conn_close_after_flush(c->all->conn);
}

static void lane_more(void *user)
{
    struct channel *c = user;
    conn_resume(c->all->conn);
}

static bool lane_is_full(void *user)
{
    struct channel *c = user;
    return conn_queued(c->all->conn) >= FORWARD_QUEUE_BYTES;
}

static const struct forward_lane_ops lane_ops = {lane_send, lane_over, lane_more, lane_is_full};

/* ---- the client's side ---- */

static void channels_gone(struct channels *s)
{
    for (size_t i = 0; i < s->n; i++)
        forward_lane_free(s->v[i].lane);
    buf_done(&s->message);
    free(s);
}

static int on_message(struct str m, void *user)
{
    struct channels *s = user;
    AUTO_DONE(buf) struct buf bytes = {0};
    if (!m.n)
        return 0;
    unsigned number = (unsigned char)m.p[0] - (s->base64 ? '0' : 0u);
    struct str payload = str_sub(m, 1, m.n);
    if (s->base64) {
        if (base64_decode(payload, &bytes) < 0)
            return 0;
        payload = buf_str(&bytes);
    }
    if (number % 2 || number / 2 >= s->n || !s->v[number / 2].lane)
        return 0;
    if (!forward_lane_take(s->v[number / 2].lane, payload))
        conn_pause(s->conn);
    return 0;
}

static void on_data(struct conn *c, void *user)
{
    struct channels *s = user;
    if (client_websocket_read(c, &s->message, on_message, s) < 0 || conn_eof(c)) {
        conn_free(c);
        channels_gone(s);
    }
}

static void on_drain(struct conn *c, void *user)
{
    struct channels *s = user;
    (void)c;
    for (size_t i = 0; i < s->n; i++)
        if (s->v[i].lane)
            forward_lane_resume(s->v[i].lane);
}

static void on_close(struct conn *c, int code, const char *text, void *user)
{
    (void)c;
    (void)code;
    (void)text;
    channels_gone(user);
}

/* ?ports=80&ports=81,82. False: answered. */
static bool take_ports(struct http_exchange *x, uint16_t ports[PORTS_MAX], size_t *ret_n)
{
    struct str rest = http_exchange_query(x), name, value;
    *ret_n = 0;
    while (url_param_next(&rest, &name, &value)) {
        AUTO_DONE(buf) struct buf list = {0};
        if (str_is(name, "ports") && url_decode(value, true, &list) < 0)
            buf_clear(&list);
        for (struct str left = buf_str(&list), one; left.p && left.n;) {
            uint64_t port;
            one = str_cut(left, ',', &left);
            if (*ret_n == PORTS_MAX || str_to_u64(one, &port) < 0 || port < 1 ||
                port > UINT16_MAX) {
                kubelet_fail(x, 400, "BadRequest",
                             "ports: \"" STR_FMT "\" is no port, or one beyond %d of them",
                             STR_ARG(one), PORTS_MAX);
                return false;
            }
            ports[(*ret_n)++] = (uint16_t)port;
        }
    }
    if (!*ret_n)
        kubelet_fail(x, 400, "BadRequest", "query parameter \"ports\" is required");
    return *ret_n > 0;
}

void forward_channels(struct pod *p, struct http_exchange *x)
{
    static const struct conn_ops conn_ops = {
        .on_data = on_data, .on_drain = on_drain, .on_close = on_close};
    uint16_t ports[PORTS_MAX];
    size_t n;
    if (!take_ports(x, ports, &n))
        return;
    const char *protocol = choose_protocol(x);
    struct channels *s = NEW(struct channels);
    s->message.cap = MESSAGE_MAX;
    s->base64 = protocol == protocols[1];
    s->n = s->alive = n;
    s->conn = client_websocket_accept(x, protocol);
    conn_set_ops(s->conn, &conn_ops, s);
    for (size_t i = 0; i < n; i++) {
        AUTO_DONE(buf) struct buf reason = {0};
        const char head[] = {(char)(ports[i] & 0xff), (char)(ports[i] >> 8)};
        s->v[i] = (struct channel){.all = s, .number = (uint8_t)(2 * i)};
        send_message(s, (unsigned)(2 * i), str_of(head, 2));
        send_message(s, (unsigned)(2 * i + 1), str_of(head, 2));
        s->v[i].lane = forward_lane_new(p, ports[i], &lane_ops, &s->v[i], &reason);
        if (!s->v[i].lane)
            lane_over(buf_cstr(&reason), &s->v[i]);
    }
    if (conn_in(s->conn)->n)
        conn_resume(s->conn);
}
