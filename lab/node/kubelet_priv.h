#pragma once
/* Between the parts of the kubelet server. */

#include "lab/node/node_priv.h"
#include "net/http_server.h"

/* kubelet_answer.c: answers with a Status object, as the API server passes it on. */
void kubelet_fail(struct http_exchange *x, int status, const char *reason, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The streams; each answers x, now or later. */
void kubelet_logs(struct pod_container *c, struct http_exchange *x);
void kubelet_exec(struct pod_container *c, struct http_exchange *x);
void kubelet_attach(struct pod_container *c, struct http_exchange *x);
void kubelet_forward(struct pod *p, struct http_exchange *x);
