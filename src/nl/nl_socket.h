#pragma once
/* A netlink socket and the two ways it is used: a transaction (one write, one answer per
 * acknowledged message) and a dump (one request, many messages). Blocking: callers that must not
 * block use their own thread. Not thread-safe. */

#include <stdint.h>

#include "base/err.h"
#include "codec/netlink.h"

struct nl_socket;

/* protocol: NETLINK_ROUTE, NETLINK_NETFILTER, … Opened in the calling thread's network namespace,
 * where it stays. */
int nl_socket_new(int protocol, struct nl_socket **ret, struct err *reterr) NODISCARD;
void nl_socket_free(struct nl_socket *s);
DEFINE_AUTO(nl_socket);
int nl_socket_fd(const struct nl_socket *s);
/* A fresh sequence number. */
uint32_t nl_socket_seq(struct nl_socket *s);

/* Sends messages (built with NLM_F_ACK on the last one that matters) and reads until the
 * acknowledgement of seq_last or an error for any message, whose number goes into ret_refused (may
 * be NULL). The kernel's extended message goes into reterr. */
int nl_transact(struct nl_socket *s, struct str messages, uint32_t seq_last, uint32_t *ret_refused,
                struct err *reterr) NODISCARD;

/* Sends one request with NLM_F_DUMP, or a get of many things with NLM_F_ACK (or a plain get of one
 * without either), and calls on_msg for each answer message; on_msg returns 0 or a negative errno
 * that ends the dump. -EINTR: the kernel's table changed meanwhile, ask again. */
int nl_dump(struct nl_socket *s, struct str request, uint32_t seq,
            int (*on_msg)(const struct nlmsg *m, void *user), void *user, struct err *reterr)
    NODISCARD;
