#pragma once
/* Ends of HTTP/2 that write what they are told into a log, joined in memory; and frames by hand. */

#include <errno.h>

#include "test.h"

#include "base/buf.h"
#include "codec/http2.h"

struct end {
    struct http2 *h;
    struct buf log;
    struct arena *arena;
    struct chain out;
    size_t data_id; /* the log's last line is of its data, unfinished */
    bool holds;     /* does not consume by itself */
    bool refuses;   /* every stream */
    bool quiet;     /* data are counted, not logged */
    size_t data_bytes;
    struct http_head *head;
    void (*then)(struct end *e, int32_t id, const char *what); /* called behind each line */
    uint64_t now_ms;
};

static void end_line(struct end *e, int32_t id, const char *what)
{
    e->data_id = 0;
    buf_add_char(&e->log, '\n');
    if (e->then)
        e->then(e, id, what);
}

static void end_begin(struct end *e)
{
    if (e->data_id)
        buf_add_char(&e->log, '\n');
    e->data_id = 0;
}

static void log_fields(struct end *e, const struct http_head *head)
{
    for (uint16_t i = 0; i < head->n; i++)
        if (head->fields[i].name_n)
            buf_addf(&e->log, " " STR_FMT "=" STR_FMT,
                     STR_ARG(str_of(head->fields[i].name, head->fields[i].name_n)),
                     STR_ARG(http_field_value(&head->fields[i])));
}

static struct arena *rig_begin(void *user, int32_t id, void **ret_stream_user)
{
    struct end *e = user;
    (void)id;
    *ret_stream_user = e;
    return e->refuses ? NULL : e->arena;
}

static void rig_head(void *user, int32_t id, void *su, struct http_head *head, bool end)
{
    struct end *e = user;
    assert_ptr_equal(su, e);
    assert_true(head->cap - head->n >= HTTP2_FIELDS_SPARE);
    end_begin(e);
    e->head = head;
    if (head->status)
        buf_addf(&e->log, "%d %d", id, head->status);
    else
        buf_addf(&e->log, "%d " STR_FMT " " STR_FMT " " STR_FMT, id, STR_ARG(head->method),
                 STR_ARG(head->scheme), STR_ARG(head->target));
    log_fields(e, head);
    if (end)
        buf_add_cstr(&e->log, " end");
    end_line(e, id, "head");
}

static void rig_data(void *user, int32_t id, void *su, struct chain *data, bool end)
{
    struct end *e = user;
    size_t n = data->n;
    assert_ptr_equal(su, e);
    e->data_bytes += n;
    if (e->data_id != (size_t)id) {
        end_begin(e);
        buf_addf(&e->log, "%d data ", id);
        e->data_id = (size_t)id;
    }
    while (!e->quiet && data->n) {
        buf_add_str(&e->log, chain_front(data));
        chain_consume(data, chain_front(data).n);
    }
    if (!e->holds)
        http2_consume(e->h, id, n);
    if (end) {
        buf_add_cstr(&e->log, " end");
        end_line(e, id, "data");
    }
}

static void rig_trailers(void *user, int32_t id, void *su, struct http_head *trailers)
{
    struct end *e = user;
    assert_ptr_equal(su, e);
    end_begin(e);
    buf_addf(&e->log, "%d trailers", id);
    log_fields(e, trailers);
    end_line(e, id, "trailers");
}

static void rig_reset(void *user, int32_t id, void *su, uint32_t code, enum http2_cause cause)
{
    struct end *e = user;
    assert_ptr_equal(su, e);
    end_begin(e);
    buf_addf(&e->log, "%d reset %u%s", id, code, cause == HTTP2_UNPROCESSED ? " unprocessed" : "");
    end_line(e, id, "reset");
}

static void rig_closed(void *user, int32_t id, void *su)
{
    struct end *e = user;
    assert_ptr_equal(su, e);
    end_begin(e);
    buf_addf(&e->log, "%d closed", id);
    end_line(e, id, "closed");
}

static void rig_writable(void *user, int32_t id, void *su)
{
    struct end *e = user;
    assert_ptr_equal(su, e);
    if (e->then)
        e->then(e, id, "writable");
}

static void rig_goaway(void *user, int32_t last_id, uint32_t code)
{
    struct end *e = user;
    end_begin(e);
    buf_addf(&e->log, "goaway %d %u", last_id, code);
    end_line(e, 0, "goaway");
}

static const struct http2_ops rig_ops = {rig_begin,    rig_head,   rig_data,
                                         rig_trailers, rig_reset,  rig_closed,
                                         rig_writable, rig_goaway, NULL};

static inline void end_init(struct end *e, enum http2_role role, const struct http2_limits *limits)
{
    *e = (struct end){.now_ms = 1};
    e->arena = arena_new(0);
    e->h = http2_new(role, limits, &rig_ops, e);
    assert_non_null(e->h);
}

static void end_done(struct end *e)
{
    http2_free(e->h);
    arena_free(e->arena);
    chain_done(&e->out);
    buf_done(&e->log);
}

/* What was told since the last time. */
static inline void expect_log(struct end *e, const char *want)
{
    end_begin(e);
    assert_string_equal(buf_cstr(&e->log), want);
    buf_clear(&e->log);
}

static inline int receive(struct end *e, struct str s)
{
    AUTO_DONE(chain) struct chain in = {0};
    chain_add(&in, s);
    return http2_receive(e->h, &in, e->now_ms);
}

/* Carries what `from` has to send to `to`, `step` bytes at a time; was there anything? */
static inline bool carry(struct end *from, struct end *to, size_t step)
{
    bool any = false;
    assert_ok(http2_send(from->h, &from->out, 1 << 20));
    while (from->out.n) {
        AUTO_DONE(chain) struct chain in = {0};
        chain_move(&in, &from->out, MIN(step, from->out.n));
        int r = http2_receive(to->h, &in, to->now_ms);
        assert_true(r <= 0 && in.n == 0);
        any = true;
    }
    return any;
}

static inline void carry_all(struct end *a, struct end *b, size_t step)
{
    for (;;) {
        bool there = carry(a, b, step), back = carry(b, a, step);
        if (!there && !back)
            break;
    }
}

/* A head of ours, from a list that ends in NULL: names and values. */
struct rig_head {
    struct http_head head;
    struct http_field fields[64];
};

static inline struct http_head *rig_fields(struct rig_head *r, const char *const *list)
{
    r->head.fields = r->fields;
    r->head.cap = 64;
    for (; list && *list; list += 2)
        assert_ok(http_head_add_text(&r->head, str_from(list[0]), str_from(list[1])));
    return &r->head;
}

static inline struct http_head *rig_request(struct rig_head *r, const char *method,
                                            const char *path, const char *const *list)
{
    r->head = (struct http_head){.method = str_from(method),
                                 .scheme = STR("http"),
                                 .target = str_from(path),
                                 .path = str_from(path),
                                 .content_length = HTTP_LENGTH_NONE};
    return rig_fields(r, list);
}

static inline struct http_head *rig_answer(struct rig_head *r, int status, const char *const *list)
{
    r->head = (struct http_head){.status = (uint16_t)status, .content_length = HTTP_LENGTH_NONE};
    return rig_fields(r, list);
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static inline void send_text(struct end *e, int32_t id, const char *text, bool end)
{
    AUTO_DONE(chain) struct chain c = {0};
    chain_add(&c, str_from(text));
    http2_send_data(e->h, id, &c, end);
    assert_int_equal(c.n, 0);
}

/* ---- frames by hand ---- */

enum {
    DATA,
    HEADERS,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    PUSH_PROMISE,
    PING,
    GOAWAY,
    WINDOW_UPDATE,
    CONTINUATION
};
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED = 8 };

static inline void add_frame(struct buf *b, int type, int flags, uint32_t id, struct str payload)
{
    buf_add_u8(b, (uint8_t)(payload.n >> 16));
    buf_add_be16(b, (uint16_t)payload.n);
    buf_add_u8(b, (uint8_t)type);
    buf_add_u8(b, (uint8_t)flags);
    buf_add_be32(b, id);
    buf_add_str(b, payload);
}

static inline void add_u32_frame(struct buf *b, int type, uint32_t id, uint32_t value)
{
    AUTO_DONE(buf) struct buf p = {0};
    buf_add_be32(&p, value);
    add_frame(b, type, 0, id, buf_str(&p));
}

static inline void add_string(struct buf *b, struct str s)
{
    if (s.n < 127) {
        buf_add_u8(b, (uint8_t)s.n);
    } else { /* in three bytes: up to 16,510 */
        buf_add_u8(b, 127);
        buf_add_u8(b, (uint8_t)(0x80 | ((s.n - 127) & 127)));
        buf_add_u8(b, (uint8_t)((s.n - 127) >> 7));
    }
    buf_add_str(b, s);
}

/* Literal, not indexed. */
static inline void add_field(struct buf *b, struct str name, struct str value)
{
    buf_add_u8(b, 0);
    add_string(b, name);
    add_string(b, value);
}

static inline void add_fields(struct buf *b, const char *const *list)
{
    for (; *list; list += 2)
        add_field(b, str_from(list[0]), str_from(list[1]));
}

static inline void add_head(struct buf *b, uint32_t id, bool end, const char *const *list)
{
    AUTO_DONE(buf) struct buf p = {0};
    add_fields(&p, list);
    add_frame(b, HEADERS, END_HEADERS | (end ? END_STREAM : 0), id, buf_str(&p));
}

static inline void add_preface(struct buf *b, bool client)
{
    if (client)
        buf_add_cstr(b, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    add_frame(b, SETTINGS, 0, 0, STR(""));
}

/* What e has to send: its RST_STREAMs and GOAWAYs, "rst 1 8", "goaway 1 11". */
static inline void expect_sent(struct end *e, const char *want)
{
    AUTO_DONE(buf) struct buf got = {0};
    assert_ok(http2_send(e->h, &e->out, SIZE_MAX));
    struct str all = chain_linear(&e->out, e->out.n);
    for (const uint8_t *p = (const uint8_t *)all.p, *end = p + all.n; p < end;) {
        size_t n = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
#define U32(at)                                                                                    \
    ((unsigned)(at)[0] << 24 | (unsigned)(at)[1] << 16 | (unsigned)(at)[2] << 8 | (at)[3])
        if (n == 0x505249) { /* "PRI" */
            p += 24;
            continue;
        }
        if (p[3] == RST_STREAM)
            buf_addf(&got, "rst %u %u\n", U32(p + 5), U32(p + 9));
        if (p[3] == GOAWAY)
            buf_addf(&got, "goaway %u %u\n", U32(p + 9), U32(p + 13));
        p += 9 + n;
    }
    chain_done(&e->out);
    assert_string_equal(buf_cstr(&got), want);
}
