#pragma once
/* What the versions of HTTP share below http_stream.h. */

#include "net/http_stream.h"

struct http_conn_type {
    void (*send_head)(struct http_stream *s, struct http_head *h, bool end);
    void (*send_data)(struct http_stream *s, struct chain *data, bool end);
    void (*send_trailers)(struct http_stream *s, const struct http_head *h);
    size_t (*queued)(const struct http_stream *s);
    void (*set_paused)(struct http_stream *s, bool paused);
    void (*abort)(struct http_stream *s);
    int (*open)(struct http_conn *hc, struct http_stream **ret);
    void (*shutdown)(struct http_conn *hc);
    void (*free)(struct http_conn *hc);
    struct conn *(*take_conn)(struct http_stream *s);
    unsigned (*streams_free)(const struct http_conn *hc);
    unsigned version; /* 0: not known yet */
};

struct http_conn {
    const struct http_conn_type *type;
    const struct http_conn_ops *ops;
    void *user;
    const struct http_conn_config *config; /* the owner's; outlives the connection */
    struct conn *conn;
    bool client;
};

struct http_stream {
    struct http_conn *hc;
    const struct http_stream_ops *ops;
    void *user;
    struct arena *arena; /* NULL: nobody has asked for it */
    void *memory;        /* its first block */
    struct http_head head;
    bool received;
    bool sent;
    bool paused;
    bool over;   /* on_over is due or has come: no other callback any more */
    uint32_t id; /* of HTTP/2 */
};

/* From the thread's pool. */
struct http_stream *http_stream_new(struct http_conn *hc);
void http_stream_free(struct http_stream *s);
void http_stream_done(struct http_stream *s); /* for those that stand in memory of somebody else */
/* Copies a head that was read into `fields` of somebody else's into the stream's memory, with room
 * for fields to be added. -ENOMEM. */
int http_stream_keep_fields(struct http_stream *s, struct http_head *h) NODISCARD;
enum { HTTP_FIELDS_SPARE = 12 };

extern const struct http_conn_config http_conn_defaults;
static inline size_t http_conn_head_max(const struct http_conn *hc)
{
    return hc->config->head_bytes_max ? hc->config->head_bytes_max : 60 * 1024;
}
static inline size_t http_conn_fields_max(const struct http_conn *hc)
{
    return hc->config->fields_max ? hc->config->fields_max : 100;
}
