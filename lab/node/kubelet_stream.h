#pragma once
/* One remote command session: the channels of exec and attach over a WebSocket, or over SPDY. */

#include "lab/node/kubelet_priv.h"

enum kubelet_channel {
    CHANNEL_IN = 0,
    CHANNEL_OUT = 1,
    CHANNEL_ERR = 2,
    CHANNEL_STATUS = 3,
    CHANNEL_SIZE = 4,
    CHANNEL_CLOSE = 255,
};

struct kubelet_stream;

struct kubelet_stream_ops {
    /* False: take no more until kubelet_stream_resume. */
    bool (*on_input)(struct str bytes, void *user);
    void (*on_input_end)(void *user);
    void (*on_resize)(unsigned columns, unsigned rows, void *user);
    void (*on_drain)(void *user); /* the client has taken what was queued */
    /* The connection has ended, by either side. The stream is freed after this. */
    void (*on_gone)(void *user);
};

/* False: not a WebSocket of a protocol we speak; answered. */
bool kubelet_stream_is_wanted(struct http_exchange *x, const char *verb);
/* Answers 101. Call kubelet_stream_start once everything is in place. */
struct kubelet_stream *kubelet_stream_new(struct http_exchange *x,
                                          const struct kubelet_stream_ops *ops, void *user);
void kubelet_stream_start(struct kubelet_stream *s);
void kubelet_stream_send(struct kubelet_stream *s, enum kubelet_channel channel, struct str bytes);
/* More should wait for on_drain. */
bool kubelet_stream_is_full(const struct kubelet_stream *s);
void kubelet_stream_resume(struct kubelet_stream *s);
/* The final Status (taken), then the end; on_gone follows when all is sent. */
void kubelet_stream_finish(struct kubelet_stream *s, json_t *status);
json_t *kubelet_stream_success(void);
json_t *kubelet_stream_error(const char *message);
