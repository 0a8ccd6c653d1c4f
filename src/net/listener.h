#pragma once
/* Listening sockets. When there are no file descriptors left, accepting pauses for a moment. */

#include "base/addr.h"
#include "net/loop.h"

struct listener;

struct listener_options {
    bool reuse_port; /* several sockets on one address: one for each worker */
    int backlog;     /* 0 = 1024 */
};

/* [::], which takes IPv4 too, or 0.0.0.0 where the kernel has no IPv6. */
struct ip listener_any(void);
/* on_accept owns the fd. o may be NULL. */
int listener_new(struct loop *l, const struct ip *ip, uint16_t port,
                 const struct listener_options *o, void (*on_accept)(int fd, void *user),
                 void *user, struct listener **ret, struct err *reterr) NODISCARD;
void listener_free(struct listener *l);           /* NULL is allowed */
uint16_t listener_port(const struct listener *l); /* 0: a Unix socket */
