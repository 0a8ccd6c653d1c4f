#include "intercept/interception_flags.h"

#include <errno.h>
#include <string.h>

void interception_flags_init(struct interception_flags *f, struct arg table[INTERCEPTION_FLAGS])
{
    *f = (struct interception_flags){.inbound = "*",
                                     .inbound_except = "",
                                     .outbound = "*",
                                     .outbound_except = "",
                                     .also = "",
                                     .ports_except = "",
                                     .uid = 1337,
                                     .gid = 1337,
                                     .inbound_port = 15006,
                                     .outbound_port = 15001};
    const struct arg all[INTERCEPTION_FLAGS] = {
        {"inbound-ports", 'b', ARG_STRING, &f->inbound, "PORTS",
         "ports of the pod to which calls go through the proxy, or * (default *)", 0, 0, false},
        {"exclude-inbound-ports", 'd', ARG_STRING, &f->inbound_except, "PORTS", "but not these", 0,
         0, false},
        {"outbound-ip-ranges", 'i', ARG_STRING, &f->outbound, "NETWORKS",
         "where calls of the pod to go through the proxy, or * (default *)", 0, 0, false},
        {"exclude-outbound-ip-ranges", 'x', ARG_STRING, &f->outbound_except, "NETWORKS",
         "but not these", 0, 0, false},
        {"outbound-ports", 'q', ARG_STRING, &f->also, "PORTS",
         "ports calls to which do wherever they go", 0, 0, false},
        {"exclude-outbound-ports", 'o', ARG_STRING, &f->ports_except, "PORTS",
         "and to which none do", 0, 0, false},
        {"proxy-uid", 'u', ARG_INT, &f->uid, "UID", "the proxy's user (default 1337)", 1,
         UINT32_MAX, false},
        {"proxy-gid", 'g', ARG_INT, &f->gid, "GID", "its group (default 1337)", 1, UINT32_MAX,
         false},
        {"outbound-port", 'p', ARG_INT, &f->outbound_port, "PORT",
         "where the proxy takes what the pod sends (default 15001)", 1, 65535, false},
        {"inbound-port", 'z', ARG_INT, &f->inbound_port, "PORT",
         "where it takes what is sent to it (default 15006)", 1, 65535, false},
        {"dns", 0, ARG_BOOL, &f->dns, NULL,
         "what is asked of the name servers of /etc/resolv.conf, too: the proxy answers at 15053",
         0, 0, false},
        {"ipv6", 0, ARG_BOOL, &f->ipv6, NULL,
         "of that family, too (default: if there are addresses of it)", 0, 0, false},
        {"remove", 0, ARG_BOOL, &f->remove, NULL, "takes the rules away", 0, 0, false},
        {"check", 0, ARG_BOOL, &f->check, NULL,
         "makes none, but sees (as the proxy's user) whether somebody has: 126 if not", 0, 0,
         false},
        {.name = NULL}};
    memcpy(table, all, sizeof(all));
}

int interception_of_flags(const struct interception_flags *f, struct interception *ret,
                          struct err *reterr)
{
    *ret = (struct interception){.uid = (uint32_t)f->uid,
                                 .gid = (uint32_t)f->gid,
                                 .outbound_port = (uint16_t)f->outbound_port,
                                 .inbound_port = (uint16_t)f->inbound_port};
    const struct {
        const char *flag, *text;
        struct port_list *ports;
        struct prefix_list *prefixes;
    } all[] = {
        {"inbound-ports", f->inbound, &ret->inbound, NULL},
        {"exclude-inbound-ports", f->inbound_except, &ret->inbound_except, NULL},
        {"outbound-ip-ranges", f->outbound, NULL, &ret->outbound},
        {"exclude-outbound-ip-ranges", f->outbound_except, NULL, &ret->outbound_except},
        {"outbound-ports", f->also, &ret->outbound_also, NULL},
        {"exclude-outbound-ports", f->ports_except, &ret->outbound_ports_except, NULL},
    };
    for (size_t k = 0; k < ARRAY_LEN(all); k++) {
        struct err err = {0};
        int r = all[k].ports ? port_list_read(all[k].text, all[k].ports, &err)
                             : prefix_list_read(all[k].text, all[k].prefixes, &err);
        if (r < 0)
            return err_set(reterr, r, NULL, "--%s: %s", all[k].flag, err_text(&err));
    }
    return 0;
}
