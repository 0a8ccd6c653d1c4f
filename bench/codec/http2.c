/* What one GET with an answer of 1 KiB costs over HTTP/2, client and server together, in memory:
 * ours against nghttp2 used barely (it copies data into frames and out of them, keeps no head).
 *
 *   http2 ours|bare TIMES
 *
 * Prints nanoseconds an exchange; under callgrind its instructions. */
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/time.h"
#include "codec/http2.h"

enum { BODY = 1024 };

static const struct http_header request[] = {
    {STR(":method"), STR("GET")},
    {STR(":scheme"), STR("https")},
    {STR(":authority"), STR("shop.example.test")},
    {STR(":path"), STR("/products/catalogue/items?page=2&sort=price")},
    {STR("user-agent"), STR("Mozilla/5.0 (X11; Linux x86_64) load/1.0 (fairlead bench)")},
    {STR("accept"), STR("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")},
    {STR("accept-language"), STR("en-GB,en;q=0.7")},
    {STR("accept-encoding"), STR("gzip, deflate, br")},
    {STR("cookie"), STR("session=0123456789abcde-0123456789")},
};
static const struct http_header answer[] = {
    {STR(":status"), STR("200")},
    {STR("server"), STR("origin")},
    {STR("content-type"), STR("text/plain")},
    {STR("content-length"), STR("1024")},
    {STR("date"), STR("Sat, 28 Nov 2026 10:00:00 GMT")},
};

static struct bytes *body; /* shared by all answers */
static size_t received, closed, fields_seen;

/* ---- ours ---- */

static struct http2 *ends[2];
static struct chain wires[2]; /* to the client, to the server */
static char memory[2][16 * 1024] __attribute__((aligned(16)));
static struct arena *arenas[2];
static struct http_field room[2][16];
static struct http_head heads[2];

static struct arena *arena_of(size_t at)
{
    arenas[at] = arena_new_in(memory[at], sizeof(memory[at]), 0);
    return arenas[at];
}

static struct arena *on_begin(void *user, int32_t id, void **ret_stream_user)
{
    (void)user, (void)id, (void)ret_stream_user;
    return arena_of(1);
}

static void on_head(void *user, int32_t id, void *su, struct http_head *head, bool end)
{
    (void)su, (void)end;
    fields_seen += head->n;
    if (!user)
        return;
    AUTO_DONE(chain) struct chain data = {0};
    ASSERT(http2_send_head(ends[1], id, &heads[1], false) == 0);
    chain_add_bytes(&data, body);
    http2_send_data(ends[1], id, &data, true);
}

static void on_data(void *user, int32_t id, void *su, struct chain *data, bool end)
{
    (void)su, (void)end;
    received += data->n;
    http2_consume(ends[user != NULL], id, data->n);
}

static void on_trailers(void *user, int32_t id, void *su, struct http_head *trailers)
{
    (void)user, (void)id, (void)su, (void)trailers;
}

static void on_reset(void *user, int32_t id, void *su, uint32_t code, enum http2_cause cause)
{
    (void)user, (void)id, (void)su, (void)code, (void)cause;
    ASSERT(id < 0); /* nobody resets here */
}

static void on_closed(void *user, int32_t id, void *su)
{
    (void)id, (void)su;
    arena_free(arenas[user != NULL]);
    closed++;
}

static const struct http2_ops ops = {on_begin,  on_head, on_data, on_trailers, on_reset,
                                     on_closed, NULL,    NULL,    NULL};

static void carry(size_t from)
{
    AUTO_DONE(chain) struct chain out = {0};
    ASSERT(http2_send(ends[from], &out, 1 << 20) == 0);
    /* The network copies, and gives blocks of its own. */
    for (const struct chain_slice *s = out.first; s; s = s->next)
        chain_add(&wires[from], str_of(s->p, s->n));
    if (wires[from].n)
        ASSERT(http2_receive(ends[!from], &wires[from], 0) == 0);
}

static void fill_head(size_t at, const struct http_header *from, size_t n)
{
    heads[at] = (struct http_head){.fields = room[at], .cap = 16};
    for (size_t i = 0; i < n; i++)
        if (from[i].name.p[0] != ':')
            ASSERT(http_head_add_text(&heads[at], from[i].name, from[i].value) == 0);
}

static void ours(long times)
{
    ends[0] = http2_new(HTTP2_CLIENT, NULL, &ops, NULL);
    ends[1] = http2_new(HTTP2_SERVER, NULL, &ops, &ends);
    ASSERT(ends[0] && ends[1]);
    fill_head(0, request, ARRAY_LEN(request));
    fill_head(1, answer, ARRAY_LEN(answer));
    heads[0].method = request[0].value;
    heads[0].scheme = request[1].value;
    heads[0].authority = request[2].value;
    heads[0].path = heads[0].target = request[3].value;
    heads[1].status = 200;
    for (long i = 0; i < times; i++) {
        int32_t id;
        ASSERT(http2_open(ends[0], arena_of(0), NULL, &heads[0], true, &id) == 0);
        carry(0);
        carry(1);
    }
    carry(0);
    http2_free(ends[0]);
    http2_free(ends[1]);
}

/* ---- nghttp2 alone ---- */

static nghttp2_session *bare_ends[2];

static size_t nv_of(const struct http_header *from, size_t n, nghttp2_nv *ret)
{
    for (size_t i = 0; i < n; i++)
        ret[i] = (nghttp2_nv){(uint8_t *)(uintptr_t)from[i].name.p,
                              (uint8_t *)(uintptr_t)from[i].value.p, from[i].name.n,
                              from[i].value.n, NGHTTP2_NV_FLAG_NONE};
    return n;
}

static ssize_t bare_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t max,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    (void)session, (void)id, (void)source, (void)user;
    ASSERT(max >= BODY);
    memcpy(buf, body->p, BODY);
    *flags = NGHTTP2_DATA_FLAG_EOF;
    return BODY;
}

static int bare_header(nghttp2_session *session, const nghttp2_frame *f, const uint8_t *n,
                       size_t nn, const uint8_t *v, size_t vn, uint8_t flags, void *user)
{
    (void)session, (void)f, (void)n, (void)nn, (void)v, (void)vn, (void)flags, (void)user;
    fields_seen++;
    return 0;
}

static int bare_frame(nghttp2_session *session, const nghttp2_frame *f, void *user)
{
    nghttp2_data_provider provider = {.read_callback = bare_read};
    nghttp2_nv nv[16];
    if (!user || f->hd.type != NGHTTP2_HEADERS)
        return 0;
    return nghttp2_submit_response(session, f->hd.stream_id, nv,
                                   nv_of(answer, ARRAY_LEN(answer), nv), &provider);
}

static int bare_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p,
                      size_t n, void *user)
{
    (void)session, (void)flags, (void)id, (void)p, (void)user;
    received += n;
    return 0;
}

static int bare_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    (void)session, (void)id, (void)code, (void)user;
    closed++;
    return 0;
}

static void bare_carry(size_t from)
{
    static uint8_t wire[64 * 1024];
    const uint8_t *p;
    size_t n = 0;
    ssize_t got;
    while ((got = nghttp2_session_mem_send(bare_ends[from], &p)) > 0) {
        memcpy(wire + n, p, (size_t)got);
        n += (size_t)got;
    }
    ASSERT(nghttp2_session_mem_recv(bare_ends[!from], wire, n) == (ssize_t)n);
}

static void bare(long times)
{
    nghttp2_session_callbacks *cb;
    nghttp2_nv nv[16];
    ASSERT(nghttp2_session_callbacks_new(&cb) == 0);
    nghttp2_session_callbacks_set_on_header_callback(cb, bare_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, bare_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, bare_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, bare_close);
    ASSERT(nghttp2_session_client_new(&bare_ends[0], cb, NULL) == 0 &&
           nghttp2_session_server_new(&bare_ends[1], cb, &bare_ends) == 0);
    for (size_t i = 0; i < 2; i++)
        ASSERT(nghttp2_submit_settings(bare_ends[i], 0, NULL, 0) == 0);
    for (long i = 0; i < times; i++) {
        ASSERT(nghttp2_submit_request(bare_ends[0], NULL, nv,
                                      nv_of(request, ARRAY_LEN(request), nv), NULL, NULL) > 0);
        bare_carry(0);
        bare_carry(1);
    }
    bare_carry(0);
    nghttp2_session_del(bare_ends[0]);
    nghttp2_session_del(bare_ends[1]);
    nghttp2_session_callbacks_del(cb);
}

int main(int argc, char **argv)
{
    static char text[BODY];
    if (argc != 3 || !strchr("ob", argv[1][0])) {
        fprintf(stderr, "usage: http2 ours|bare TIMES\n");
        return 64;
    }
    long times = atol(argv[2]);
    body = bytes_new(str_of(text, BODY));
    uint64_t start = time_mono_us();
    if (argv[1][0] == 'o')
        ours(times);
    else
        bare(times);
    uint64_t took = time_mono_us() - start;
    ASSERT(received == BODY * (size_t)times && closed == 2 * (size_t)times);
    printf("%s: %.0f ns, %zu fields\n", argv[1], (double)took * 1000 / (double)times,
           fields_seen / (size_t)times);
    bytes_unref(body);
    return 0;
}
