#pragma once
/* Listening sockets. When there are no file descriptors left, accepting pauses for a moment. */

#include "base/addr.h"
#include "net/loop.h"

struct listener;

struct listener_options {
    bool reuse_port;  /* several sockets on one address: one for each worker */
    bool v6_only;     /* [::] does not take IPv4 */
    bool freebind;    /* an address that the machine does not have (yet) */
    bool transparent; /* IP_TRANSPARENT: connections to other addresses; CAP_NET_ADMIN */
    bool bind_only;   /* listener_socket_open: the socket does not listen yet */
    int backlog;      /* 0 = 1024 */
};

/* Where to listen. path: a Unix socket; a leading '@' stands for the abstract namespace. */
struct listener_address {
    struct ip ip;
    uint16_t port;
    const char *path; /* NULL: ip and port */
    uint32_t mode;    /* of the path; 0: as the umask says */
};

/* [::], which takes IPv4 too, or 0.0.0.0 where the kernel has no IPv6. */
struct ip listener_any(void);
/* on_accept owns the fd. o may be NULL. */
int listener_new(struct loop *l, const struct ip *ip, uint16_t port,
                 const struct listener_options *o, void (*on_accept)(int fd, void *user),
                 void *user, struct listener **ret, struct err *reterr) NODISCARD;
/* A bound and listening socket that belongs to no loop yet: made by one thread, adopted by another.
 * A path that nobody listens on any more is taken over. */
int listener_socket_open(const struct listener_address *a, const struct listener_options *o,
                         int *ret_fd, struct err *reterr) NODISCARD;
/* What bind_only has left out. */
int listener_socket_listen(int fd, int backlog) NODISCARD;
/* Takes over a listening socket; at failure it stays the caller's. */
int listener_adopt(struct loop *l, int fd, void (*on_accept)(int fd, void *user), void *user,
                   struct listener **ret) NODISCARD;
/* Accepts who has connected already, for whom a socket that closes is a reset: before a listener
 * goes while others are still served. */
void listener_accept_rest(struct listener *l);
void listener_free(struct listener *l);           /* NULL is allowed */
uint16_t listener_port(const struct listener *l); /* 0: a Unix socket */
