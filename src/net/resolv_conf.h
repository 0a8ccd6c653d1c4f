#pragma once
/* What /etc/resolv.conf says (resolv.conf(5)): whom to ask, and what is tried behind a name. */

#include "base/addr.h"

enum { RESOLV_SERVERS_MAX = 3, RESOLV_SEARCH_MAX = 32, RESOLV_CONF_BYTES_MAX = 65536 };

struct resolv_conf {
    struct ip servers[RESOLV_SERVERS_MAX];
    size_t n_servers;
    char *search[RESOLV_SEARCH_MAX]; /* in lower case, without dots at the ends */
    size_t n_search;
};

/* Lines that mean nothing to us are passed over; of several search lists the last one counts. */
void resolv_conf_parse(struct str text, struct resolv_conf *ret);
/* Without a file, or with one that names nobody: the machine itself, as everybody takes it. */
void resolv_conf_read(const char *path, struct resolv_conf *ret);
void resolv_conf_done(struct resolv_conf *c);
