#pragma once
/* The embedded API server as a whole: started with a configuration, stopped by freeing it. */

#include "base/addr.h"
#include "base/buf.h"
#include "net/loop.h"

struct api_server;

struct api_config {
    struct ip bind_ip;
    uint16_t port; /* 0 = any */
    struct ip advertise_ip;
    const char *data_dir;                                                       /* NULL = memory */
    struct buf tls_cert, tls_key, client_ca, sa_key, kubelet_cert, kubelet_key; /* PEM */
    char *tokens; /* lines: token,user,uid,"group,group" */
    const char *sa_issuer;
    struct prefix service_cidrs[2];
    size_t n_service_cidrs;
    uint16_t node_port_first, node_port_last;
    uint64_t watches_max; /* open at a time; 0 = 8192 */
    uint64_t bookmark_ms; /* between bookmarks of a watch; 0 = a minute */
};

/* Takes what config owns (it is empty afterwards, also on failure). */
int api_server_start(struct loop *l, struct api_config *config, struct api_server **ret,
                     struct err *reterr) NODISCARD;
void api_server_free(struct api_server *s);
uint16_t api_server_port(const struct api_server *s);
