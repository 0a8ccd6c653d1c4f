/* A client's WebSocket: upgrade, messages, pings. Knows nothing of what they carry. */
#include "lab/node/client_websocket.h"

#include <errno.h>

#include "codec/websocket.h"

enum { PONG_QUEUE_MAX = 256 * 1024 };

bool client_websocket_is_wanted(struct http_exchange *x)
{
    return str_eq_nocase(http_exchange_header(x, "upgrade"), STR("websocket"));
}

static bool lists(struct str offered, const char *prefix, const char *name)
{
    struct str p = str_from(prefix);
    for (struct str rest = offered, one; rest.p && rest.n;) {
        one = str_trim(str_cut(rest, ',', &rest));
        if (str_starts(one, p) && str_is(str_sub(one, p.n, one.n), name))
            return true;
    }
    return false;
}

const char *protocol_offered(struct http_exchange *x, const char *header, const char *prefix,
                             const char *const *known, size_t n)
{
    struct http_header headers[HTTP_FIELDS_MAX];
    size_t n_headers = http_head_list(http_exchange_head(x), headers, HTTP_FIELDS_MAX);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n_headers; k++)
            if (str_eq_nocase(headers[k].name, str_from(header)) &&
                lists(headers[k].value, prefix, known[i]))
                return known[i];
    return NULL;
}

struct conn *client_websocket_accept(struct http_exchange *x, const char *protocol)
{
    char accept[29];
    websocket_accept_key(http_exchange_header(x, "sec-websocket-key"), accept);
    const struct http_header headers[] = {
        {STR("Upgrade"), STR("websocket")},
        {STR("Connection"), STR("Upgrade")},
        {STR("Sec-WebSocket-Accept"), str_from(accept)},
        {STR("Sec-WebSocket-Protocol"), str_from(protocol)},
    };
    struct conn *c = http_exchange_upgrade(x, headers, ARRAY_LEN(headers));
    conn_set_in_bytes_max(c, WEBSOCKET_FRAME_BYTES_MAX + 64); /* with its head it is read whole */
    return c;
}

int client_websocket_read(struct conn *c, struct buf *message,
                          int (*fn)(struct str message, void *user), void *user)
{
    struct websocket_frame f;
    size_t used;
    int r;
    while ((r = websocket_frame_read(conn_in(c), true, &f, &used)) == 1) {
        r = f.opcode == WEBSOCKET_CLOSE ? -ECONNRESET : 0;
        if (f.opcode == WEBSOCKET_PING && conn_queued(c) < PONG_QUEUE_MAX) {
            /* RFC 6455 section 5.5.3: not every ping needs its pong */
            AUTO_DONE(buf) struct buf b = {0};
            websocket_frame_write(&b, WEBSOCKET_PONG, false, f.payload);
            conn_write(c, buf_str(&b));
        } else if (f.opcode <= WEBSOCKET_BINARY) {
            buf_add_str(message, f.payload);
            if (message->failed)
                r = -E2BIG; /* longer than is kept: nothing is left out in silence */
            else if (f.final)
                r = fn(buf_str(message), user);
            if (f.final)
                buf_clear(message);
        }
        chain_consume(conn_in(c), used);
        if (r < 0)
            return r;
    }
    return r;
}
