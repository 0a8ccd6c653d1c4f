/* fuzz-layer: codec
 * HTTP/2 of either role under a peer's bytes. The first byte chooses the role and how the bytes are
 * cut; with one bit the preface and SETTINGS are there already. The user answers, asks, consumes
 * and resets by rule. Whatever comes: of a stream nothing is told after its end, trailers and data
 * come between head and end, heads are well-formed. */
#include <stdlib.h>

#include "codec/http2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STREAMS = 4096 };

static enum state { NEW, BEGUN, HEAD, ENDED, GONE } states[STREAMS];
static struct http2 *h;
static struct arena *arena;
static bool server;

static void expect(bool what)
{
    if (!what)
        abort();
}

static enum state *state_of(int32_t id)
{
    expect(id > 0 && id % 2 == 1);
    return &states[(uint32_t)id / 2 % STREAMS];
}

static struct arena *on_begin(void *user, int32_t id, void **ret_stream_user)
{
    (void)user;
    *ret_stream_user = NULL;
    if (id % 16 == 15 || id >= 2 * STREAMS)
        return NULL;
    expect(*state_of(id) == NEW);
    *state_of(id) = BEGUN;
    return arena;
}

static void check_fields(const struct http_head *head)
{
    expect(head->n <= 101 && head->cap >= head->n + HTTP2_FIELDS_SPARE);
    for (uint16_t i = 0; i < head->n; i++) {
        struct str name = str_of(head->fields[i].name, head->fields[i].name_n);
        expect(http_is_token(name) && http_is_value(http_field_value(&head->fields[i])));
        expect(http_name_find(name) == (enum http_name)head->fields[i].id);
    }
    expect(!http_head_find(head, HTTP_NAME_CONNECTION) &&
           !http_head_find(head, HTTP_NAME_TRANSFER_ENCODING));
}

static void send_answer(int32_t id)
{
    struct http_field fields[1] = {{"x", "y", 1, 1, 0}};
    struct http_head head = {.fields = fields, .n = 1, .cap = 1, .status = id % 8 == 3 ? 103 : 200};
    AUTO_DONE(chain) struct chain body = {0};
    if (http2_send_head(h, id, &head, false) < 0 || head.status < 200)
        return;
    chain_add(&body, STR("0123456789"));
    http2_send_data(h, id, &body, id % 4 == 1);
    if (id % 8 == 7)
        IGNORE_RESULT(http2_send_trailers(h, id, &head)); /* memory may be out */
}

static void on_head(void *user, int32_t id, void *su, struct http_head *head, bool end)
{
    (void)user, (void)su;
    expect(*state_of(id) == BEGUN);
    check_fields(head);
    if (server) {
        expect(http_is_token(head->method) && !head->status);
        expect(str_is(head->method, "CONNECT") ? head->path.n == 0 : head->path.n > 0);
    } else {
        expect(head->status >= 100 && head->status <= 999);
    }
    if (server || head->status >= 200)
        *state_of(id) = end ? ENDED : HEAD;
    if (id % 32 == 5) {
        *state_of(id) = GONE;
        http2_reset(h, id, HTTP2_CANCEL);
    } else if (server) {
        send_answer(id);
    }
}

static void on_data(void *user, int32_t id, void *su, struct chain *data, bool end)
{
    (void)user, (void)su;
    expect(*state_of(id) == HEAD);
    if (end)
        *state_of(id) = ENDED;
    if (id % 8 != 1)
        http2_consume(h, id, data->n);
}

static void on_trailers(void *user, int32_t id, void *su, struct http_head *trailers)
{
    (void)user, (void)su;
    expect(*state_of(id) == HEAD);
    *state_of(id) = ENDED;
    check_fields(trailers);
}

static void on_reset(void *user, int32_t id, void *su, uint32_t code, enum http2_cause cause)
{
    (void)user, (void)su, (void)code;
    expect(*state_of(id) != NEW && *state_of(id) != GONE &&
           !(cause == HTTP2_UNPROCESSED && server));
    *state_of(id) = GONE;
    http2_reset(h, id, 0); /* does nothing */
}

static void on_closed(void *user, int32_t id, void *su)
{
    (void)user, (void)su;
    expect(*state_of(id) == ENDED || (server && *state_of(id) == HEAD));
    *state_of(id) = GONE;
}

static void on_goaway(void *user, int32_t last_id, uint32_t code)
{
    (void)user, (void)last_id;
    if (code == 1)
        http2_shutdown(h);
}

static const struct http2_ops ops = {on_begin,  on_head, on_data,   on_trailers, on_reset,
                                     on_closed, NULL,    on_goaway, NULL};

static void ask(unsigned n)
{
    struct http_head head = {.method = STR("POST"), .path = STR("/"), .authority = STR("a")};
    struct http_field none[1];
    head.fields = none;
    for (unsigned i = 0; i < n; i++) {
        int32_t id;
        if (http2_open(h, arena, NULL, &head, i % 2, &id) < 0)
            return;
        *state_of(id) = BEGUN;
    }
}

static int receive(struct str s, uint64_t now_ms)
{
    AUTO_DONE(chain) struct chain in = {0};
    chain_add(&in, s);
    return http2_receive(h, &in, now_ms);
}

static int talk(const uint8_t *data, size_t size, uint8_t mode)
{
    AUTO_DONE(chain) struct chain out = {0};
    size_t step = mode & 4 ? (size_t)1 + (mode >> 4) : size;
    int r = 0;
    if (server && (mode & 2))
        r = receive(STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 0);
    if (mode & 2)
        r = r < 0 ? r : receive(STR("\0\0\0\4\0\0\0\0\0"), 0);
    while (size && r == 0) {
        size_t n = step < size ? step : size;
        if ((r = receive(str_of(data, n), size)) == 0)
            r = http2_send(h, &out, 1000);
        chain_done(&out);
        data += n;
        size -= n;
    }
    for (int i = 0; i < 100 && http2_wants_send(h); i++) {
        if (http2_send(h, &out, 1000) < 0)
            break;
        chain_done(&out);
    }
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct http2_limits limits = {.streams_max = 20, .resets_max = 20};
    if (size < 1)
        return 0;
    memset(states, 0, sizeof(states));
    server = data[0] & 1;
    arena = arena_new(1 << 20);
    h = http2_new(server ? HTTP2_SERVER : HTTP2_CLIENT, &limits, &ops, NULL);
    if (h) {
        if (!server)
            ask(6);
        (void)talk(data + 1, size - 1, data[0]);
    }
    http2_free(h);
    arena_free(arena);
    return 0;
}
